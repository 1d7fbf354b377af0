//! What can go wrong on the bus.

use std::time::Duration;

use crate::refusal::Access;

/// One field of a stream or consumer that the server did not take as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, as NATS calls it.
    pub field: &'static str,
    /// What was asked.
    pub asked: String,
    /// What the server has.
    pub echoed: String,
}

/// Errors of this crate. Texts never contain credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The connection could not be made.
    #[error("cannot connect to NATS at {urls}: {reason}")]
    Connect {
        /// The servers tried, without user information.
        urls: String,
        /// Why not.
        reason: String,
    },
    /// Connection options that contradict themselves or cannot be read.
    #[error("bad NATS connection option: {0}")]
    Options(String),
    /// The server does not let this connection's user do this.
    #[error(
        "nats-server does not let {who} {access} `{subject}`: grant it in the server's configuration (`nuncius \
         nats-config` writes one), or use the credentials and the --role of who may"
    )]
    NotPermitted {
        /// What was tried.
        access: Access,
        /// Where.
        subject: String,
        /// "role worker".
        who: String,
    },
    /// Nobody has made the streams and buckets yet.
    #[error("the streams of {namespace} are not there yet: start who makes them, `nuncius experimentd` or `frontend`")]
    NoStreamsYet {
        /// The namespace.
        namespace: String,
    },
    /// The connection has been closed for good by `drain_and_close`.
    #[error("the NATS connection is closed")]
    Closed,
    /// A subject that NATS would refuse.
    #[error("invalid subject `{subject}`: {reason}")]
    InvalidSubject {
        /// The subject.
        subject: String,
        /// Why.
        reason: String,
    },
    /// A header name or value that would break the wire format.
    #[error("invalid header `{name}`: names are printable ASCII without `:`, values have no line breaks")]
    InvalidHeader {
        /// Its name, made printable.
        name: String,
    },
    /// A KV key that NATS would refuse.
    #[error("invalid key `{key}` for bucket {bucket}: use A-Z a-z 0-9 - _ / = and inner dots")]
    InvalidKey {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Payload and headers together are larger than the server takes.
    #[error("message of {size_bytes} bytes to {subject} is over the server's max_payload of {limit_bytes} bytes")]
    PayloadTooLarge {
        /// Where it was to go.
        subject: String,
        /// Headers and payload.
        size_bytes: usize,
        /// `max_payload` of the server.
        limit_bytes: usize,
    },
    /// Nobody answered in time; somebody may have heard.
    #[error("no answer from {what} within {after:?}")]
    Timeout {
        /// The subject or operation.
        what: String,
        /// How long it was waited.
        after: Duration,
    },
    /// Nobody listens there.
    #[error("nobody listens on {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// No stream takes this subject.
    #[error("queue not accepted: no stream takes {subject}")]
    NoStream {
        /// The subject.
        subject: String,
    },
    /// The stream refused the message: full, sealed, over a limit.
    #[error("{subject} refused the message: {text} (error {code})")]
    Refused {
        /// The subject.
        subject: String,
        /// JetStream's error code: 10077 is a stream limit.
        code: u64,
        /// JetStream's words: "maximum messages exceeded".
        text: String,
    },
    /// The expected last sequence of the subject was another: somebody else wrote first.
    #[error("{subject} has been written by somebody else: {text}")]
    WrongLastSequence {
        /// The subject.
        subject: String,
        /// The stream that keeps it.
        stream: String,
        /// JetStream's words.
        text: String,
    },
    /// The server keeps a stream or consumer otherwise than asked.
    #[error("{kind} {name} is not as asked: {}", list(.differences))]
    ConfigMismatch {
        /// "stream" or "consumer".
        kind: &'static str,
        /// Its name.
        name: String,
        /// Field by field.
        differences: Vec<Difference>,
    },
    /// There is no such stream, bucket or object store.
    #[error("there is no {kind} {name}")]
    NotFound {
        /// "stream", "bucket", "object store", "object".
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The stream was made anew: its sequences start again, what was read before is another history.
    #[error("stream {stream} was made anew: it ends at {last_sequence}, but {read_sequence} was read already")]
    StreamReset {
        /// The stream.
        stream: String,
        /// Where it ends now.
        last_sequence: u64,
        /// How far it had been read.
        read_sequence: u64,
    },
    /// JetStream answered with an error.
    #[error("{what} failed: {text}")]
    JetStream {
        /// The operation.
        what: String,
        /// The answer.
        text: String,
    },
    /// An answer that could not be read.
    #[error("bad answer from {what}: {reason}")]
    BadAnswer {
        /// The subject or operation.
        what: String,
        /// Why.
        reason: String,
    },
}

impl BusError {
    pub(crate) fn jetstream(what: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::JetStream { what: what.into(), text: error.to_string() }
    }

    /// Whether trying again later, unchanged, may succeed (outages, time-outs).
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::Connect { .. }
                | Self::JetStream { .. }
                | Self::NoResponders { .. }
                | Self::NoStreamsYet { .. }
        )
    }
}

fn list(differences: &[Difference]) -> String {
    let parts: Vec<String> =
        differences.iter().map(|d| format!("{} asked {} but is {}", d.field, d.asked, d.echoed)).collect();
    parts.join(", ")
}
