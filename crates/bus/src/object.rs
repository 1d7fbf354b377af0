//! Objects: reports, outputs of profiles and bundles too large for a message.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectMetadata;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use tokio::io::AsyncReadExt;

use crate::refusal::Refusal;
use crate::streams::{Discard, StreamWanted};
use crate::{Bus, BusError};

mod pieces;
mod sweep;

pub use pieces::ObjectReader;

/// Largest object that is read into memory.
pub const OBJECT_MAX_BYTES: usize = 256 << 20;

/// Most bytes of a piece of an object; half of what the server takes where that is less.
const PIECE_BYTES_MAX: usize = 128 << 10;
/// How often it is tried to store an object that the stream does not take.
const PUT_TRIES: u32 = 4;
/// Pause between two tries: about as long as an election takes.
const PUT_PAUSE: Duration = Duration::from_millis(500);

/// What the server keeps beside the bytes of a piece, about.
const PIECE_OVERHEAD_BYTES: u64 = 256;
/// Room that is left for descriptions of objects, and for who stores one at the same time.
const MARGIN_BYTES: u64 = 16 << 10;

/// A handle of an object store.
#[derive(Clone)]
pub struct Objects {
    bus: Bus,
    name: String,
    /// Bytes of an object's pieces: the server must take each of them.
    piece_bytes: usize,
    store: async_nats::jetstream::object_store::ObjectStore,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How full a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What it holds at most, in bytes.
    pub limit_bytes: u64,
    /// What it holds, in bytes.
    pub used_bytes: u64,
    piece_bytes: u64,
}

impl Room {
    /// Whether an object of so many bytes can be stored, with what the server keeps beside it.
    pub fn fits(&self, bytes: u64) -> bool {
        let overhead_bytes = bytes.div_ceil(self.piece_bytes.max(1)).saturating_mul(PIECE_OVERHEAD_BYTES);
        let wanted_bytes = bytes.saturating_add(overhead_bytes).saturating_add(MARGIN_BYTES);
        self.used_bytes.saturating_add(wanted_bytes) <= self.limit_bytes
    }
}

/// The stream of an object store.
pub(crate) fn object_store_stream(name: &str, max_bytes: u64) -> StreamWanted {
    StreamWanted {
        name: format!("OBJ_{name}"),
        subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
        discard: Discard::New,
        max_bytes: Some(max_bytes),
        allow_rollup: true,
        allow_direct: true,
        ..StreamWanted::default()
    }
}

impl Bus {
    /// Makes the object store, holding at most `max_bytes`; a full one refuses.
    pub async fn ensure_object_store(&self, name: &str, max_bytes: u64) -> Result<(), BusError> {
        self.ensure_stream(&object_store_stream(name, max_bytes)).await
    }

    /// Opens an object store. Boxed, and so compiled once, in this crate.
    pub fn objects<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Objects, BusError>> {
        Box::pin(self.open_objects(name))
    }

    async fn open_objects(&self, name: &str) -> Result<Objects, BusError> {
        self.stream_state(&format!("OBJ_{name}")).await.map_err(|e| match e {
            BusError::NotFound { .. } => BusError::NotFound { kind: "object store", name: name.to_owned() },
            other => other,
        })?;
        let store = self.unless_refused(concerns(name), self.jetstream().get_object_store(name)).await?;
        let store = store.map_err(|e| BusError::jetstream(format!("opening object store {name}"), e))?;
        let piece_bytes = (self.max_payload_bytes() / 2).clamp(1, PIECE_BYTES_MAX);
        Ok(Objects { bus: self.clone(), name: name.to_owned(), piece_bytes, store })
    }
}

/// What the client library does with a store: all of its subjects name it.
fn concerns(store: &str) -> impl Fn(&Refusal) -> bool {
    let (pieces, stream) = (format!("$O.{store}."), format!("OBJ_{store}"));
    move |refusal| refusal.subject.starts_with(&pieces) || refusal.subject.split('.').any(|token| token == stream)
}

