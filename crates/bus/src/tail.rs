//! Reading a stream to its end and on: in order, without gap or repeat, over restarts of the server.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bytes::Bytes;

use crate::api::{CODE_NO_MESSAGE, CODE_NO_STREAM};
use crate::backoff::Backoff;
use crate::pull::{Pull, Pulled, delivery};
use crate::{Bus, BusError, Headers};

/// Messages asked for at a time, whatever their size: with 256 KiB each at most 32 MiB on their way.
const WINDOW_MIN: usize = 128;
/// As many bytes may be on their way where messages are short: half of a window comes in each round trip, and of ten
/// thousand nodes as many messages come in each second.
const WINDOW_BYTES: usize = 32 << 20;
/// Most messages asked for at a time.
const WINDOW_MAX: usize = 2_048;
/// What a message has beside its payload, about.
const MESSAGE_BYTES: usize = 512;

/// How many messages to ask for at a time where the longest lately has this length.
fn window(longest_bytes: usize) -> usize {
    match longest_bytes {
        // None has been seen yet.
        0 => WINDOW_MIN,
        longest => (WINDOW_BYTES / (longest + MESSAGE_BYTES)).clamp(WINDOW_MIN, WINDOW_MAX),
    }
}

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With everything the stream has.
    All,
    /// With what comes from now on.
    New,
    /// With this sequence.
    FromSequence(u64),
}

/// A message as the stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Where it was published.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    /// When the server stored it, by the server's clock, unix nanoseconds.
    pub published_unix_ns: i64,
}

/// An endless reader; see [`Bus::tail`].
#[derive(Debug)]
pub struct Tail {
    bus: Bus,
    stream: String,
    filter: String,
    /// The next sequence wanted.
    next_sequence: u64,
    open: Option<Open>,
    pending: u64,
    /// About the length of the longest message lately.
    longest_bytes: usize,
    backoff: Backoff,
}

#[derive(Debug)]
struct Open {
    name: String,
    pull: Pull,
    consumer_sequence: u64,
}

impl Bus {
    /// An endless, ordered reader of the messages of `stream` that match `filter`. It survives restarts of the server
    /// and the loss of its consumer by starting anew after the last message it gave. What limits of the stream took
    /// away before it was read is not missed: that is the stream's business.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is not there.
    pub async fn tail(&self, stream: &str, filter: &str, start: Start) -> Result<Tail, BusError> {
        let next_sequence = match start {
            Start::All => 1,
            Start::FromSequence(sequence) => sequence.max(1),
            Start::New => self.last_sequence(stream).await? + 1,
        };
        let mut tail = Tail {
            bus: self.clone(),
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            next_sequence,
            open: None,
            pending: 0,
            longest_bytes: 0,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
        };
        tail.open = Some(tail.reopen().await?);
        Ok(tail)
    }
}

#[derive(serde::Deserialize)]
struct Found {
    message: async_nats::jetstream::stream::RawMessage,
}

impl Bus {
    /// The last message of `subject` (wildcards allowed) that the stream still has.
    pub async fn last_message(&self, stream: &str, subject: &str) -> Result<Option<StoredMessage>, BusError> {
        let what = || format!("reading {subject} of {stream}");
        let body = serde_json::json!({ "last_by_subj": subject });
        let found = match self.api::<Found>(&format!("STREAM.MSG.GET.{stream}"), &body).await? {
            Ok(found) => found,
            Err(error) if error.err_code == CODE_NO_MESSAGE => return Ok(None),
            Err(error) if error.err_code == CODE_NO_STREAM => {
                return Err(BusError::NotFound { kind: "stream", name: stream.to_owned() });
            }
            Err(error) => return Err(BusError::jetstream(what(), error.description)),
        };
        let message = async_nats::jetstream::message::StreamMessage::try_from(found.message)
            .map_err(|e| BusError::BadAnswer { what: what(), reason: e.to_string() })?;
        Ok(Some(StoredMessage {
            sequence: message.sequence,
            subject: message.subject.to_string(),
            headers: Headers::from_wire(Some(message.headers)),
            payload: message.payload,
            published_unix_ns: i64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(i64::MAX),
        }))
    }
}

