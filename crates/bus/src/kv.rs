//! Key-value buckets, compatible with other NATS clients' (`nats kv`).

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::streams::{Discard, Storage, StreamWanted};
use crate::{Bus, BusError, Headers};

mod decoded;
mod watch;

pub use decoded::{Decoded, DecodedEntry, Unreadable};
pub use watch::{KvEvent, KvWatch};

const HEADER_OPERATION: &str = "KV-Operation";
const HEADER_LIFE: &str = "Nats-TTL";
const HEADER_MARKER_REASON: &str = "Nats-Marker-Reason";
/// How long markers of expiry and deletion stay to be seen.
const MARKER_TTL: Duration = Duration::from_secs(60);

/// A bucket as it is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketWanted {
    /// Its name.
    pub name: String,
    /// Life of an entry that is not written again; expiry leaves a marker that watchers see.
    pub max_age: Option<Duration>,
    /// Most bytes; full refuses.
    pub max_bytes: Option<u64>,
    /// Where it is kept.
    pub storage: Storage,
}

impl BucketWanted {
    /// The stream of the bucket.
    pub(crate) fn stream(&self) -> StreamWanted {
        let name = &self.name;
        let window = self.max_age.map_or(Duration::from_secs(120), |age| age.min(Duration::from_secs(120)));
        StreamWanted {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            discard: Discard::New,
            storage: self.storage,
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            max_messages_per_subject: Some(1),
            duplicate_window: Some(window),
            allow_rollup: true,
            allow_direct: true,
            deny_delete: true,
            allow_message_ttl: true,
            delete_marker_ttl: Some(MARKER_TTL),
            ..StreamWanted::default()
        }
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was written.
    Put,
    /// Somebody deleted it.
    Delete,
    /// Its age ended, or it was purged.
    Expired,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value; empty unless `operation` is `Put`.
    pub value: Bytes,
    /// Sequence in the bucket's stream; what `update` wants. 0 where the watcher found out by absence.
    pub revision: u64,
    /// What happened.
    pub operation: Operation,
}

/// A handle of a bucket.
#[derive(Debug, Clone)]
pub struct Kv {
    pub(crate) bus: Bus,
    pub(crate) name: String,
    max_age: Option<Duration>,
}

impl Bus {
    /// Makes the bucket, or changes it to what is wanted, and compares.
    pub async fn ensure_bucket(&self, wanted: &BucketWanted) -> Result<Kv, BusError> {
        self.ensure_stream(&wanted.stream()).await?;
        Ok(Kv { bus: self.clone(), name: wanted.name.clone(), max_age: wanted.max_age })
    }

    /// Opens a bucket.
    pub async fn kv(&self, name: &str) -> Result<Kv, BusError> {
        let state = self.stream_state(&format!("KV_{name}")).await.map_err(|e| match e {
            BusError::NotFound { .. } => BusError::NotFound { kind: "bucket", name: name.to_owned() },
            other => other,
        })?;
        Ok(Kv { bus: self.clone(), name: name.to_owned(), max_age: state.max_age })
    }
}

impl Kv {
    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Life of an entry that is not written again.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// The connection it works over.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(crate) fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn subject(&self, key: &str) -> Result<String, BusError> {
        let inner = !key.is_empty() && !key.starts_with('.') && !key.ends_with('.') && !key.contains("..");
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/=.".contains(&byte);
        if inner && key.len() <= 256 && key.bytes().all(fine) {
            Ok(format!("$KV.{}.{key}", self.name))
        } else {
            Err(BusError::InvalidKey { bucket: self.name.clone(), key: key.chars().take(256).collect() })
        }
    }

    /// The last entry, also where that is a deletion. Boxed, and so compiled once, in this crate.
    fn last<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BusError>> {
        Box::pin(self.find_last(key))
    }

