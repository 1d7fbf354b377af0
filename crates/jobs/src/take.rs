//! The worker's first half: jobs as they come out of the queue, each as an attempt that may be run, or settled already.

use bytes::Bytes;
use nuncius_bus::kv::Kv;
use nuncius_bus::work_queue::{RankedQueues, WorkItem};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::job::{Job, JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_TRACEPARENT, queue_returned};
use nuncius_schemas::units::HumanDuration;

use crate::form::Form;
use crate::name::{Name, has_new_id};
use crate::queue::wanted_consumer;
use crate::{ACK_WAIT, Finisher, JobError};

/// A job that is this worker's to run.
#[derive(Debug)]
pub struct Taken {
    pub(crate) item: WorkItem,
    /// Its identifier.
    pub id: String,
    /// Who submitted it.
    pub client: String,
    /// 0 is the most urgent.
    pub priority: u8,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What to run it with.
    pub job: Job,
    /// When it was stored, by the server's clock, unix nanoseconds.
    pub submitted_unix_ns: i64,
    /// When this attempt was taken, by the server's clock.
    pub taken_unix_ns: i64,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
}

impl Taken {
    /// From submission to now, in seconds.
    pub fn wait_seconds(&self) -> f64 {
        (self.taken_unix_ns - self.submitted_unix_ns).max(0) as f64 / 1e9
    }

    /// The form in which its record is wanted.
    pub(crate) fn form(&self) -> Form {
        Form::of(&self.item.headers, &self.item.payload)
    }

    /// Says that the job is still being run, and waits for the server's answer.
    pub async fn progress(&self) -> Result<(), BusError> {
        self.item.progress().await
    }

    /// The record of this attempt, which went well so far.
    pub fn result(&self, queue: &str) -> JobResult {
        JobResult {
            attempt: self.attempt,
            job_sequence: self.item.stream_sequence(),
            submitted_unix_ns: self.submitted_unix_ns,
            wait_seconds: self.wait_seconds(),
            ..JobResult::not_run(&self.id, queue, &self.client, self.priority, JobStatus::Succeeded)
        }
    }
}

/// Takes jobs of one queue.
#[derive(Debug)]
pub struct Taker {
    bus: Bus,
    queues: RankedQueues,
    finisher: Finisher,
}

impl Taker {
    /// Waits at all priorities of the queue, whose streams and consumers are there already.
    pub fn new(bus: &Bus, definition: &QueueDefinition, finisher: Finisher) -> Self {
        let queues = (0..definition.priorities)
            .map(|priority| bus.existing_work_queue(wanted_consumer(bus, definition, priority)))
            .collect();
        Self { bus: bus.clone(), queues: RankedQueues::new(queues, &definition.priority_shares), finisher }
    }

    /// The next message for one of `free` slots, however long that takes; hand it to [`admit`]. Cancel-safe.
    pub async fn next_of(&mut self, free: usize) -> Result<WorkItem, JobError> {
        Ok(self.queues.next_of(free).await?.1)
    }

    /// What has come already, for a slot that is free, without asking for more.
    pub fn ready(&mut self) -> Option<WorkItem> {
        self.queues.ready()
    }

    /// What there is at once for `free` slots, without waiting: none says that the queue is empty.
    pub async fn at_once(&mut self, free: usize) -> Result<Option<WorkItem>, JobError> {
        Ok(self.queues.at_once(free).await?.map(|(_, item)| item))
    }

    /// A message for which there is no slot: hand it to [`Finisher::hand_back_item`]. Waits for ever while none can
    /// come. Cancel-safe.
    pub async fn surplus(&mut self) -> WorkItem {
        self.queues.surplus().await
    }

    /// Takes no more. What came already is handed back, without costing it an attempt.
    pub async fn leave(self) {
        for item in self.queues.leave().await {
            let Some(name) = Name::of(&item) else { continue };
            if let Err(error) = self.finisher.give_back(&item, &name.id).await {
                tracing::warn!(%error, job = name.id, "not handed back: it is given to another worker after {ACK_WAIT:?}");
            }
        }
        let _ = self.bus.flush().await;
    }
}

