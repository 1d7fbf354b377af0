//! What waits for a collector, of one signal: in memory, and beyond that in files. Bounded in both.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use nuncius_bus::work_queue::WorkItem;

use super::counts::SignalCounts;
use super::directory::{Directory, Stored};
use super::settings::ExportConfig;

/// Sequences of messages that are done with, for those whose acknowledgement was lost.
const DONE_MAX: usize = 16_384;

/// A message that waits.
#[derive(Debug)]
enum Entry {
    /// In memory, and not acknowledged.
    Held(WorkItem),
    /// In a file, and acknowledged.
    Stored(Stored),
}

impl Entry {
    fn length_bytes(&self) -> usize {
        match self {
            Self::Held(item) => item.payload.len(),
            Self::Stored(stored) => usize::try_from(stored.length_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
struct Limits {
    memory_bytes: usize,
    messages: usize,
    directory_bytes: u64,
}

/// The queue of one signal.
#[derive(Debug)]
pub(super) struct Spool {
    limits: Limits,
    directory: Option<Directory>,
    entries: VecDeque<Entry>,
    /// Of the first entries, how many are being sent: these are not dropped.
    under_way: usize,
    held: usize,
    held_bytes: usize,
    stored_bytes: u64,
    done: BTreeSet<u64>,
}

/// What was put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits.
    Waits,
    /// It waits already, or is done with.
    Known,
}

impl Spool {
    pub(super) fn new(config: &ExportConfig, directory: Option<Directory>, stored: Vec<Stored>) -> Self {
        let limits = Limits {
            memory_bytes: config.spool_bytes,
            messages: config.spool_messages,
            directory_bytes: config.spool_directory_bytes,
        };
        let stored_bytes = stored.iter().map(|file| file.length_bytes).sum();
        let entries = stored.into_iter().map(Entry::Stored).collect();
        Self { limits, directory, entries, under_way: 0, held: 0, held_bytes: 0, stored_bytes, done: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a message in; whatever has to go for it is counted.
    pub(super) async fn put(&mut self, item: WorkItem, counts: &SignalCounts) -> Put {
        let sequence = item.stream_sequence();
        if item.delivered() > 1 {
            if self.done.contains(&sequence) {
                let _ = item.ack().await;
                return Put::Known;
            }
            let same = |entry: &&mut Entry| matches!(entry, Entry::Held(held) if held.stream_sequence() == sequence);
            if let Some(entry) = self.entries.iter_mut().find(same) {
                // Only this delivery can be acknowledged.
                *entry = Entry::Held(item);
                return Put::Known;
            }
        }
        let is_full =
            self.held_bytes + item.payload.len() > self.limits.memory_bytes || self.held >= self.limits.messages;
        match (is_full, self.directory.clone()) {
            (true, Some(directory)) => self.store(item, directory, counts).await,
            (true, None) => {
                while self.held_bytes + item.payload.len() > self.limits.memory_bytes
                    || self.held >= self.limits.messages
                {
                    if !self.drop_oldest(counts, |entry| matches!(entry, Entry::Held(_))).await {
                        break;
                    }
                }
                self.hold(item);
            }
            (false, _) => self.hold(item),
        }
        Put::Waits
    }

    fn hold(&mut self, item: WorkItem) {
        self.held += 1;
        self.held_bytes += item.payload.len();
        self.entries.push_back(Entry::Held(item));
    }

    async fn store(&mut self, item: WorkItem, directory: Directory, counts: &SignalCounts) {
        let Some(signal) = super::signal_of(&item.subject) else { return };
        while self.stored_bytes + item.payload.len() as u64 > self.limits.directory_bytes {
            if !self.drop_oldest(counts, |entry| matches!(entry, Entry::Stored(_))).await {
                break;
            }
        }
        let (sequence, payload) = (item.stream_sequence(), item.payload.clone());
        let written = tokio::task::spawn_blocking(move || directory.write(signal, sequence, &payload)).await;
        match written.map_err(std::io::Error::other).and_then(|written| written) {
            Ok(stored) => {
                self.stored_bytes += stored.length_bytes;
                self.entries.push_back(Entry::Stored(stored));
            }
            Err(error) => {
                tracing::warn!(%error, "a message cannot be written to the spool's directory, and is dropped");
                counts.dropped_full.add(1);
            }
        }
        self.finish(&item).await;
    }

    /// Drops the oldest entry of a kind that is not being sent; false where there is none.
    async fn drop_oldest(&mut self, counts: &SignalCounts, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let Some(at) = (self.under_way..self.entries.len()).find(|at| self.entries.get(*at).is_some_and(&is_meant))
        else {
            return false;
        };
        if let Some(entry) = self.entries.remove(at) {
            counts.dropped_full.add(1);
            self.leave(entry).await;
        }
        true
    }

    /// An entry goes.
    async fn leave(&mut self, entry: Entry) {
        match entry {
            Entry::Held(item) => {
                self.held -= 1;
                self.held_bytes -= item.payload.len();
                self.finish(&item).await;
            }
            Entry::Stored(stored) => {
                self.stored_bytes = self.stored_bytes.saturating_sub(stored.length_bytes);
                remove(stored.path).await;
            }
        }
    }

    async fn finish(&mut self, item: &WorkItem) {
        self.done.insert(item.stream_sequence());
        if self.done.len() > DONE_MAX {
            self.done.pop_first();
        }
        // Lost, it is delivered again, and known.
        let _ = item.ack().await;
    }

    /// The next messages as one, and how many they are: as many of the first as fit, but at least one. A file that
    /// cannot be read, or holds something else, is dropped and counted.
    pub(super) async fn take(&mut self, batch_bytes: usize, most: usize, counts: &SignalCounts) -> Option<Bytes> {
        loop {
            let mut parts: Vec<Bytes> = Vec::new();
            let mut length_bytes = 0;
            let mut bad = None;
            for (at, entry) in self.entries.iter().take(most.max(1)).enumerate() {
                if at > 0 && length_bytes + entry.length_bytes() > batch_bytes {
                    break;
                }
                let part = match entry {
                    Entry::Held(item) => Some(item.payload.clone()),
                    Entry::Stored(stored) => tokio::fs::read(&stored.path).await.ok().map(Bytes::from),
                };
                match part.filter(|part| is_otlp(part)) {
                    Some(part) => {
                        length_bytes += part.len();
                        parts.push(part);
                    }
                    None => {
                        bad = Some(at);
                        break;
                    }
                }
            }
            if let (Some(at), true) = (bad, parts.is_empty()) {
                if let Some(entry) = self.entries.remove(at) {
                    counts.dropped_malformed.add(1);
                    self.leave(entry).await;
                }
                continue;
            }
            self.under_way = parts.len();
            return match parts.as_mut_slice() {
                [] => None,
                [one] => Some(std::mem::take(one)),
                // The messages of one kind put together are one message of that kind: their only field is a list.
                several => {
                    let mut all = BytesMut::with_capacity(length_bytes);
                    several.iter().for_each(|part| all.extend_from_slice(part));
                    Some(all.freeze())
                }
            };
        }
    }

    /// How many messages are being sent.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many bytes these have.
    pub(super) fn under_way_bytes(&self) -> u64 {
        self.entries.iter().take(self.under_way).map(|entry| entry.length_bytes() as u64).sum()
    }

    /// What is being sent is done with.
    pub(super) async fn settle(&mut self) {
        for _ in 0..std::mem::take(&mut self.under_way) {
            if let Some(entry) = self.entries.pop_front() {
                self.leave(entry).await;
            }
        }
    }

    /// What is being sent will be sent otherwise.
    pub(super) fn keep(&mut self) {
        self.under_way = 0;
    }

    /// Tells the server that what is held is in work.
    pub(super) async fn keep_alive(&self) {
        for entry in &self.entries {
            if let Entry::Held(item) = entry
                && item.progress_told().await.is_err()
            {
                return;
            }
        }
    }

    /// Hands what is held back to the server, for another gateway.
    pub(super) async fn hand_back(&mut self) {
        for entry in self.entries.drain(..) {
            if let Entry::Held(item) = entry
                && item.nak(std::time::Duration::ZERO).await.is_err()
            {
                return;
            }
        }
    }

    pub(super) fn tell(&self, counts: &SignalCounts) {
        counts.waiting_messages.set(self.entries.len() as u64);
        counts.memory_bytes.set(self.held_bytes as u64);
        counts.directory_bytes.set(self.stored_bytes);
    }
}

async fn remove(path: PathBuf) {
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::warn!(path = %path.display(), %error, "a file of the spool cannot be removed");
    }
}

/// Whether this has the outer form of an `Export…ServiceRequest`: nothing but its one field, a list. What is inside
/// is the collector's to judge; but what has not this form would spoil the messages that it is sent with.
pub(super) fn is_otlp(message: &[u8]) -> bool {
    const RESOURCES: u8 = 0x0a;
    let mut rest = message;
    while let Some((tag, after)) = rest.split_first() {
        if *tag != RESOURCES {
            return false;
        }
        let mut length = 0usize;
        let mut shift = 0;
        rest = after;
        loop {
            let Some((byte, after)) = rest.split_first() else { return false };
            rest = after;
            if shift > 28 {
                return false;
            }
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        match rest.get(length..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_form_of_a_message_is_known_from_anything_else() {
        for fine in [&b""[..], b"\x0a\x00", b"\x0a\x02ab", b"\x0a\x01a\x0a\x00", b"\x0a\x82\x00ab"] {
            assert!(is_otlp(fine), "{fine:?}");
        }
        for other in [
            &b"{}"[..],
            b"\x0a",
            b"\x0a\x05ab",
            b"\x12\x00",
            b"\x0a\x00x",
            b"\x0a\xff\xff\xff\xff\xff\xff",
            b"\x0a\x80",
        ] {
            assert!(!is_otlp(other), "{other:?}");
        }
    }
}
