//! Terminal records: written once for each job, told to whoever listens for results, found again, and told apart from
//! those of a message that repeats a job.
//!
//! A record is told when it is in its stream, and before its job is acknowledged. Whoever finds that a job which comes
//! again has its record tells it once more, as its writer may have died in between.
//!
//! The stream of records holds, for every message that the stream of jobs ever took and lost again, either the record
//! of its job or, where the job had its record by an earlier message already, a repeat. Both are guarded by "the
//! subject has none yet".

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::tail::StoredMessage;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::{Bus, BusError, Headers, TypedError};
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobRepeat, JobResult};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT};

use crate::JobError;
use crate::form::Form;
use crate::name::client_token;
use crate::spans;

/// Pause before a record that was refused or not answered is written again, at first and at most.
const WRITE_PAUSE: Duration = Duration::from_millis(100);
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(2);
const SCHEMA: &str = "job-result.v1";
const SCHEMA_REPEAT: &str = "job-repeat.v1";

/// What the books say of a message once it is settled; it may then go from its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// By this record.
    Here,
    /// By the record of somebody else who had the same message.
    Elsewhere,
    /// Its job had ended before: it is a repeat.
    Repeated,
}

/// Writes the record of a message's job, or that it is a repeat. Goes on for as long as that cannot be known.
///
/// # Errors
/// [`JobError::NoQueue`] where there is no stream for it any more, [`BusError::Closed`].
pub(crate) async fn settle(
    bus: &Bus,
    result: &JobResult,
    form: Form,
    traceparent: Option<&str>,
) -> Result<Settled, JobError> {
    let span = spans::send_record(bus, &result.queue, &result.job, traceparent);
    let traceparent = span.traceparent();
    loop {
        if write(bus, result, form, traceparent.as_deref()).await? {
            return Ok(Settled::Here);
        }
        // The record that is there is told by this, too.
        match settled(bus, &result.queue, &result.client, &result.job, result.job_sequence).await? {
            // The own first write, whose answer was lost.
            Some((Settled::Elsewhere, Some(found))) if found == *result => return Ok(Settled::Here),
            Some((settled, _)) => return Ok(settled),
            // It made room for others between the refusal and the look.
            None => {}
        }
    }
}

/// How a message stands whose job has its record, with that, where it can be read; `None` where it has none. A repeat
/// is written down.
///
/// # Errors
/// As [`settle`].
pub(crate) async fn settled(
    bus: &Bus,
    queue: &str,
    client: &str,
    job: &str,
    job_sequence: u64,
) -> Result<Option<(Settled, Option<JobResult>)>, JobError> {
    let names = bus.namespace();
    let subject = names.result(queue, &client_token(client), job);
    let Some(found) = bus.last_direct(&names.stream_result(queue), &subject).await? else { return Ok(None) };
    let record: Option<JobResult> = codec::decode(&found.payload).ok();
    // One that cannot be read is in no total: then the message counts as a repeat of whatever that was.
    let recorded_job_sequence = record.as_ref().map_or(0, |record| record.job_sequence);
    if recorded_job_sequence == job_sequence {
        tell_again(bus, &subject, &found).await?;
        return Ok(Some((Settled::Elsewhere, record)));
    }
    let repeat = JobRepeat {
        job: job.to_owned(),
        queue: queue.to_owned(),
        client: client.to_owned(),
        job_sequence,
        recorded_job_sequence,
    };
    let payload =
        codec::encode(&repeat).map_err(|source| TypedError::Codec { what: format!("repeat of job {job}"), source })?;
    let headers =
        Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_MESSAGE_PACK).with(HEADER_SCHEMA, SCHEMA_REPEAT);
    let subject = names.repeat(queue, job_sequence);
    publish_once(bus, queue, job, &subject, &headers, vec![payload.into()]).await?;
    Ok(Some((Settled::Repeated, record)))
}

/// Tells of a record that the stream has.
async fn tell_again(bus: &Bus, subject: &str, found: &StoredMessage) -> Result<(), BusError> {
    let told = [HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT];
    let headers = told.into_iter().filter_map(|name| Some((name, found.headers.get(name)?))).collect();
    bus.tell(subject, &headers, found.payload.clone()).await
}

/// The headers of all records of a form, which are the same but for the trace context.
fn headers_of(form: Form) -> Result<Headers, BusError> {
    static MESSAGE_PACK: OnceLock<Headers> = OnceLock::new();
    static JSON: OnceLock<Headers> = OnceLock::new();
    let made = match form {
        Form::MessagePack => &MESSAGE_PACK,
        Form::Json => &JSON,
    };
    if let Some(headers) = made.get() {
        return Ok(headers.clone());
    }
    let headers = Headers::new().with(HEADER_CONTENT_TYPE, form.content_type()).with(HEADER_SCHEMA, SCHEMA).ready()?;
    Ok(made.get_or_init(|| headers).clone())
}

/// Writes a terminal record unless the job has one, and tells of it; whether it was written.
async fn write(bus: &Bus, result: &JobResult, form: Form, traceparent: Option<&str>) -> Result<bool, JobError> {
    let subject = bus.namespace().record(&result.queue, &client_token(&result.client), &result.job);
    let mut headers = headers_of(form)?;
    if let Some(traceparent) = traceparent {
        headers.insert(HEADER_TRACEPARENT, traceparent);
    }
    let mut payloads = vec![form.encode(result)?];
    if result.stdout_tail.is_some() || result.stderr_tail.is_some() {
        // For a server that takes no such large messages.
        payloads.push(form.encode(&JobResult { stdout_tail: None, stderr_tail: None, ..result.clone() })?);
    }
    let stored = publish_once(bus, &result.queue, &result.job, &subject, &headers, payloads).await?;
    let Some(payload) = stored else { return Ok(false) };
    let subject = bus.namespace().result(&result.queue, &client_token(&result.client), &result.job);
    bus.tell(&subject, &headers, payload).await?;
    Ok(true)
}

/// Publishes unless the subject has a message; what was stored. The first payload that is not too large is taken.
/// Repeats for as long as that cannot be known.
async fn publish_once(
    bus: &Bus,
    queue: &str,
    job: &str,
    subject: &str,
    headers: &Headers,
    payloads: Vec<Bytes>,
) -> Result<Option<Bytes>, JobError> {
    let mut pause = WRITE_PAUSE;
    let mut payloads = payloads.into_iter().peekable();
    let mut payload = payloads.next().unwrap_or_default();
    loop {
        match bus.publish_acked(subject, headers, payload.clone(), None, Some(0)).await {
            Ok(_) => return Ok(Some(payload)),
            Err(BusError::WrongLastSequence { .. }) => return Ok(None),
            Err(BusError::NoStream { .. }) => return Err(JobError::NoQueue { queue: queue.to_owned() }),
            Err(error @ BusError::PayloadTooLarge { .. }) => match payloads.next() {
                Some(shorter) => {
                    payload = shorter;
                    continue;
                }
                None => return Err(error.into()),
            },
            Err(error @ (BusError::Refused { .. } | BusError::BadAnswer { .. })) => {
                tracing::warn!(%error, job, "record not taken; trying again (is `result_bytes` too small?)");
            }
            Err(error) if error.is_transient() => tracing::debug!(%error, job, "record not written yet"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(WRITE_PAUSE_MAX);
    }
}
