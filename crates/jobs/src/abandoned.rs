//! What waits and will not be run: jobs of clients that went away, and purged ones. The record first, then the message.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_bus::Bus;
use nuncius_bus::clock::unix_ns;
use nuncius_bus::tail::StoredMessage;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_IF_CLIENT, HEADER_MESSAGE_ID, client_lease, job_consumer};

use tokio::task::JoinSet;

use crate::finish::write_record;
use crate::take::Name;
use crate::{JobError, Queues};

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
    /// Drops the jobs that ask for it of every client that was not `present` at two calls in a row and is not now; those that were
    /// never begun. How many were dropped.
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
            let reason = "its client went away";
            let (count, until) =
                drop_waiting(queues, definition, subject, name.priority, from, reason, Choice::IfClient).await?;
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
        dropped += drop_waiting(queues, definition, &filter, priority, 0, "purged", Choice::All).await?.0;
    }
    Ok(dropped)
}

/// Which of the jobs that wait are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Those that ask for it when their client is gone.
    IfClient,
    All,
}

/// Drops what is chosen of the jobs of a subject (wildcards allowed) from a sequence on. How many, and up to where was looked.
async fn drop_waiting(
    queues: &Queues,
    definition: &QueueDefinition,
    subject: &str,
    priority: u8,
    from: u64,
    reason: &'static str,
    choice: Choice,
) -> Result<(u64, u64), JobError> {
    let bus = &queues.bus;
    let stream = bus.namespace().stream_job(&definition.name);
    let begun = bus.consumer_state(&stream, &job_consumer(priority)).await?.delivered_sequence;
    let mut next = from.max(begun + 1);
    let mut dropped = 0;
    let mut endings = JoinSet::new();
    while let Some(found) = bus.next_message(&stream, subject, next).await? {
        next = found.sequence + 1;
        if choice == Choice::IfClient && found.headers.get(HEADER_IF_CLIENT) != Some("present") {
            continue;
        }
        while endings.len() >= AT_ONCE {
            ended(endings.join_next().await)?;
        }
        dropped += 1;
        endings.spawn(drop_one(bus.clone(), definition.name.clone(), stream.clone(), found, reason));
    }
    while !endings.is_empty() {
        ended(endings.join_next().await)?;
    }
    Ok((dropped, next))
}

fn ended(outcome: Option<Result<Result<(), JobError>, tokio::task::JoinError>>) -> Result<(), JobError> {
    match outcome {
        Some(Ok(outcome)) => outcome,
        // A task that was torn down with its runtime: nothing is counted any more.
        Some(Err(_)) | None => Ok(()),
    }
}

async fn drop_one(
    bus: Bus,
    queue: String,
    stream: String,
    found: StoredMessage,
    reason: &'static str,
) -> Result<(), JobError> {
    let Some(name) = Name::read(&found.subject, found.headers.get(HEADER_MESSAGE_ID), found.sequence) else {
        return Ok(());
    };
    let waited_ns = i64::try_from(unix_ns()).unwrap_or(i64::MAX).saturating_sub(found.published_unix_ns);
    let result = JobResult {
        job_sequence: found.sequence,
        submitted_unix_ns: found.published_unix_ns,
        wait_seconds: waited_ns.max(0) as f64 / 1e9,
        error: Some(reason.to_owned()),
        ..JobResult::not_run(&name.id, &queue, &name.client, name.priority, JobStatus::Dropped)
    };
    // Somebody may have begun it meanwhile: whoever writes first is right, and the other forgets it.
    write_record(&bus, &result, None).await?;
    bus.delete_message(&stream, found.sequence).await?;
    Ok(())
}