impl Tail {
    /// The next message, however long that takes; cancel-safe.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream has been deleted, [`BusError::StreamReset`] where it was made anew (the
    /// next call reads it from its start), [`BusError::Closed`]. Outages are waited out.
    pub async fn next(&mut self) -> Result<StoredMessage, BusError> {
        loop {
            if self.open.is_none() {
                match self.reopen_checked().await {
                    Ok(open) => {
                        self.open = Some(open);
                        self.backoff.reset();
                    }
                    Err(error) if error.is_transient() => {
                        tracing::debug!(stream = self.stream, %error, "tail cannot be opened yet");
                        self.backoff.wait().await;
                        continue;
                    }
                    Err(error) => {
                        self.backoff.wait().await;
                        return Err(error);
                    }
                }
            }
            let Some(open) = self.open.as_mut() else { continue };
            let outstanding = open.pull.outstanding();
            let window = window(self.longest_bytes);
            if outstanding <= window / 2 {
                open.pull.request(window - outstanding).await?;
            }
            match open.pull.next().await {
                Pulled::Ended => {}
                Pulled::Lost(reason) | Pulled::Gone(reason) => {
                    tracing::debug!(stream = self.stream, reason, "tail lost its consumer");
                    self.open = None;
                }
                Pulled::Refused(error) => {
                    self.open = None;
                    self.backoff.wait().await;
                    return Err(error);
                }
                Pulled::Message(message) => {
                    let Some(info) = delivery(message.reply.as_deref()) else { continue };
                    if info.consumer_sequence != open.consumer_sequence + 1 {
                        // One was dropped on the way: read it again.
                        self.open = None;
                        continue;
                    }
                    open.consumer_sequence = info.consumer_sequence;
                    if info.stream_sequence < self.next_sequence {
                        continue;
                    }
                    self.next_sequence = info.stream_sequence + 1;
                    self.pending = info.pending;
                    // Forgotten within some hundred messages.
                    self.longest_bytes = message.payload.len().max(self.longest_bytes - self.longest_bytes / 64);
                    return Ok(StoredMessage {
                        sequence: info.stream_sequence,
                        headers: Headers::from_wire(message.headers),
                        subject: message.subject.to_string(),
                        payload: message.payload,
                        published_unix_ns: info.published_unix_ns,
                    });
                }
            }
        }
    }

    /// How many matching messages the stream had after the last one given (or at the opening). Zero: caught up.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The sequence from which the next message is wanted: everything before it has been given.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    async fn reopen_checked(&mut self) -> Result<Open, BusError> {
        let last_sequence = self.bus.last_sequence(&self.stream).await?;
        if last_sequence + 1 < self.next_sequence {
            let read_sequence = self.next_sequence - 1;
            self.next_sequence = 1;
            return Err(BusError::StreamReset { stream: self.stream.clone(), last_sequence, read_sequence });
        }
        self.reopen().await
    }

    async fn reopen(&mut self) -> Result<Open, BusError> {
        let policy = DeliverPolicy::ByStartSequence { start_sequence: self.next_sequence };
        let (name, pending) = reader(&self.bus, &self.stream, &self.filter, policy).await?;
        self.pending = pending;
        let pull = Pull::open(&self.bus, &self.stream, &name).await?;
        Ok(Open { name, pull, consumer_sequence: 0 })
    }

    /// Takes its consumer off the server at once; dropped, it goes after a minute.
    pub async fn close(mut self) {
        if let Some(open) = self.open.take() {
            forget_reader(&self.bus, &self.stream, &open.name).await;
        }
    }
}

/// Takes a reading consumer off the server; left behind it goes by itself.
pub(crate) async fn forget_reader(bus: &Bus, stream: &str, name: &str) {
    let operation = format!("CONSUMER.DELETE.{stream}.{name}");
    let what = || format!("deleting consumer {name} of {stream}");
    if let Err(error) = bus.api_done::<serde::de::IgnoredAny>(what, &operation, &()).await {
        tracing::debug!(stream, name, %error, "consumer not deleted");
    }
}

/// Makes a consumer for reading that goes when nobody pulls for a minute; its name, and how many messages wait for it.
pub(crate) async fn reader(
    bus: &Bus,
    stream: &str,
    filter: &str,
    deliver_policy: DeliverPolicy,
) -> Result<(String, u64), BusError> {
    let name = format!("reader_{:016x}", fastrand::u64(..));
    let config = pull::Config {
        name: Some(name.clone()),
        deliver_policy,
        ack_policy: AckPolicy::None,
        filter_subject: filter.to_owned(),
        inactive_threshold: Duration::from_secs(60),
        num_replicas: 1,
        memory_storage: true,
        metadata: HashMap::new(),
        ..pull::Config::default()
    };
    let info = bus.make_consumer(stream, config).await?;
    if info.config.filter_subject != filter {
        let difference = crate::Difference {
            field: "filter_subject",
            asked: filter.to_owned(),
            echoed: info.config.filter_subject.clone(),
        };
        return Err(BusError::ConfigMismatch { kind: "consumer", name, differences: vec![difference] });
    }
    Ok((name, info.num_pending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_short_messages_are_on_their_way_or_few_long_ones() {
        assert_eq!(window(0), 128);
        assert_eq!(window(500), 2_048);
        assert_eq!(window(256 * 1024), 128);
        assert!(window(30_000) * 30_000 <= WINDOW_BYTES && window(30_000) > 1_000);
    }
}