/// Makes an attempt of a message: `None` where the job is settled already, or had to be settled here: a repeat, given
/// up after too many attempts, unreadable, of nobody who can be a client, or too long in the queue.
///
/// # Errors
/// Only where the bus fails: the message is then delivered again.
pub async fn admit(finisher: &Finisher, item: WorkItem) -> Result<Option<Taken>, JobError> {
    let definition = finisher.definition();
    let Some(name) = Name::of(&item) else {
        // No stream of ours takes such a subject.
        item.term().await?;
        return Ok(None);
    };
    let mut attempt = 1;
    if (item.delivered() > 1 || !has_new_id(&name, &item.headers)) && finisher.is_settled(&item, &name).await? {
        return Ok(None);
    }
    if item.delivered() > 1 {
        let kv = finisher.bus.kv(&finisher.bus.namespace().bucket_queue()).await?;
        let returned = returned(&kv, &definition.name, &name.id).await?;
        attempt = u32::try_from(item.delivered().saturating_sub(returned).max(1)).unwrap_or(u32::MAX);
    }
    let read = name.check().map_err(|error| error.to_string()).and_then(|()| {
        read(&item.payload, definition.max_arguments).map_err(|reason| format!("not readable as a job: {reason}"))
    });
    let (job, unreadable) = match read {
        Ok(job) => (job, None),
        Err(reason) => (Job::default(), Some(reason)),
    };
    let taken_unix_ns = finisher.clock().now_unix_ns().await?;
    let taken = Taken {
        id: name.id,
        client: name.client,
        priority: name.priority,
        attempt,
        job,
        submitted_unix_ns: item.published_unix_ns(),
        taken_unix_ns,
        traceparent: item.headers.get(HEADER_TRACEPARENT).map(str::to_owned),
        item,
    };
    if let Some(reason) = unreadable {
        finisher.give_up(&taken, 0, &reason).await?;
        return Ok(None);
    }
    if attempt > definition.attempts {
        let reason = format!("begun {} times, and its worker was lost each time", attempt - 1);
        finisher.give_up(&taken, attempt - 1, &reason).await?;
        return Ok(None);
    }
    if attempt == 1 && taken.wait_seconds() > definition.max_wait.as_secs_f64() {
        let waited = HumanDuration((taken.wait_seconds() * 1e9) as u64);
        let reason = format!("waited {waited}, over the limit `max_wait` of {}", definition.max_wait);
        finisher.drop_taken(&taken, &reason).await?;
        return Ok(None);
    }
    Ok(Some(taken))
}

fn read(payload: &Bytes, max_arguments: u32) -> Result<Job, String> {
    // A job without arguments needs no payload.
    if payload.is_empty() {
        return Ok(Job::default());
    }
    let job: Job = codec::decode(payload).map_err(|error| error.to_string())?;
    let arguments = job.args.len();
    if arguments > max_arguments as usize {
        return Err(format!("{arguments} arguments, over the limit `max_arguments` of {max_arguments}"));
    }
    Ok(job)
}

/// How often a job was handed back, which costs it no attempt.
pub(crate) async fn returned(kv: &Kv, queue: &str, job: &str) -> Result<u64, JobError> {
    let entry = kv.get(&queue_returned(queue, job)).await?;
    let count = entry.and_then(|entry| std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok()));
    Ok(count.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_arguments_are_refused_by_their_limit() {
        let payload = Bytes::from(codec::encode(&Job { args: vec![String::new(); 4], limit: None }).unwrap());
        assert!(read(&payload, 4).is_ok());
        assert_eq!(read(&payload, 3).unwrap_err(), "4 arguments, over the limit `max_arguments` of 3");
        assert_eq!(read(&Bytes::new(), 0), Ok(Job::default()));
        assert!(read(&Bytes::from_static(b"\xff\xff"), 1).is_err());
    }
}
