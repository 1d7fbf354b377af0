//! A job that a worker has taken: what is known of it, and how often it had been handed back before.

use nuncius_bus::BusError;
use nuncius_bus::kv::Kv;
use nuncius_bus::work_queue::WorkItem;
use nuncius_schemas::job::{Job, JobResult, JobStatus};
use nuncius_schemas::subjects::queue_returned;

use crate::JobError;
use crate::form::Form;

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

/// How often a job was handed back, which costs it no attempt.
pub(crate) async fn returned(kv: &Kv, queue: &str, job: &str) -> Result<u64, JobError> {
    let entry = kv.get(&queue_returned(queue, job)).await?;
    let count = entry.and_then(|entry| std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok()));
    Ok(count.unwrap_or(0))
}
