//! Entries as messages. One that cannot be read keeps nobody from the others: it is named, and left out.

use std::fmt;

use nuncius_schemas::codec::{self, CodecError};
use serde::de::DeserializeOwned;

use super::{Entry, Kv};
use crate::BusError;

/// An entry that is not what the bucket holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// What is wrong with its value.
    pub problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, key, problem } = self;
        write!(
            f,
            "key `{key}` of bucket {bucket} cannot be read: {problem}; if nobody needs it, `nats kv del {bucket} \
             {key}` takes it away"
        )
    }
}

impl std::error::Error for Unreadable {}

/// Entries, and those that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<T> {
    /// What was read, with the entry's key and revision.
    pub entries: Vec<DecodedEntry<T>>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// An entry as a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedEntry<T> {
    /// The key.
    pub key: String,
    /// Sequence in the bucket's stream.
    pub revision: u64,
    /// The message.
    pub value: T,
}

impl<T> Decoded<T> {
    /// The messages; each entry that cannot be read is logged as a warning.
    pub fn into_values(self) -> Vec<T> {
        self.warn();
        self.entries.into_iter().map(|entry| entry.value).collect()
    }

    /// Logs each entry that cannot be read as a warning.
    pub fn warn(&self) {
        for unreadable in &self.unreadable {
            tracing::warn!("{unreadable}; it is left out");
        }
    }
}

impl Kv {
    /// All entries whose key matches `filter` (`>` for all), as messages.
    ///
    /// # Errors
    /// When the bucket cannot be read. An entry that cannot be read is no error.
    pub async fn decoded<T: DeserializeOwned>(&self, filter: &str) -> Result<Decoded<T>, BusError> {
        let mut decoded = Decoded { entries: Vec::new(), unreadable: Vec::new() };
        for entry in self.entries(filter).await? {
            match codec::decode(&entry.value) {
                Ok(value) => decoded.entries.push(DecodedEntry { key: entry.key, revision: entry.revision, value }),
                Err(error) => decoded.unreadable.push(self.unreadable(&entry, &error)),
            }
        }
        Ok(decoded)
    }

    /// Shows the same messages one after the other, for buckets whose entries are too many to be held at once. Each
    /// entry that cannot be read is logged as a warning.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn visit_decoded<T: DeserializeOwned>(
        &self,
        filter: &str,
        mut see: impl FnMut(T),
    ) -> Result<(), BusError> {
        self.visit(filter, |entry| match codec::decode(&entry.value) {
            Ok(value) => see(value),
            Err(error) => tracing::warn!("{}; it is left out", self.unreadable(&entry, &error)),
        })
        .await
    }

    /// What to say of an entry that cannot be read.
    pub fn unreadable(&self, entry: &Entry, problem: &CodecError) -> Unreadable {
        Unreadable { bucket: self.name().to_owned(), key: entry.key.clone(), problem: problem.to_string() }
    }
}
