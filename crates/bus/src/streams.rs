//! Streams: made, compared with what was asked, read and trimmed.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};

use crate::api::{CODE_NO_STREAM, CODE_STREAM_EXISTS, WireError};
use crate::error::Difference;
use crate::{Bus, BusError};

mod contents;
mod nuncius;

pub(crate) use contents::parse_time;
pub use nuncius::{StreamLimits, ensure_streams, ensure_streams_with, inspect_streams};

/// Replicas were asked of a server that is in no cluster.
const CODE_NO_CLUSTER: u64 = 10074;
/// A cluster has not that many servers.
const CODE_NO_PEERS: u64 = 10005;
/// How often a stream or a consumer is changed to what is wanted while others change it to something else.
pub(crate) const CHANGE_ATTEMPTS: usize = 5;

/// What happens to a message once it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Stays until a limit takes it.
    #[default]
    Limits,
    /// Goes when acknowledged.
    WorkQueue,
    /// Goes when all interested consumers have acknowledged it.
    Interest,
}

/// What a full stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discard {
    /// Refuses the new message, which the publisher sees in its acknowledgement.
    #[default]
    New,
    /// Drops the oldest without a word.
    Old,
}

/// Where messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Files: survive the server process.
    #[default]
    File,
    /// Memory: gone with the server process.
    Memory,
}

/// A stream as it is wanted. `None` means without limit (or, for `duplicate_window`, the server's choice).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamWanted {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it captures.
    pub subjects: Vec<String>,
    /// See [`Retention`].
    pub retention: Retention,
    /// See [`Discard`].
    pub discard: Discard,
    /// Whether a full subject refuses too, under `max_messages_per_subject` with [`Discard::New`].
    pub discard_new_per_subject: bool,
    /// See [`Storage`].
    pub storage: Storage,
    /// Oldest age.
    pub max_age: Option<Duration>,
    /// Most messages.
    pub max_messages: Option<u64>,
    /// Most bytes.
    pub max_bytes: Option<u64>,
    /// Most messages of one subject.
    pub max_messages_per_subject: Option<u64>,
    /// Most bytes of one message with its headers.
    pub max_message_bytes: Option<u32>,
    /// How long message ids are remembered.
    pub duplicate_window: Option<Duration>,
    /// Allows `Nats-Rollup`.
    pub allow_rollup: bool,
    /// Allows reads that bypass the leader.
    pub allow_direct: bool,
    /// Refuses to delete single messages over the API.
    pub deny_delete: bool,
    /// Allows `Nats-TTL`.
    pub allow_message_ttl: bool,
    /// Has age leave a marker that lives this long (at least 1 s).
    pub delete_marker_ttl: Option<Duration>,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Messages stored.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// First sequence stored.
    pub first_sequence: u64,
    /// Last sequence ever stored; 0 where none was.
    pub last_sequence: u64,
    /// Consumers.
    pub consumers: usize,
    /// Limit of messages.
    pub max_messages: Option<u64>,
    /// Limit of bytes.
    pub max_bytes: Option<u64>,
    /// Limit of age.
    pub max_age: Option<Duration>,
}

/// How a stream stands to what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamCondition {
    /// As it should be.
    AsWanted,
    /// Not there.
    Missing,
    /// Otherwise.
    Differs(Vec<Difference>),
}

/// What JetStream lets this account have. `None` means without limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The JetStream domain, where the server has one.
    pub domain: Option<String>,
    /// Bytes of file streams.
    pub storage_bytes: u64,
    /// Bytes that file streams have reserved by their limits.
    pub reserved_storage_bytes: u64,
    /// Most bytes of file streams.
    pub storage_limit_bytes: Option<u64>,
    /// Streams.
    pub streams: usize,
    /// Most streams.
    pub streams_limit: Option<u64>,
}

impl StreamWanted {
    /// Writes what is wanted over `config`, leaving everything else as it is there.
    fn write_to(&self, config: &mut Config, replicas: Option<usize>) {
        if let Some(replicas) = replicas {
            config.num_replicas = replicas;
        } else if config.num_replicas == 0 {
            config.num_replicas = 1;
        }
        let limit = |limit: Option<u64>| limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        config.name.clone_from(&self.name);
        config.description = (!self.description.is_empty()).then(|| self.description.clone());
        config.subjects.clone_from(&self.subjects);
        config.retention = match self.retention {
            Retention::Limits => RetentionPolicy::Limits,
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
            Retention::Interest => RetentionPolicy::Interest,
        };
        config.discard = match self.discard {
            Discard::New => DiscardPolicy::New,
            Discard::Old => DiscardPolicy::Old,
        };
        config.discard_new_per_subject = self.discard_new_per_subject;
        config.storage = match self.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        };
        config.max_age = self.max_age.unwrap_or_default();
        config.max_messages = limit(self.max_messages);
        config.max_bytes = limit(self.max_bytes);
        config.max_messages_per_subject = limit(self.max_messages_per_subject);
        config.max_message_size = self.max_message_bytes.map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX));
        if let Some(window) = self.duplicate_window {
            config.duplicate_window = window;
        }
        config.allow_rollup = self.allow_rollup;
        config.allow_direct = self.allow_direct;
        config.deny_delete = self.deny_delete;
        config.allow_message_ttl = self.allow_message_ttl;
        config.subject_delete_marker_ttl = self.delete_marker_ttl;
        // They cost the server a sixth and a fifth of its messages: whoever wrote something tells of it elsewhere.
        config.subject_transform = None;
        config.republish = None;
    }
}