impl Objects {
    /// Stores `bytes` as `object`, replacing what was there. While servers elect a leader it is tried again.
    pub async fn put(&self, object: &str, bytes: &[u8]) -> Result<(), BusError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.put_once(object, bytes).await {
                Err(BusError::JetStream { .. }) if tries < PUT_TRIES => tokio::time::sleep(PUT_PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    async fn put_once(&self, object: &str, bytes: &[u8]) -> Result<(), BusError> {
        let mut reader = bytes;
        let metadata = ObjectMetadata { chunk_size: Some(self.piece_bytes), ..ObjectMetadata::from(object) };
        let stored = self.bus.unless_refused(concerns(&self.name), self.store.put(metadata, &mut reader)).await?;
        stored.map(drop).map_err(|e| BusError::jetstream(format!("storing {object} in {}", self.name), e))
    }

    /// The same where older objects may go for it: those that `may_go`, the oldest first, until there is room. Returns
    /// which went.
    ///
    /// # Errors
    /// As [`Objects::put`], and where there is no room even so.
    pub async fn put_making_room(
        &self,
        object: &str,
        bytes: &[u8],
        may_go: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, BusError> {
        let mut gone = Vec::new();
        let mut older: Option<std::vec::IntoIter<String>> = None;
        loop {
            if self.room().await?.is_none_or(|room| room.fits(bytes.len() as u64)) {
                break;
            }
            let names = match &mut older {
                Some(names) => names,
                None => older.insert(self.names().await?.into_iter()),
            };
            // With none left the server has the last word.
            let Some(name) = names.find(|name| name != object && may_go(name)) else { break };
            if self.delete(&name).await? {
                gone.push(name);
            }
        }
        self.put(object, bytes).await?;
        Ok(gone)
    }

    /// How much room there is; none where there is no limit.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn room(&self) -> Result<Option<Room>, BusError> {
        let state = self.bus.stream_state(&self.stream()).await?;
        let piece_bytes = self.piece_bytes as u64;
        Ok(state.max_bytes.map(|limit_bytes| Room { limit_bytes, used_bytes: state.bytes, piece_bytes }))
    }

    /// The names of all objects, the one that was stored first at the beginning.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn names(&self) -> Result<Vec<String>, BusError> {
        let failed = |e: &dyn std::fmt::Display| BusError::jetstream(format!("listing objects of {}", self.name), e);
        let objects = self.store.list().await.map_err(|e| failed(&e))?;
        let names = objects.try_filter_map(async |object| Ok((!object.deleted).then_some(object.name)));
        names.try_collect().await.map_err(|e| failed(&e))
    }

    /// The object's bytes (at most [`OBJECT_MAX_BYTES`]), checked against its digest; none where there is none.
    pub async fn get(&self, object: &str) -> Result<Option<Vec<u8>>, BusError> {
        use async_nats::jetstream::object_store::GetErrorKind as Kind;
        let failed = |e: &dyn std::fmt::Display| BusError::jetstream(format!("reading {object} of {}", self.name), e);
        let mut reader = match self.bus.unless_refused(concerns(&self.name), self.store.get(object)).await? {
            Ok(reader) => reader,
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        if reader.info().size > OBJECT_MAX_BYTES {
            let size = reader.info().size;
            return Err(failed(&format!("{size} bytes are over the limit of {OBJECT_MAX_BYTES}")));
        }
        let mut bytes = Vec::with_capacity(reader.info().size);
        let read = self.bus.unless_refused(concerns(&self.name), reader.read_to_end(&mut bytes)).await?;
        read.map_err(|e| failed(&e))?;
        Ok(Some(bytes))
    }

    /// Removes the object; false where there was none.
    pub async fn delete(&self, object: &str) -> Result<bool, BusError> {
        use async_nats::jetstream::object_store::DeleteErrorKind as Kind;
        match self.bus.unless_refused(concerns(&self.name), self.store.delete(object)).await? {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == Kind::NotFound => Ok(false),
            Err(e) => Err(BusError::jetstream(format!("deleting {object} of {}", self.name), e)),
        }
    }
}
