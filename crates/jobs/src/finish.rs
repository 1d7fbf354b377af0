//! The worker's second half: how an attempt ends. The record first, guarded; then the acknowledgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::work_queue::WorkItem;
use nuncius_bus::{Bus, BusError, Headers, TypedError};
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobEvent, JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT, queue_returned};
use tokio::sync::watch;

use crate::take::{Name, Taken, returned};
use crate::{JobError, dead};

/// Pause before a record that was refused or not answered is written again, at first and at most.
const WRITE_PAUSE: Duration = Duration::from_millis(100);
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(2);
const SCHEMA: &str = "job-result.v1";

/// How an attempt ended for the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Its record is written, with this status.
    Recorded(JobStatus),
    /// It is tried again after this pause.
    Retried(Duration),
    /// Somebody else's record was there first: this attempt counts for nothing.
    Superseded,
}

/// Ends attempts at jobs of one queue.
#[derive(Debug, Clone)]
pub struct Finisher {
    pub(crate) bus: Bus,
    definition: watch::Receiver<Arc<QueueDefinition>>,
    clock_offset_ns: Arc<AtomicI64>,
}

impl Finisher {
    /// Under the definition as it stands at any moment.
    pub fn new(bus: &Bus, definition: watch::Receiver<Arc<QueueDefinition>>) -> Self {
        Self { bus: bus.clone(), definition, clock_offset_ns: Arc::new(AtomicI64::new(0)) }
    }

    /// The definition now.
    pub fn definition(&self) -> Arc<QueueDefinition> {
        Arc::clone(&self.definition.borrow())
    }

    /// The server's wall clock − this machine's, as last measured.
    pub fn clock_offset_ns(&self) -> i64 {
        self.clock_offset_ns.load(Ordering::Relaxed)
    }

    /// Measures that anew: waits are told by the server's clock alone.
    pub async fn measure_clock(&self) -> Result<(), JobError> {
        let stream = self.bus.namespace().stream_job(&self.definition().name);
        let (offset_ns, _) = self.bus.server_clock_offset_ns(&stream).await?;
        self.clock_offset_ns.store(offset_ns, Ordering::Relaxed);
        Ok(())
    }

    /// Ends an attempt as its result says; one that failed is tried again where the queue wants that, and given up after the last.
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
                taken.item.nak(delay).await?;
                return Ok(Finish::Retried(delay));
            }
            let reason = result.error.clone().unwrap_or_else(|| "it failed".to_owned());
            let result = JobResult { status: JobStatus::Dead, ..result.clone() };
            return self.bury(taken, result, taken.attempt, &reason).await;
        }
        let status = result.status;
        let written = write_record(&self.bus, result, traceparent).await?;
        if let Err(error) = taken.item.ack().await {
            tracing::debug!(%error, job = taken.id, "not acknowledged: the next worker finds its record");
        }
        Ok(if written { Finish::Recorded(status) } else { Finish::Superseded })
    }

    /// Writes the record of a job that is given up, keeps a copy, and ends it.
    pub async fn give_up(&self, taken: &Taken, attempts: u32, reason: &str) -> Result<Finish, JobError> {
        let mut result = taken.result(&self.definition().name);
        result.status = JobStatus::Dead;
        result.attempt = attempts;
        result.error = Some(reason.to_owned());
        self.bury(taken, result, attempts, reason).await
    }

    /// The record first: who finds the job again after a crash in between sees from it that a copy is wanted.
    async fn bury(&self, taken: &Taken, result: JobResult, attempts: u32, reason: &str) -> Result<Finish, JobError> {
        let written = write_record(&self.bus, &result, None).await?;
        if written {
            let name = Name { id: taken.id.clone(), client: taken.client.clone(), priority: taken.priority };
            self.copy(&taken.item, &name, attempts, reason).await?;
        }
        taken.item.ack().await?;
        Ok(if written { Finish::Recorded(JobStatus::Dead) } else { Finish::Superseded })
    }

    async fn copy(&self, item: &WorkItem, name: &Name, attempts: u32, reason: &str) -> Result<(), JobError> {
        dead::keep(&self.bus, &self.definition().name, name, &item.headers, &item.payload, attempts, reason).await
    }

    pub(crate) async fn drop_taken(&self, taken: &Taken, reason: &str) -> Result<(), JobError> {
        let mut result = taken.result(&self.definition().name);
        result.status = JobStatus::Dropped;
        result.attempt = 0;
        result.error = Some(reason.to_owned());
        write_record(&self.bus, &result, None).await?;
        Ok(taken.item.ack().await?)
    }

    /// Whether a delivered job has its record already; then it is ended here.
    pub(crate) async fn is_settled(&self, item: &WorkItem, name: &Name) -> Result<bool, JobError> {
        let names = self.bus.namespace();
        let queue = &self.definition().name;
        let subject = names.result(queue, &name.client, &name.id);
        let Some(found) = self.bus.last_direct(&names.stream_result(queue), &subject).await? else {
            return Ok(false);
        };
        if let Ok(result) = codec::decode::<JobResult>(&found.payload)
            && result.status == JobStatus::Dead
        {
            // Perhaps whoever wrote it was killed before the copy.
            let reason = result.error.as_deref().unwrap_or_default();
            self.copy(item, name, result.attempt, reason).await?;
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

/// Writes a terminal record unless the job has one; whether it was written. Repeats for as long as that cannot be known.
///
/// # Errors
/// [`JobError::NoQueue`] where there is no stream for it any more, [`BusError::Closed`].
pub(crate) async fn write_record(bus: &Bus, result: &JobResult, traceparent: Option<&str>) -> Result<bool, JobError> {
    let subject = bus.namespace().result(&result.queue, &result.client, &result.job);
    let mut headers = Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_MESSAGE_PACK).with(HEADER_SCHEMA, SCHEMA);
    if let Some(traceparent) = traceparent {
        headers.insert(HEADER_TRACEPARENT, traceparent);
    }
    let mut pause = WRITE_PAUSE;
    let mut is_shortened = false;
    let mut payload = encoded(result)?;
    loop {
        match bus.publish_acked(&subject, &headers, payload.clone(), None, Some(0)).await {
            Ok(_) => return Ok(true),
            // Also where the own first write was stored and its answer lost: the record is there, and one.
            Err(BusError::WrongLastSequence { .. }) => return Ok(false),
            Err(BusError::NoStream { .. }) => return Err(JobError::NoQueue { queue: result.queue.clone() }),
            Err(BusError::PayloadTooLarge { .. }) if !is_shortened => {
                is_shortened = true;
                payload = encoded(&JobResult { stdout_tail: None, stderr_tail: None, ..result.clone() })?;
                continue;
            }
            Err(error @ (BusError::Refused { .. } | BusError::BadAnswer { .. })) => {
                tracing::warn!(%error, job = result.job, "record not taken; trying again (is `result_bytes` too small?)");
            }
            Err(error) if error.is_transient() => tracing::debug!(%error, job = result.job, "record not written yet"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(WRITE_PAUSE_MAX);
    }
}

fn encoded(result: &JobResult) -> Result<Bytes, JobError> {
    let what = || format!("record of job {}", result.job);
    Ok(codec::encode(result).map_err(|source| TypedError::Codec { what: what(), source })?.into())
}
