//! What waits and will not be run: jobs of clients that went away, and purged ones. The record first, then the message.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_bus::tail::StoredMessage;
use nuncius_bus::{Bus, BusError, ServerClock};
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_IF_CLIENT, HEADER_MESSAGE_ID, client_lease, job_consumer};

use tokio::task::JoinSet;

use crate::form::Form;
use crate::name::Name;
use crate::record::{Settled, settle};
use crate::{JobError, Queues, dead};

/// Jobs that are dropped at the same time.
const AT_ONCE: usize = 64;

/// Drops what waits for clients that are gone. Kept by the holder of the queue's lease, called about once a second.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// Clients that were not there the last time either.
    missing: BTreeSet<String>,
    /// By subject: up to where its jobs have been looked at.
    looked_at: BTreeMap<String, u64>,
}

impl Sweeper {
    /// Drops the jobs that ask for it of every client that was not `present` at two calls in a row and is not now;
    /// those that were never begun. How many were dropped.
    pub async fn sweep(
        &mut self,
        queues: &Queues,
        definition: &QueueDefinition,
        present: &BTreeSet<String>,
    ) -> Result<u64, JobError> {
        let (bus, names) = (&queues.bus, queues.bus.namespace());
        let stream = names.stream_job(&definition.name);
        let subjects = bus.subjects(&stream, &names.job_all(&definition.name)).await?;
        self.looked_at.retain(|subject, _| subjects.contains_key(subject));
        // The bucket has the last word on who is there: the list of those present may lag behind.
        let leases = if self.missing.is_empty() { None } else { Some(bus.kv(&names.bucket_lease()).await?) };
        let mut missing = BTreeSet::new();
        let mut dropped = 0;
        for subject in subjects.keys() {
            let Some(name) = Name::read(subject, None, 0).filter(|name| !present.contains(&name.client)) else {
                continue;
            };
            if let Err(error) = name.check() {
                // A worker gives such a job up when it comes to it; nobody need wait for that.
                let why = Why::Dead(error.to_string());
                dropped += drop_waiting(queues, definition, subject, name.priority, 0, &why).await?.0;
                continue;
            }
            missing.insert(name.client.clone());
            if !self.missing.contains(&name.client) {
                continue;
            }
            // Where that cannot be known, nothing is dropped.
            if let Some(leases) = &leases
                && leases.get(&client_lease(&name.client)).await?.is_some()
            {
                continue;
            }
            let from = self.looked_at.get(subject).copied().unwrap_or(0);
            let (count, until) =
                drop_waiting(queues, definition, subject, name.priority, from, &Why::ClientLeft).await?;
            self.looked_at.insert(subject.clone(), until);
            dropped += count;
        }
        self.missing = missing;
        Ok(dropped)
    }
}

/// Drops everything that waits in a queue and was never begun; how many that were.
pub async fn purge(queues: &Queues, definition: &QueueDefinition) -> Result<u64, JobError> {
    let names = queues.bus.namespace().clone();
    let mut dropped = 0;
    for priority in 0..definition.priorities {
        let filter = names.job_priority(&definition.name, priority);
        dropped += drop_waiting(queues, definition, &filter, priority, 0, &Why::Purged).await?.0;
    }
    let stream = names.stream_job(&definition.name);
    for subject in queues.bus.subjects(&stream, &names.job_all(&definition.name)).await?.keys() {
        if is_hidden(subject) {
            dropped += drop_waiting(queues, definition, subject, 0, 0, &Why::Purged).await?.0;
        }
    }
    Ok(dropped)
}

/// What ends in the wildcard is given to no consumer and found by no filter, except among all messages.
fn is_hidden(subject: &str) -> bool {
    subject.ends_with(".>")
}

/// Why jobs that wait are not run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// Their client is gone: only those that ask for it are dropped.
    ClientLeft,
    /// Somebody wants none of them.
    Purged,
    /// They cannot be run: given up, for this reason.
    Dead(String),
}

impl Why {
    fn reason(&self) -> &str {
        match self {
            Self::ClientLeft => "its client went away",
            Self::Purged => "purged",
            Self::Dead(reason) => reason,
        }
    }

