//! Bundles on this host: the first process that needs one fetches it, all others find it.
//!
//! Whoever asks waits for no longer than it can. What has been begun goes on beside that, so that who asks again finds
//! more of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nuncius_bundle::{BundleError, Cache, Held, Limits, Lookup, Place};
use nuncius_bus::Bus;
use nuncius_bus::apps::{self, AppError};
use nuncius_schemas::bundle::BundleReference;
use nuncius_schemas::node::RefusalCode;
use tokio::io::AsyncWriteExt;
use tracing::{Instrument, info};

/// Most bytes of all bundles together that a host keeps where nothing else is said.
pub const CACHE_BYTES: u64 = 1 << 30;
/// How long whoever gets ready waits for a bundle: a daemon waits for 30 s, and there is more to do.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a bundle may take to come, whoever still waits for it.
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// How long the next piece may take to come.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether somebody else has fetched it.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Permissions of what comes in.
const OWNER_ONLY: u32 = 0o600;

/// Where bundles are kept, and how large they may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSettings {
    /// The directory that all processes of this host share.
    pub directory: PathBuf,
    /// Most bytes of all of them together.
    pub cache_bytes: u64,
    /// Most that one may have.
    pub limits: Limits,
    /// How long it is waited for one.
    pub patience: Duration,
}

impl BundleSettings {
    /// The defaults for a directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, cache_bytes: CACHE_BYTES, limits: Limits::default(), patience: PATIENCE }
    }
}

/// Why a bundle is not there.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// There is nowhere to keep it.
    #[error("there is no place to keep it: name a directory with --data or NUNCIUS_DATA")]
    NoPlace,
    /// It is larger than one may be.
    #[error("it has {bytes} bytes, which is more than bundles of --bundle-size may have")]
    OverLimit {
        /// Its size as it is packed.
        bytes: u64,
    },
    /// Nobody has deployed it, or somebody has removed it.
    #[error("it is not in the store of bundles: deploy it again")]
    NotStored,
    /// The bus.
    #[error("{0}")]
    App(#[from] AppError),
    /// It is damaged, or there is no room for it.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// Nothing came any more.
    #[error("nothing more of it came within {0:?}")]
    Stalled(Duration),
    /// It takes longer than it can be waited for.
    #[error("{fetched_bytes} of {bytes} bytes came within {after:?}: it is fetched on, try again in a while")]
    Slow {
        /// What came, by this process or, where another fetches it, nothing.
        fetched_bytes: u64,
        /// Its size as it is packed.
        bytes: u64,
        /// How long it was waited.
        after: Duration,
    },
    /// A mistake in this program.
    #[error("fetching it failed in this process's own program: see its log")]
    Program,
}

impl ObtainError {
    /// What the daemon goes by: what another try, or another node, would not change is final.
    pub(crate) fn code(&self) -> RefusalCode {
        let is_passing = match self {
            Self::NoPlace | Self::OverLimit { .. } | Self::NotStored => false,
            Self::App(AppError::Bus(error)) => error.is_transient(),
            Self::App(_) => false,
            Self::Bundle(error) => error.is_of_the_place(),
            Self::Stalled(_) | Self::Slow { .. } | Self::Program => true,
        };
        if is_passing { RefusalCode::System } else { RefusalCode::Unfit }
    }
}

/// Has the bundle be on this host, whoever fetches it, and holds it there.
///
/// # Errors
/// When it does not come, within `patience`; when it is not what its digest says, or has what no bundle may have.
pub async fn obtain(bus: &Bus, wanted: &BundleReference, settings: &BundleSettings) -> Result<Held, ObtainError> {
    if wanted.bytes > settings.limits.packed_bytes() {
        return Err(ObtainError::OverLimit { bytes: wanted.bytes });
    }
    let fetched_bytes = Arc::new(AtomicU64::new(0));
    let work = obtain_at_last(bus.clone(), wanted.clone(), settings.clone(), Arc::clone(&fetched_bytes));
    let slow = |after| {
        let fetched_bytes = fetched_bytes.load(Ordering::Relaxed);
        ObtainError::Slow { fetched_bytes, bytes: wanted.bytes, after }
    };
    // Dropped, the handle lets the task go on.
    let task = tokio::spawn(tokio::time::timeout(FETCH_LIMIT, work).in_current_span());
    match tokio::time::timeout(settings.patience, task).await {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(_))) => Err(slow(FETCH_LIMIT)),
        Ok(Err(_)) => Err(ObtainError::Program),
        Err(_) => Err(slow(settings.patience)),
    }
}

async fn obtain_at_last(
    bus: Bus,
    wanted: BundleReference,
    settings: BundleSettings,
    fetched_bytes: Arc<AtomicU64>,
) -> Result<Held, ObtainError> {
    let cache = Cache::new(settings.directory, settings.cache_bytes);
    loop {
        let (asked, digest) = (cache.clone(), wanted.digest.clone());
        match blocking(move || asked.look(&digest)).await? {
            Lookup::Here(held) => return Ok(held),
            Lookup::Busy => tokio::time::sleep(BUSY_PAUSE).await,
            Lookup::Missing(place) => {
                let begun = Instant::now();
                download(&bus, &wanted, &place, &fetched_bytes).await?;
                blocking(move || place.fill(&settings.limits)).await?;
                let (bundle, bytes, took_ms) = (wanted.shown(), wanted.bytes, begun.elapsed().as_millis());
                info!(bundle, bytes, took_ms, "bundle fetched");
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BundleError> + Send + 'static,
) -> Result<T, ObtainError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    Ok(outcome.map_err(|_| ObtainError::Program)??)
}

/// Writes the bundle where it is to be unpacked from.
async fn download(
    bus: &Bus,
    wanted: &BundleReference,
    place: &Place,
    fetched_bytes: &AtomicU64,
) -> Result<(), ObtainError> {
    let mut reader = apps::open(bus, wanted).await?.ok_or(ObtainError::NotStored)?;
    if reader.bytes() != wanted.bytes {
        let found = format!("the store has {} bytes of it, not {}", reader.bytes(), wanted.bytes);
        return Err(BundleError::Unreadable { reason: found }.into());
    }
    let path = place.download_path();
    let io = |source| BundleError::Io { path: path.clone(), source };
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&path).await;
    let mut file = opened.map_err(io)?;
    loop {
        let next = tokio::time::timeout(PIECE_PATIENCE, reader.next()).await;
        let Some(piece) = next.map_err(|_| ObtainError::Stalled(PIECE_PATIENCE))?.map_err(AppError::from)? else {
            break;
        };
        file.write_all(&piece).await.map_err(io)?;
        fetched_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    file.flush().await.map_err(io)?;
    Ok(())
}

#[cfg(test)]
mod tests;
