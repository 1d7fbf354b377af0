//! Dead letters: jobs that were given up, to be looked at, submitted again, or removed.

use bytes::Bytes;
use nuncius_bus::tail::StoredMessage;
use nuncius_bus::{Bus, Headers};
use nuncius_schemas::names::TOKEN_MAX_BYTES;
use nuncius_schemas::subjects::{
    HEADER_ATTEMPTS, HEADER_CLIENT, HEADER_IF_CLIENT, HEADER_JOB, HEADER_MESSAGE_ID, HEADER_PRIORITY, HEADER_REASON,
    HEADER_RETRY_OF,
};

use crate::take::Name;
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
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect();
    let headers = headers
        .clone()
        .with(HEADER_JOB, name.id.as_str())
        .with(HEADER_CLIENT, name.client.as_str())
        .with(HEADER_PRIORITY, name.priority.to_string())
        .with(HEADER_ATTEMPTS, attempts.to_string())
        .with(HEADER_REASON, reason);
    bus.publish_acked(&bus.namespace().dead_letter(queue), &headers, payload.clone(), Some(&name.id), None).await?;
    Ok(())
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

/// Submits a dead job again, under a new id that is given back, and removes the letter. Its client is not asked to be present.
///
/// # Errors
/// [`JobError::NoDeadLetter`]; those of a submission.
pub async fn retry(queues: &Queues, queue: &str, job: &str) -> Result<String, JobError> {
    let letter = find(queues, queue, job).await?;
    let id = next_id(&letter.job);
    let mut headers = letter.found.headers.clone();
    for name in [
        HEADER_JOB,
        HEADER_CLIENT,
        HEADER_PRIORITY,
        HEADER_ATTEMPTS,
        HEADER_REASON,
        HEADER_IF_CLIENT,
        HEADER_MESSAGE_ID,
    ] {
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
    let suffix = format!("-r{number}");
    let stem: String = stem.chars().take(TOKEN_MAX_BYTES - suffix.len()).collect();
    format!("{stem}{suffix}")
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
