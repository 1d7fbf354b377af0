//! Watching a bucket: what is there, then what happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;

use super::{Entry, Kv, Operation, operation_of};
use crate::backoff::Backoff;
use crate::pull::{Pull, Pulled, delivery};
use crate::tail::{forget_reader, reader};
use crate::{BusError, Headers};

const WINDOW: usize = 128;

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEvent {
    /// A key as it is at the start, or what happened to it since.
    Entry(Entry),
    /// Everything that was there at the start (or at a new start after an outage) has been given.
    Current,
}

/// A watch; ends when dropped.
#[derive(Debug)]
pub struct KvWatch {
    kv: Kv,
    filter: String,
    open: Option<Open>,
    /// Keys that have a value, as told to the caller, with the revision.
    known: BTreeMap<String, u64>,
    /// Highest revision told.
    revision: u64,
    /// To be told before anything else.
    ready: VecDeque<KvEvent>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Open {
    name: String,
    pull: Pull,
    consumer_sequence: u64,
    /// While the snapshot is being read: keys seen in it, and how many messages are still to come.
    snapshot: Option<(BTreeSet<String>, u64)>,
}

impl Kv {
    /// Watches the keys that match `filter` (`>` for all, `node.*`), the present values first. Over an outage nothing
    /// is lost but intermediate values: the watch reads the bucket again, tells what changed, and tells keys that are
    /// gone as [`Operation::Expired`] with revision 0, followed by another [`KvEvent::Current`].
    pub async fn watch(&self, filter: &str) -> Result<KvWatch, BusError> {
        let mut watch = KvWatch {
            kv: self.clone(),
            filter: format!("$KV.{}.{filter}", self.name),
            open: None,
            known: BTreeMap::new(),
            revision: 0,
            ready: VecDeque::new(),
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
        };
        watch.reopen().await?;
        Ok(watch)
    }
}

impl KvWatch {
    /// The next event, however long that takes; cancel-safe.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the bucket is gone, [`BusError::Closed`]. Outages are waited out.
    pub async fn next(&mut self) -> Result<KvEvent, BusError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if self.open.is_none() {
                match self.reopen().await {
                    Ok(()) => self.backoff.reset(),
                    Err(error) if error.is_transient() => self.backoff.wait().await,
                    Err(error) => {
                        self.backoff.wait().await;
                        return Err(error);
                    }
                }
                continue;
            }
            let Some(open) = self.open.as_mut() else { continue };
            let outstanding = open.pull.outstanding();
            if outstanding <= WINDOW / 2 {
                open.pull.request(WINDOW - outstanding).await?;
            }
            match open.pull.next().await {
                Pulled::Ended => {}
                Pulled::Lost(_) | Pulled::Gone(_) => self.open = None,
                Pulled::Refused(error) => {
                    self.open = None;
                    self.backoff.wait().await;
                    return Err(error);
                }
                Pulled::Message(message) => self.take(&message),
            }
        }
    }

    /// Takes its consumer off the server at once; dropped, it goes after a minute.
    pub async fn close(mut self) {
        if let Some(open) = self.open.take() {
            forget_reader(&self.kv.bus, &self.kv.stream(), &open.name).await;
        }
    }

    async fn reopen(&mut self) -> Result<(), BusError> {
        let stream = self.kv.stream();
        let last = self.kv.bus.last_sequence(&stream).await?;
        if last < self.revision {
            // Made anew: its revisions start again.
            self.revision = 0;
            self.known.values_mut().for_each(|revision| *revision = 0);
        }
        let (name, pending) = reader(&self.kv.bus, &stream, &self.filter, DeliverPolicy::LastPerSubject).await?;
        let pull = Pull::open(&self.kv.bus, &stream, &name).await?;
        self.open = Some(Open { name, pull, consumer_sequence: 0, snapshot: Some((BTreeSet::new(), pending)) });
        if pending == 0 {
            self.end_snapshot();
        }
        Ok(())
    }

    fn take(&mut self, message: &async_nats::Message) {
        let Some(info) = delivery(message.reply.as_deref()) else { return };
        let Some(open) = self.open.as_mut() else { return };
        if info.consumer_sequence != open.consumer_sequence + 1 {
            self.open = None;
            return;
        }
        open.consumer_sequence = info.consumer_sequence;
        let prefix = format!("$KV.{}.", self.kv.name);
        let Some(key) = message.subject.strip_prefix(prefix.as_str()).map(str::to_owned) else { return };
        let headers = Headers::from_wire(message.headers.clone());
        let operation = operation_of(&headers);
        let mut snapshot_over = false;
        if let Some((seen, remaining)) = open.snapshot.as_mut() {
            if operation == Operation::Put {
                seen.insert(key.clone());
            } else {
                seen.remove(&key);
            }
            *remaining = remaining.saturating_sub(1);
            snapshot_over = *remaining == 0 || info.pending == 0;
        }
        let revision = info.stream_sequence;
        let told = self.known.get(&key).copied();
        // Told already, before the outage; or the end of a key that the caller never heard of.
        let news = revision > self.revision || (operation == Operation::Put && told != Some(revision));
        let heard_of = told.is_some() || operation == Operation::Put;
        if operation == Operation::Put {
            self.known.insert(key.clone(), revision);
        } else {
            self.known.remove(&key);
        }
        self.revision = self.revision.max(revision);
        if news && heard_of {
            let value = if operation == Operation::Put { message.payload.clone() } else { Bytes::new() };
            self.ready.push_back(KvEvent::Entry(Entry { key, value, revision, operation }));
        }
        if snapshot_over {
            self.end_snapshot();
        }
    }

    fn end_snapshot(&mut self) {
        let Some((seen, _)) = self.open.as_mut().and_then(|open| open.snapshot.take()) else { return };
        let gone: Vec<String> = self.known.keys().filter(|key| !seen.contains(*key)).cloned().collect();
        for key in gone {
            self.known.remove(&key);
            let entry = Entry { key, value: Bytes::new(), revision: 0, operation: Operation::Expired };
            self.ready.push_back(KvEvent::Entry(entry));
        }
        self.ready.push_back(KvEvent::Current);
    }
}
