//! Publishing into streams, with the acknowledgement.

use std::time::Duration;

use bytes::Bytes;
use nuncius_schemas::subjects::HEADER_MESSAGE_ID;
use serde::Deserialize;

use crate::api::{Retry, WireError};
use crate::headers::write_header;
use crate::{Bus, BusError, Headers};

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 4;
const HEADER_EXPECTED_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// JetStream: wrong last sequence.
const CODE_WRONG_LAST_SEQUENCE: u64 = 10071;

/// A stream took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubAck {
    /// The stream.
    pub stream: String,
    /// The message's sequence there.
    pub sequence: u64,
    /// Its id was seen lately; that does not mean that it is stored still.
    pub duplicate: bool,
}

#[derive(Deserialize)]
struct WireAck {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<WireError>,
}

impl Bus {
    /// Publishes into the stream that takes `subject` and waits for its acknowledgement.
    ///
    /// With a `message_id` a time-out is retried with the same id (4 attempts of 5 s); without one it is not, as that
    /// could store the message twice. A retry that finds its own first attempt stored is a success with `duplicate`
    /// set. `expected_last_subject_sequence` is compared by the stream before it stores: 0 means that the subject must
    /// be empty. Without a leader of the stream nothing is stored: that is tried again until one is elected, or
    /// `election_patience` is over.
    ///
    /// # Errors
    /// [`BusError::NoStream`], [`BusError::Refused`] (full), [`BusError::WrongLastSequence`],
    /// [`BusError::PayloadTooLarge`], [`BusError::Timeout`].
    pub async fn publish_acked(
        &self,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        message_id: Option<&str>,
        expected_last_subject_sequence: Option<u64>,
    ) -> Result<PubAck, BusError> {
        let sequence = expected_last_subject_sequence.map(|sequence| sequence.to_string());
        let added = [(HEADER_MESSAGE_ID, message_id), (HEADER_EXPECTED_SUBJECT_SEQUENCE, sequence.as_deref())];
        let mut attempts = if message_id.is_some() { ATTEMPTS } else { 1 };
        let mut timed_out = false;
        let mut retry = None;
        loop {
            let outcome = self.publish_once(subject, headers, &added, payload.clone()).await;
            match &outcome {
                Err(BusError::Timeout { .. }) if attempts > 1 => {
                    attempts -= 1;
                    timed_out = true;
                }
                // The server compares sequences before it looks at ids, so this may be the own first attempt.
                Err(BusError::WrongLastSequence { stream, .. }) if timed_out => {
                    let stored = self.last_message(stream, subject).await?;
                    return match stored {
                        Some(stored) if stored.headers.get(HEADER_MESSAGE_ID) == message_id => {
                            Ok(PubAck { stream: stream.clone(), sequence: stored.sequence, duplicate: true })
                        }
                        _ => outcome,
                    };
                }
                Err(error) if self.has_no_leader(error) => {
                    if !retry.get_or_insert_with(|| Retry::new(self)).again().await {
                        return outcome.map_err(|error| self.unless_cut_off(error));
                    }
                }
                _ => return outcome,
            }
        }
    }

    /// Whether a message was not stored for want of a leader that may be elected soon.
    fn has_no_leader(&self, error: &BusError) -> bool {
        match error {
            BusError::Refused { code, text, .. } => WireError { err_code: *code, description: text.clone() }.passes(),
            // Only the leader listens.
            BusError::NoStream { .. } => self.is_apart(),
            _ => false,
        }
    }

    /// Behind a link nobody knows whether there is a stream.
    fn unless_cut_off(&self, error: BusError) -> BusError {
        match error {
            BusError::NoStream { subject } if self.is_behind_link() => BusError::NoResponders { subject },
            error => error,
        }
    }

    async fn publish_once(
        &self,
        subject: &str,
        headers: &Headers,
        added: &[(&str, Option<&str>)],
        payload: Bytes,
    ) -> Result<PubAck, BusError> {
        let mut map = headers.to_wire()?;
        for (name, value) in added {
            if let Some(value) = value {
                write_header(map.get_or_insert_default(), name, value)?;
            }
        }
        let head_bytes = || {
            let added = added.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
            added.fold(headers.clone(), |all, (name, value)| all.with(name, value)).wire_bytes()
        };
        let answer = match self.ask(subject, map, payload, ACK_TIMEOUT, head_bytes).await {
            Err(BusError::NoResponders { subject }) => return Err(BusError::NoStream { subject }),
            answer => answer?,
        };
        let ack: WireAck = serde_json::from_slice(&answer.payload)
            .map_err(|e| BusError::BadAnswer { what: subject.to_owned(), reason: format!("not a PubAck: {e}") })?;
        let subject = subject.to_owned();
        match ack.error {
            None => Ok(PubAck { stream: ack.stream, sequence: ack.seq, duplicate: ack.duplicate }),
            Some(error) if error.err_code == CODE_WRONG_LAST_SEQUENCE => {
                Err(BusError::WrongLastSequence { subject, stream: ack.stream, text: error.description })
            }
            Some(error) => Err(BusError::Refused { subject, code: error.err_code, text: error.description }),
        }
    }
}
