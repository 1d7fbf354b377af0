//! Applications: names for bundles, each with the versions that were deployed under it. A bundle is an object that is
//! named by the application and by its digest; which of them is the current one is in a bucket.
//!
//! What is in a bundle is nobody's business here: its bytes are those of this digest.

use std::time::Duration;

use nuncius_schemas::bundle::{AppRecord, AppVersion, BundleReference, VERSIONS_MAX, check_app_name, check_digest};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::names::NameError;

use crate::kv::{Decoded, Entry, Kv, Unreadable};
use crate::object::{ObjectReader, Objects};
use crate::{Bus, BusError};

/// How often a record is written that others write at the same time.
const WRITE_TRIES: u32 = 10;
/// Pieces of bundles to which nothing was added for so long belong to nobody who is still at it.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// What can go wrong with applications.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The bus.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// A name that is no token.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A digest that is none.
    #[error("{0}")]
    Digest(#[from] nuncius_schemas::bundle::DigestError),
    /// An entry that is no record.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// A record that cannot be written.
    #[error("{0}")]
    Encode(#[from] CodecError),
    /// Too many versions.
    #[error(
        "app {app} has {VERSIONS_MAX} versions, more are not kept: `nuncius app rm --old {app}` removes all but the \
         current one"
    )]
    TooManyVersions {
        /// The application.
        app: String,
    },
    /// Others write the same record all the time.
    #[error("app {app} is being changed by others all the time: try again")]
    Contended {
        /// The application.
        app: String,
    },
    /// The store is full.
    #[error(
        "the store of bundles has no room for {bytes} bytes: it holds {used_bytes} of at most {limit_bytes}; \
         `nuncius app rm --old NAME` makes room"
    )]
    Full {
        /// What was to be stored.
        bytes: u64,
        /// What is stored.
        used_bytes: u64,
        /// The limit of the store.
        limit_bytes: u64,
    },
}

/// What a deployment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployed {
    /// Whether the bundle was stored now; else it was there.
    pub is_stored: bool,
    /// Whether it was another version that was the current one before, or none.
    pub is_changed: bool,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Bundles that are gone.
    pub bundles: usize,
    /// Whether the application is gone, too.
    pub is_gone: bool,
}

/// Stores a bundle and makes it the current version of an application. The same once more changes nothing; one that was
/// deployed before becomes the current one again.
///
/// # Errors
/// When it cannot be stored. Then the current version is what it was.
pub async fn deploy(bus: &Bus, app: &str, version: &AppVersion, bytes: &[u8]) -> Result<Deployed, AppError> {
    check_app_name(app)?;
    check_digest(&version.digest)?;
    let objects = store(bus).await?;
    let kv = bucket(bus).await?;
    let object = bus.namespace().app_bundle(app, &version.digest);
    let is_stored = put(&objects, &object, bytes, &version.digest).await?;
    for _ in 0..WRITE_TRIES {
        let entry = kv.get(app).await?;
        let mut record = match &entry {
            Some(entry) => read(&kv, entry)?,
            None => AppRecord { name: app.to_owned(), versions: Vec::new() },
        };
        if record.current().is_some_and(|current| current.digest == version.digest) {
            return Ok(Deployed { is_stored, is_changed: false });
        }
        record.versions.retain(|known| known.digest != version.digest);
        if record.versions.len() >= VERSIONS_MAX {
            return Err(AppError::TooManyVersions { app: app.to_owned() });
        }
        record.versions.push(version.clone());
        if write(&kv, &record, entry.as_ref()).await? {
            return Ok(Deployed { is_stored, is_changed: true });
        }
    }
    Err(AppError::Contended { app: app.to_owned() })
}

async fn put(objects: &Objects, object: &str, bytes: &[u8], digest: &str) -> Result<bool, AppError> {
    // What does not fit is not begun: what was stored of it before the store was full would be in everybody's way.
    if let Some(room) = objects.room().await?
        && !room.fits(bytes.len() as u64)
        && !objects.has(object, digest).await?
    {
        let (used_bytes, limit_bytes) = (room.used_bytes, room.limit_bytes);
        return Err(AppError::Full { bytes: bytes.len() as u64, used_bytes, limit_bytes });
    }
    Ok(objects.put_digested(object, bytes, digest).await?)
}