    async fn find_last(&self, key: &str) -> Result<Option<Entry>, BusError> {
        let found = self.bus.last_direct(&self.stream(), &self.subject(key)?).await.map_err(|error| match error {
            BusError::NotFound { .. } => BusError::NotFound { kind: "bucket", name: self.name.clone() },
            other => other,
        })?;
        let Some(found) = found else { return Ok(None) };
        let operation = operation_of(&found.headers);
        Ok(Some(Entry { key: key.to_owned(), value: found.payload, revision: found.sequence, operation }))
    }

    /// The entry; none where there is none, or it was deleted or expired.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        Ok(self.last(key).await?.filter(|entry| entry.operation == Operation::Put))
    }

    /// Writes whatever is there; the new revision.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        self.write(key, value, &Headers::new(), None).await
    }

    /// Writes if the key is not there (or deleted, or expired): the new revision, or none where it is there.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Option<u64>, BusError> {
        self.create_with(key, value, &Headers::new()).await
    }

    /// The same, for an entry that goes by itself after `life` unless it is written again.
    pub async fn create_for(&self, key: &str, value: Bytes, life: Duration) -> Result<Option<u64>, BusError> {
        self.create_with(key, value, &life_header(life)).await
    }

    async fn create_with(&self, key: &str, value: Bytes, headers: &Headers) -> Result<Option<u64>, BusError> {
        match self.write(key, value.clone(), headers, Some(0)).await {
            Err(BusError::WrongLastSequence { .. }) => {}
            written => return written.map(Some),
        }
        let marker = match self.last(key).await? {
            Some(entry) if entry.operation == Operation::Put => return Ok(None),
            Some(entry) => entry.revision,
            // Gone since.
            None => 0,
        };
        match self.write(key, value, headers, Some(marker)).await {
            Err(BusError::WrongLastSequence { .. }) => Ok(None),
            written => written.map(Some),
        }
    }

    /// Writes if the last revision of the key is `revision`; the new one.
    ///
    /// # Errors
    /// [`BusError::WrongLastSequence`] where somebody else wrote, or the entry is gone.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, BusError> {
        self.write(key, value, &Headers::new(), Some(revision)).await
    }

    /// The same, for an entry that goes by itself after `life` unless it is written again.
    ///
    /// # Errors
    /// As [`Kv::update`].
    pub async fn update_for(&self, key: &str, value: Bytes, revision: u64, life: Duration) -> Result<u64, BusError> {
        self.write(key, value, &life_header(life), Some(revision)).await
    }

    /// Deletes the key, whatever is there.
    pub async fn delete(&self, key: &str) -> Result<(), BusError> {
        let headers = Headers::new().with(HEADER_OPERATION, "DEL");
        self.write(key, Bytes::new(), &headers, None).await.map(drop)
    }

    /// Deletes the key if its last revision is `revision`.
    pub async fn delete_revision(&self, key: &str, revision: u64) -> Result<(), BusError> {
        let headers = Headers::new().with(HEADER_OPERATION, "DEL");
        self.write(key, Bytes::new(), &headers, Some(revision)).await.map(drop)
    }

    async fn write(&self, key: &str, value: Bytes, headers: &Headers, expected: Option<u64>) -> Result<u64, BusError> {
        let subject = self.bus.key_subject(self.subject(key)?);
        let written = self.bus.publish_acked(&subject, headers, value, None, expected).await;
        match written {
            Ok(ack) => Ok(ack.sequence),
            Err(BusError::NoStream { .. }) => Err(BusError::NotFound { kind: "bucket", name: self.name.clone() }),
            Err(error) => Err(error),
        }
    }
}

/// Servers count the life of a message in whole seconds.
fn life_header(life: Duration) -> Headers {
    Headers::new().with(HEADER_LIFE, format!("{}s", life.as_secs().max(1)))
}

/// What the headers of a bucket's message say happened.
pub(crate) fn operation_of(headers: &Headers) -> Operation {
    match (headers.get(HEADER_OPERATION), headers.get(HEADER_MARKER_REASON)) {
        (Some("DEL"), _) | (_, Some("Remove")) => Operation::Delete,
        (Some("PURGE"), _) | (_, Some(_)) => Operation::Expired,
        _ => Operation::Put,
    }
}