/// Field by field, what `echoed` has otherwise than `asked`.
fn differences(asked: &Config, echoed: &Config) -> Vec<Difference> {
    fn show(value: impl std::fmt::Debug) -> String {
        format!("{value:?}")
    }
    let mut found = Vec::new();
    let mut compare = |field: &'static str, asked: String, echoed: String| {
        if asked != echoed {
            found.push(Difference { field, asked, echoed });
        }
    };
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects
    };
    let marker = |config: &Config| config.subject_delete_marker_ttl.unwrap_or_default();
    let words = |config: &Config| config.description.clone().unwrap_or_default();
    compare("subjects", show(sorted(&asked.subjects)), show(sorted(&echoed.subjects)));
    compare("description", words(asked), words(echoed));
    compare("retention", show(asked.retention), show(echoed.retention));
    compare("discard", show(asked.discard), show(echoed.discard));
    compare("discard_new_per_subject", show(asked.discard_new_per_subject), show(echoed.discard_new_per_subject));
    compare("storage", show(asked.storage), show(echoed.storage));
    compare("num_replicas", show(asked.num_replicas), show(echoed.num_replicas));
    compare("max_age", show(asked.max_age), show(echoed.max_age));
    compare("max_msgs", show(asked.max_messages), show(echoed.max_messages));
    compare("max_bytes", show(asked.max_bytes), show(echoed.max_bytes));
    compare("max_msgs_per_subject", show(asked.max_messages_per_subject), show(echoed.max_messages_per_subject));
    compare("max_msg_size", show(asked.max_message_size), show(echoed.max_message_size));
    if !asked.duplicate_window.is_zero() {
        compare("duplicate_window", show(asked.duplicate_window), show(echoed.duplicate_window));
    }
    compare("allow_rollup_hdrs", show(asked.allow_rollup), show(echoed.allow_rollup));
    compare("allow_direct", show(asked.allow_direct), show(echoed.allow_direct));
    compare("deny_delete", show(asked.deny_delete), show(echoed.deny_delete));
    compare("allow_msg_ttl", show(asked.allow_message_ttl), show(echoed.allow_message_ttl));
    compare("subject_transform", show(&asked.subject_transform), show(&echoed.subject_transform));
    compare("republish", show(&asked.republish), show(&echoed.republish));
    compare("subject_delete_marker_ttl", show(marker(asked)), show(marker(echoed)));
    found
}

impl Bus {
    /// Makes the stream, or changes it to what is wanted; then compares what the server has with what was asked, field
    /// by field, because old servers drop what they do not know without a word.
    ///
    /// # Errors
    /// [`BusError::ConfigMismatch`] with the fields; [`BusError::JetStream`] where the server refuses.
    pub async fn ensure_stream(&self, wanted: &StreamWanted) -> Result<(), BusError> {
        let mut found = Vec::new();
        // The server answers with what the stream is by then: somebody else may have changed it in between.
        for _ in 0..CHANGE_ATTEMPTS {
            found = self.change_stream(wanted).await?;
            if found.is_empty() {
                return Ok(());
            }
        }
        Err(BusError::ConfigMismatch { kind: "stream", name: wanted.name.clone(), differences: found })
    }

    /// Makes or changes a stream; what it has otherwise than asked thereafter.
    async fn change_stream(&self, wanted: &StreamWanted) -> Result<Vec<Difference>, BusError> {
        let name = &wanted.name;
        let mut asked = Config::default();
        let existing = match self.stream_config(name).await {
            Ok(config) => config,
            Err(BusError::NotFound { .. }) => {
                wanted.write_to(&mut asked, self.replicas());
                match self.api::<Info>(&format!("STREAM.CREATE.{name}"), &asked).await? {
                    Ok(info) => info.config,
                    // Somebody else made it in between, perhaps otherwise.
                    Err(error) if error.err_code == CODE_STREAM_EXISTS => self.stream_config(name).await?,
                    Err(error) => return Err(BusError::jetstream(format!("creating stream {name}"), said(&error))),
                }
            }
            Err(error) => return Err(error),
        };
        asked = existing.clone();
        wanted.write_to(&mut asked, self.replicas());
        let found = differences(&asked, &existing);
        if found.is_empty() || found.iter().any(|difference| matches!(difference.field, "storage" | "retention")) {
            return Ok(found);
        }
        let updated = self.api::<Info>(&format!("STREAM.UPDATE.{name}"), &asked).await?;
        let info = updated.map_err(|error| BusError::jetstream(format!("updating stream {name}"), said(&error)))?;
        Ok(differences(&asked, &info.config))
    }