    fn status(&self) -> JobStatus {
        match self {
            Self::ClientLeft | Self::Purged => JobStatus::Dropped,
            Self::Dead(_) => JobStatus::Dead,
        }
    }
}

/// Drops what is chosen of the jobs of a subject (wildcards allowed) from a sequence on. How many, and up to where was
/// looked.
async fn drop_waiting(
    queues: &Queues,
    definition: &QueueDefinition,
    subject: &str,
    priority: u8,
    from: u64,
    why: &Why,
) -> Result<(u64, u64), JobError> {
    let bus = &queues.bus;
    let stream = bus.namespace().stream_job(&definition.name);
    let is_hidden = is_hidden(subject);
    let (filter, mut next) = if is_hidden {
        (">", from.max(1))
    } else {
        let begun = bus.consumer_state(&stream, &job_consumer(priority)).await?.delivered_sequence;
        (subject, from.max(begun + 1))
    };
    let mut dropped = 0;
    let mut endings = JoinSet::new();
    let mut failed: Option<u64> = None;
    while let Some(found) = bus.next_message(&stream, filter, next).await? {
        next = found.sequence + 1;
        if is_hidden && found.subject != subject {
            continue;
        }
        if *why == Why::ClientLeft && found.headers.get(HEADER_IF_CLIENT) != Some("present") {
            continue;
        }
        while endings.len() >= AT_ONCE {
            ended(endings.join_next().await, &mut dropped, &mut failed)?;
        }
        let (clock, queue) = (queues.clock().clone(), definition.name.clone());
        let ending = drop_one(bus.clone(), clock, queue, stream.clone(), found, why.clone());
        let sequence = next - 1;
        endings.spawn(async move { (sequence, ending.await) });
    }
    while !endings.is_empty() {
        ended(endings.join_next().await, &mut dropped, &mut failed)?;
    }
    // What could not be ended is looked at again.
    Ok((dropped, failed.unwrap_or(next)))
}

/// A message and whether it was ended.
type Ending = (u64, Result<(), JobError>);

/// The end of one job, or why not: that stops no other.
fn ended(
    outcome: Option<Result<Ending, tokio::task::JoinError>>,
    dropped: &mut u64,
    failed: &mut Option<u64>,
) -> Result<(), JobError> {
    match outcome {
        Some(Ok((_, Ok(())))) => *dropped += 1,
        Some(Ok((_, Err(error @ (JobError::NoQueue { .. } | JobError::Bus(BusError::Closed)))))) => return Err(error),
        Some(Ok((sequence, Err(error)))) => {
            tracing::warn!(sequence, %error, "a job that is not to be run is not ended yet; trying again");
            *failed = Some(failed.map_or(sequence, |first| first.min(sequence)));
        }
        // A task that was torn down with its runtime: nothing is counted any more.
        Some(Err(_)) | None => {}
    }
    Ok(())
}

async fn drop_one(
    bus: Bus,
    clock: ServerClock,
    queue: String,
    stream: String,
    found: StoredMessage,
    why: Why,
) -> Result<(), JobError> {
    let Some(name) = Name::read(&found.subject, found.headers.get(HEADER_MESSAGE_ID), found.sequence) else {
        return Ok(());
    };
    let result = JobResult {
        job_sequence: found.sequence,
        submitted_unix_ns: found.published_unix_ns,
        wait_seconds: clock.age_seconds(found.published_unix_ns).await?,
        error: Some(why.reason().to_owned()),
        ..JobResult::not_run(&name.id, &queue, &name.client, name.priority, why.status())
    };
    // Somebody may have begun it meanwhile: whoever writes first is right, and the other forgets it.
    let settled = settle(&bus, &result, Form::of(&found.headers, &found.payload), None).await?;
    if let (Settled::Here, Why::Dead(reason)) = (settled, &why) {
        dead::keep(&bus, &queue, &name, &found.headers, &found.payload, 0, reason).await?;
    }
    bus.delete_message(&stream, found.sequence).await?;
    Ok(())
}