/// All applications.
///
/// # Errors
/// When the bucket cannot be read.
pub async fn list(bus: &Bus) -> Result<Decoded<AppRecord>, AppError> {
    Ok(bucket(bus).await?.decoded(">").await?)
}

/// An application; none where there is none of this name.
///
/// # Errors
/// When the bucket cannot be read, or the entry is no record.
pub async fn find(bus: &Bus, app: &str) -> Result<Option<AppRecord>, AppError> {
    check_app_name(app)?;
    let kv = bucket(bus).await?;
    kv.get(app).await?.map(|entry| read(&kv, &entry)).transpose()
}

/// Opens a bundle to be read; none where it is not in the store.
///
/// # Errors
/// When the store cannot be read.
pub async fn open(bus: &Bus, wanted: &BundleReference) -> Result<Option<ObjectReader>, AppError> {
    check_app_name(&wanted.name)?;
    check_digest(&wanted.digest)?;
    let object = bus.namespace().app_bundle(&wanted.name, &wanted.digest);
    Ok(store(bus).await?.open(&object).await?)
}

/// Removes an application with all of its bundles; with `only_old`, all versions but the current one. None where there
/// is none of this name.
///
/// # Errors
/// When something cannot be removed; what is left is removed by the next call.
pub async fn remove(bus: &Bus, app: &str, only_old: bool) -> Result<Option<Removed>, AppError> {
    check_app_name(app)?;
    let (kv, objects) = (bucket(bus).await?, store(bus).await?);
    let was_there = kv.get(app).await?.is_some();
    // The record first: what it does not name is not begun with any more.
    let kept = match only_old {
        true => forget_old(&kv, app).await?,
        false if was_there => {
            kv.delete(app).await?;
            None
        }
        false => None,
    };
    let mut bundles = 0;
    for object in objects.names_from(&bus.namespace().app_bundle(app, "")).await? {
        let is_kept = kept.as_ref().is_some_and(|digest| object == bus.namespace().app_bundle(app, digest));
        if !is_kept && objects.delete(&object).await? {
            bundles += 1;
        }
    }
    objects.sweep(ABANDONED_AFTER).await?;
    let is_gone = was_there && kept.is_none();
    Ok((was_there || bundles > 0).then_some(Removed { bundles, is_gone }))
}

/// Leaves an application its current version alone; the digest of that.
async fn forget_old(kv: &Kv, app: &str) -> Result<Option<String>, AppError> {
    for _ in 0..WRITE_TRIES {
        let Some(entry) = kv.get(app).await? else { return Ok(None) };
        let mut record = read(kv, &entry)?;
        let Some(current) = record.current().cloned() else { return Ok(None) };
        let digest = current.digest.clone();
        if record.versions.len() == 1 {
            return Ok(Some(digest));
        }
        record.versions = vec![current];
        if write(kv, &record, Some(&entry)).await? {
            return Ok(Some(digest));
        }
    }
    Err(AppError::Contended { app: app.to_owned() })
}

async fn bucket(bus: &Bus) -> Result<Kv, BusError> {
    bus.kv(&bus.namespace().bucket_app()).await
}

async fn store(bus: &Bus) -> Result<Objects, BusError> {
    bus.objects(&bus.namespace().bucket_app()).await
}

fn read(kv: &Kv, entry: &Entry) -> Result<AppRecord, AppError> {
    codec::decode(&entry.value).map_err(|error| kv.unreadable(entry, &error).into())
}

/// Writes a record in the place of this entry; false where somebody else was first.
async fn write(kv: &Kv, record: &AppRecord, instead_of: Option<&Entry>) -> Result<bool, AppError> {
    let value = codec::encode(record)?.into();
    let written = match instead_of {
        Some(entry) => kv.update(&record.name, value, entry.revision).await.map(Some),
        None => kv.create(&record.name, value).await,
    };
    match written {
        Ok(revision) => Ok(revision.is_some()),
        Err(BusError::WrongLastSequence { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