    /// Compares a stream with what is wanted. Changes nothing.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn inspect_stream(&self, wanted: &StreamWanted) -> Result<StreamCondition, BusError> {
        let existing = match self.stream_config(&wanted.name).await {
            Ok(existing) => existing,
            Err(BusError::NotFound { .. }) => return Ok(StreamCondition::Missing),
            Err(error) => return Err(error),
        };
        let mut asked = existing.clone();
        wanted.write_to(&mut asked, None);
        let found = differences(&asked, &existing);
        Ok(if found.is_empty() { StreamCondition::AsWanted } else { StreamCondition::Differs(found) })
    }

    /// What JetStream lets this account have.
    ///
    /// # Errors
    /// When the server has no JetStream, or does not answer.
    pub async fn account(&self) -> Result<Account, BusError> {
        let account = self.jetstream().query_account().await;
        let account =
            account.map_err(|e| BusError::jetstream("asking what JetStream gives this account".to_owned(), e))?;
        let limit = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok());
        Ok(Account {
            domain: account.domain,
            storage_bytes: account.storage,
            reserved_storage_bytes: account.reserved_storage,
            storage_limit_bytes: limit(account.limits.max_storage),
            streams: account.streams,
            streams_limit: limit(account.limits.max_streams),
        })
    }

    async fn stream_config(&self, name: &str) -> Result<Config, BusError> {
        Ok(self.stream_info(name).await?.config)
    }

    async fn stream_info(&self, name: &str) -> Result<Info, BusError> {
        let answer = self.api(&format!("STREAM.INFO.{name}"), &()).await?;
        answer.map_err(|error| contents::no_stream_or(name, format!("reading stream {name}"), &error))
    }

    /// On how many servers a stream is kept.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is not there.
    pub async fn stream_replicas(&self, name: &str) -> Result<usize, BusError> {
        Ok(self.stream_config(name).await?.num_replicas)
    }

    /// What a stream holds now.
    pub async fn stream_state(&self, name: &str) -> Result<StreamState, BusError> {
        let info = self.stream_info(name).await?;
        Ok(StreamState {
            messages: info.state.messages,
            bytes: info.state.bytes,
            first_sequence: info.state.first_sequence,
            last_sequence: info.state.last_sequence,
            consumers: info.state.consumer_count,
            max_messages: u64::try_from(info.config.max_messages).ok(),
            max_bytes: u64::try_from(info.config.max_bytes).ok(),
            max_age: (!info.config.max_age.is_zero()).then_some(info.config.max_age),
        })
    }

    /// Last sequence ever stored in a stream; 0 where none was.
    pub async fn last_sequence(&self, stream: &str) -> Result<u64, BusError> {
        Ok(self.stream_state(stream).await?.last_sequence)
    }

    /// Sequence of the last message on `subject` (wildcards allowed); `None` when the stream has none.
    pub async fn last_sequence_of(&self, stream: &str, subject: &str) -> Result<Option<u64>, BusError> {
        Ok(self.last_message(stream, subject).await?.map(|message| message.sequence))
    }

    /// Removes a stream with everything in it; false where it is not there.
    pub async fn delete_stream(&self, name: &str) -> Result<bool, BusError> {
        match self.api::<contents::WireDone>(&format!("STREAM.DELETE.{name}"), &()).await? {
            Ok(done) => Ok(done.success),
            Err(error) if error.err_code == CODE_NO_STREAM => Ok(false),
            Err(error) => Err(BusError::jetstream(format!("deleting stream {name}"), error.description)),
        }
    }
}

/// The server's words, with what to do where they are about replicas.
fn said(error: &WireError) -> String {
    let text = &error.description;
    match error.err_code {
        CODE_NO_CLUSTER => format!("{text}: --replicas is for a cluster of nats-servers"),
        CODE_NO_PEERS => format!("{text}: the cluster has too few servers for --replicas"),
        _ => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_drops_without_a_word_is_found() {
        let wanted = StreamWanted {
            name: "s".to_owned(),
            subjects: vec!["b".to_owned(), "a".to_owned()],
            max_messages: Some(5),
            allow_message_ttl: true,
            ..StreamWanted::default()
        };
        let mut asked = Config::default();
        wanted.write_to(&mut asked, None);
        let mut echoed = asked.clone();
        echoed.subjects.reverse();
        echoed.duplicate_window = Duration::from_secs(120);
        assert_eq!(differences(&asked, &echoed), []);
        // As 2.9 and 2.10 do.
        echoed.allow_message_ttl = false;
        let found = differences(&asked, &echoed);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].field, found[0].asked.as_str(), found[0].echoed.as_str()),
            ("allow_msg_ttl", "true", "false")
        );
        let error = BusError::ConfigMismatch { kind: "stream", name: "s".to_owned(), differences: found };
        assert_eq!(error.to_string(), "stream s is not as asked: allow_msg_ttl asked true but is false");
    }
}
