//! The worker's second half: how an attempt ends. The record first, guarded; then the acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::work_queue::WorkItem;
use nuncius_bus::{Bus, ServerClock};
use nuncius_schemas::job::{JobEvent, JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::queue_returned;
use nuncius_telemetry::OpenSpan;
use tokio::sync::watch;

use crate::name::Name;
use crate::record::{Settled, settle, settled};
use crate::take::{Taken, returned};
use crate::{JobError, Queues, dead, spans};

/// How an attempt ended for the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Its record is written, with this status.
    Recorded(JobStatus),
    /// It is tried again after this pause.
    Retried(Duration),
    /// Somebody else's record was there first: this attempt counts for nothing.
    Superseded,
    /// The job had ended before by another message of its id: this one is a repeat, and this attempt counts for
    /// nothing.
    Repeated,
}

/// Ends attempts at jobs of one queue.
#[derive(Debug, Clone)]
pub struct Finisher {
    pub(crate) bus: Bus,
    definition: watch::Receiver<Arc<QueueDefinition>>,
    clock: ServerClock,
}

impl Finisher {
    /// Under the definition as it stands at any moment.
    pub fn new(queues: &Queues, definition: watch::Receiver<Arc<QueueDefinition>>) -> Self {
        Self { bus: queues.bus.clone(), definition, clock: queues.clock().clone() }
    }

    /// The definition now.
    pub fn definition(&self) -> Arc<QueueDefinition> {
        Arc::clone(&self.definition.borrow())
    }

    /// The server's clock, by which waits are told.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Ends an attempt as its result says; one that failed is tried again where the queue wants that, and given up
    /// after the last.
    ///
    /// Waits as long as the record cannot be written: what was done is not thrown away.
    ///
    /// # Errors
    /// [`JobError::NoQueue`] where the queue has been removed meanwhile.
    pub async fn finish(
        &self,
        taken: &Taken,
        result: &JobResult,
        traceparent: Option<&str>,
    ) -> Result<Finish, JobError> {
        let definition = self.definition();
        if result.status == JobStatus::Failed && definition.retry_failures {
            if taken.attempt < definition.attempts {
                let delay = Duration::from_nanos(definition.backoff_ns(taken.attempt));
                let span = self.settling(taken, "nack", traceparent);
                taken.item.nak(delay).await?;
                drop(span);
                return Ok(Finish::Retried(delay));
            }
            let reason = result.error.clone().unwrap_or_else(|| "it failed".to_owned());
            let result = JobResult { status: JobStatus::Dead, ..result.clone() };
            return self.bury(taken, result, taken.attempt, &reason, traceparent).await;
        }
        let settled = settle(&self.bus, result, taken.form(), traceparent).await?;
        let _span = self.settling(taken, "ack", traceparent);
        if let Err(error) = taken.item.ack().await {
            tracing::debug!(%error, job = taken.id, "not acknowledged: the next worker finds its record");
        }
        Ok(finish_of(settled, result.status))
    }

    /// Writes the record of a job that is given up, keeps a copy, and ends it.
    pub async fn give_up(&self, taken: &Taken, attempts: u32, reason: &str) -> Result<Finish, JobError> {
        let mut result = taken.result(&self.definition().name);
        result.status = JobStatus::Dead;
        result.attempt = attempts;
        result.error = Some(reason.to_owned());
        self.bury(taken, result, attempts, reason, taken.traceparent.as_deref()).await
    }

    /// The record first: who finds the job again after a crash in between sees from it that a copy is wanted.
    async fn bury(
        &self,
        taken: &Taken,
        result: JobResult,
        attempts: u32,
        reason: &str,
        traceparent: Option<&str>,
    ) -> Result<Finish, JobError> {
        let settled = settle(&self.bus, &result, taken.form(), traceparent).await?;
        if settled == Settled::Here {
            let name = Name { id: taken.id.clone(), client: taken.client.clone(), priority: taken.priority };
            self.copy(&taken.item, &name, attempts, reason).await?;
        }
        let _span = self.settling(taken, "ack", traceparent);
        taken.item.ack().await?;
        Ok(finish_of(settled, JobStatus::Dead))
    }

    /// The span of the answer to the queue; it ends when it is dropped.
    fn settling(&self, taken: &Taken, name: &'static str, traceparent: Option<&str>) -> OpenSpan {
        spans::settle(&self.bus, &self.definition().name, &taken.id, name, traceparent)
    }

    async fn copy(&self, item: &WorkItem, name: &Name, attempts: u32, reason: &str) -> Result<(), JobError> {
        dead::keep(&self.bus, &self.definition().name, name, &item.headers, &item.payload, attempts, reason).await
    }

    pub(crate) async fn drop_taken(&self, taken: &Taken, reason: &str) -> Result<(), JobError> {
        let mut result = taken.result(&self.definition().name);
        result.status = JobStatus::Dropped;
        result.attempt = 0;
        result.error = Some(reason.to_owned());
        let traceparent = taken.traceparent.as_deref();
        settle(&self.bus, &result, taken.form(), traceparent).await?;
        let _span = self.settling(taken, "ack", traceparent);
        Ok(taken.item.ack().await?)
    }

    /// Whether a message's job has its record already; then the message is ended here.
    pub(crate) async fn is_settled(&self, item: &WorkItem, name: &Name) -> Result<bool, JobError> {
        let queue = &self.definition().name;
        let found = settled(&self.bus, queue, &name.client, &name.id, item.stream_sequence()).await?;
        match found {
            None => return Ok(false),
            Some((Settled::Repeated, _)) => {
                tracing::info!(job = name.id, client = name.client, "had ended before: a repeat, not run");
            }
            Some((Settled::Here | Settled::Elsewhere, record)) => {
                if let Some(result) = record.filter(|record| record.status == JobStatus::Dead) {
                    // Perhaps whoever wrote it was killed before the copy.
                    let reason = result.error.as_deref().unwrap_or_default();
                    self.copy(item, name, result.attempt, reason).await?;
                }
            }
        }
        item.ack().await?;
        Ok(true)
    }

    /// Hands an attempt back unfinished, for another worker; it costs the job nothing.
    pub async fn hand_back(&self, taken: &Taken) -> Result<(), JobError> {
        self.give_back(&taken.item, &taken.id).await
    }

    /// The same for a message that was never looked at.
    pub async fn hand_back_item(&self, item: &WorkItem) -> Result<(), JobError> {
        match Name::of(item) {
            Some(name) => self.give_back(item, &name.id).await,
            None => Ok(item.term().await?),
        }
    }

    pub(crate) async fn give_back(&self, item: &WorkItem, job: &str) -> Result<(), JobError> {
        let queue = &self.definition().name;
        // Counted before it is handed back: a crash in between costs the job an attempt less, never one more.
        let kv = self.bus.kv(&self.bus.namespace().bucket_queue()).await?;
        let count = returned(&kv, queue, job).await? + 1;
        kv.put(&queue_returned(queue, job), Bytes::from(count.to_string())).await?;
        Ok(item.nak(Duration::ZERO).await?)
    }

    /// Tells whoever looks what happened; may be lost.
    pub async fn tell(&self, event: &JobEvent) {
        let subject = self.bus.namespace().job_event(&self.definition().name);
        if let Err(error) = self.bus.publish_message(&subject, "job-event.v1", event).await {
            tracing::debug!(%error, "job event not sent");
        }
    }
}

fn finish_of(settled: Settled, status: JobStatus) -> Finish {
    match settled {
        Settled::Here => Finish::Recorded(status),
        Settled::Elsewhere => Finish::Superseded,
        Settled::Repeated => Finish::Repeated,
    }
}
