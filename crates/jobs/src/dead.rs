//! Dead letters: jobs that were given up, to be looked at, submitted again, or removed.

use bytes::Bytes;
use nuncius_bus::tail::StoredMessage;
use nuncius_bus::{Bus, BusError, Headers};
use nuncius_schemas::names::with_suffix;
use nuncius_schemas::subjects::{
    HEADER_ATTEMPTS, HEADER_CLIENT, HEADER_ID, HEADER_IF_CLIENT, HEADER_JOB, HEADER_PRIORITY, HEADER_REASON,
    HEADER_RETRY_OF,
};

use crate::name::{Name, client_token};
use crate::{JobError, Queues};

/// Longest reason in a letter, in characters.
const REASON_MAX: usize = 500;

/// A job that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Sequence among the dead letters.
    pub sequence: u64,
    /// The job.
    pub job: String,
    /// Who submitted it.
    pub client: String,
    /// Its priority.
    pub priority: u8,
    /// How often it was begun.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When, by the server's clock, unix nanoseconds.
    pub unix_ns: i64,
    found: StoredMessage,
}

impl DeadLetter {
    fn read(found: StoredMessage) -> Self {
        let text = |name| found.headers.get(name).unwrap_or_default().to_owned();
        Self {
            sequence: found.sequence,
            job: text(HEADER_JOB),
            client: text(HEADER_CLIENT),
            priority: text(HEADER_PRIORITY).parse().unwrap_or(0),
            attempts: text(HEADER_ATTEMPTS).parse().unwrap_or(0),
            reason: text(HEADER_REASON),
            unix_ns: found.published_unix_ns,
            found,
        }
    }
}

/// Keeps a copy of a job that is given up, as it came, with the reason.
pub(crate) async fn keep(
    bus: &Bus,
    queue: &str,
    name: &Name,
    headers: &Headers,
    payload: &Bytes,
    attempts: u32,
    reason: &str,
) -> Result<(), JobError> {
    let printable = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
    };
    let headers = own_headers(headers)
        .with(HEADER_JOB, name.id.as_str())
        .with(HEADER_CLIENT, printable(&name.client))
        .with(HEADER_PRIORITY, name.priority.to_string())
        .with(HEADER_ATTEMPTS, attempts.to_string())
        .with(HEADER_REASON, printable(reason));
    let subject = bus.namespace().dead_letter(queue);
    // Two clients may have called a job the same.
    let message_id = format!("{}.{}", client_token(&name.client), name.id);
    match bus.publish_acked(&subject, &headers, payload.clone(), Some(&message_id), None).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(BusError::Closed) => Err(BusError::Closed.into()),
        // Its record is there; a job must not come again and again for the sake of its copy.
        Err(error) => {
            tracing::warn!(%error, job = name.id, "no copy is kept of a job that was given up");
            Ok(())
        }
    }
}

/// Headers without those that tell the server what to do with a message (`Nats-Expected-Stream`): they were meant for
/// another stream. What came with a line break or the like is left out too.
fn own_headers(headers: &Headers) -> Headers {
    let is_own = |name: &str| !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    let kept = headers.iter().filter(|(name, value)| is_own(name) && is_plain(name) && is_plain(value));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// At most `limit` dead letters of a queue, the oldest first.
pub async fn list(queues: &Queues, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, JobError> {
    let definition = queues.get(queue).await?;
    let names = queues.bus.namespace();
    let (stream, subject) = (names.stream_dead_letter(&definition.name), names.dead_letter(&definition.name));
    let mut letters = Vec::new();
    let mut next = 1;
    while letters.len() < limit {
        let Some(found) = queues.bus.next_message(&stream, &subject, next).await? else { break };
        next = found.sequence + 1;
        letters.push(DeadLetter::read(found));
    }
    Ok(letters)
}

async fn find(queues: &Queues, queue: &str, job: &str) -> Result<DeadLetter, JobError> {
    let letters = list(queues, queue, usize::MAX).await?;
    let found = letters.into_iter().find(|letter| letter.job == job);
    found.ok_or_else(|| JobError::NoDeadLetter { queue: queue.to_owned(), job: job.to_owned() })
}

/// Submits a dead job again, under a new id that is given back, and removes the letter. Its client is not asked to be
/// present.
///
/// # Errors
/// [`JobError::NoDeadLetter`]; those of a submission.
pub async fn retry(queues: &Queues, queue: &str, job: &str) -> Result<String, JobError> {
    let letter = find(queues, queue, job).await?;
    let id = next_id(&letter.job);
    let mut headers = own_headers(&letter.found.headers);
    for name in
        [HEADER_JOB, HEADER_CLIENT, HEADER_PRIORITY, HEADER_ATTEMPTS, HEADER_REASON, HEADER_ID, HEADER_IF_CLIENT]
    {
        headers.remove(name);
    }
    headers.insert(HEADER_RETRY_OF, letter.job.as_str());
    let names = queues.bus.namespace();
    let subject = names.job(queue, letter.priority, &letter.client);
    queues.bus.publish_acked(&subject, &headers, letter.found.payload.clone(), Some(&id), None).await?;
    queues.bus.delete_message(&names.stream_dead_letter(queue), letter.sequence).await?;
    Ok(id)
}

/// Removes a dead letter.
pub async fn remove(queues: &Queues, queue: &str, job: &str) -> Result<(), JobError> {
    let letter = find(queues, queue, job).await?;
    let stream = queues.bus.namespace().stream_dead_letter(queue);
    queues.bus.delete_message(&stream, letter.sequence).await?;
    Ok(())
}

/// `<id>-r1`, and `<id>-r2` for that; cut where it would be too long for a token.
fn next_id(id: &str) -> String {
    let (stem, number) = match id.rsplit_once("-r").and_then(|(stem, n)| Some((stem, n.parse::<u32>().ok()?))) {
        Some((stem, number)) => (stem, number.saturating_add(1)),
        None => (id, 1),
    };
    with_suffix(stem, &format!("-r{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_job_counts_its_repetitions_in_its_id() {
        assert_eq!(next_id("a"), "a-r1");
        assert_eq!(next_id("a-r1"), "a-r2");
        assert_eq!(next_id("over-run"), "over-run-r1");
        assert!(next_id(&"x".repeat(64)).len() <= 64);
    }
}
