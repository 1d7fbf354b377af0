//! All of it together: sweeps, listens, joins, serves, and lets go at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_schemas::resource::ResourceKind;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::compat::Slots;
use super::config::{DEFAULT_NUMBER_TO_FACTOR, Ready, ResourceConfig, ResourceError};
use super::cpu::Number;
use super::http::{self, Shared};
use super::limits::{Limits, allowed_cores};
use super::{bus as face, disk, keeper};
use crate::ComingBus;

/// How long it tries to leave the bus.
const FAREWELL: Duration = Duration::from_secs(3);

/// Consumes on request until `shutdown`, then gives everything back; `ready` is told where it is, on the bus too if
/// that is there already. One that comes later is joined then. The bucket of nodes must be there
/// ([`nuncius_bus::streams::ensure_streams`]). Files that earlier processes left in the data directory are removed
/// first.
///
/// # Errors
/// [`ResourceError::Name`] and [`ResourceError::Setting`] for a configuration that cannot be meant,
/// [`ResourceError::DataDirectory`], [`ResourceError::Listen`] for an address that is taken, [`ResourceError::Bus`]
/// when it cannot join or the connection is closed under it.
pub async fn run(
    config: ResourceConfig,
    bus: impl Into<ComingBus>,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<Ready>>,
) -> Result<(), ResourceError> {
    let mut bus = bus.into();
    let number =
        Number { value: config.check()?, is_repeated: config.number_to_factor.trim() == DEFAULT_NUMBER_TO_FACTOR };
    let data_directory = data_directory(&config).await?;
    let listener = nuncius_serve::listen("the emulator of resources", &config.http, "--http").await?;
    let address = listener.local_addr().map_err(ResourceError::Address)?;

    let limits = Arc::new(Limits {
        root: PathBuf::from("/"),
        data_directory,
        floor_bytes: config.floor_bytes,
        // As in Testero's environment, 0 is no limit.
        memory_cap_bytes: config.memory_limit_bytes.filter(|bytes| *bytes > 0),
        disk_cap_bytes: config.disk_limit_bytes.filter(|bytes| *bytes > 0),
        cores: allowed_cores(),
    });
    // Ends everything here, however it ends, even where this future is dropped.
    let ending = shutdown.child_token();
    let _guard = ending.clone().drop_guard();
    let started = config.kinds.iter().map(|kind| keeper::start(*kind, Arc::clone(&limits), number, ending.clone()));
    let (groups, keepers): (Vec<_>, Vec<_>) = started.unzip();
    let shared = Arc::new(Shared {
        name: config.name.clone(),
        groups: groups.into_iter().map(|group| (group.kind, group)).collect(),
        token: config.token.clone(),
        is_compat: config.compat,
        number_to_factor: config.number_to_factor.trim().to_owned(),
        slots: Slots::new(),
        limits: config.limits.clone(),
    });
    let reported = Arc::clone(&shared);
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        http::metrics::add(families, &reported.name, &reported);
    });
    let pages = tokio::spawn(http::serve(listener, Arc::clone(&shared), ending.clone()));
    info!(%address, kinds = ?config.kinds, "listening");

    let served = match bus.there() {
        Some(bus) => serve_bus(&config, &bus, &shared, &shutdown, |node| tell(ready, Ready { address, node })).await,
        None => {
            tell(ready, Ready { address, node: None });
            tokio::select! {
                bus = bus.come() => serve_bus(&config, &bus, &shared, &shutdown, |_| ()).await,
                () = shutdown.cancelled() => Ok(()),
            }
        }
    };
    ending.cancel();
    for task in keepers.into_iter().chain([pages]) {
        if let Err(error) = task.await {
            warn!(%error, "a part of the emulator ended badly");
        }
    }
    served
}

fn tell(ready: Option<oneshot::Sender<Ready>>, news: Ready) {
    if let Some(ready) = ready {
        let _ = ready.send(news);
    }
}

/// The directory in full, without what others left in it; not looked at where no disk is consumed.
async fn data_directory(config: &ResourceConfig) -> Result<PathBuf, ResourceError> {
    let given = config.data_directory.clone();
    if !config.kinds.contains(&ResourceKind::Disk) {
        return Ok(given);
    }
    let looked = tokio::task::spawn_blocking(move || {
        let path = given.canonicalize()?;
        disk::sweep(&path)?;
        Ok(path)
    });
    let wrong = |source| ResourceError::DataDirectory { path: config.data_directory.display().to_string(), source };
    looked.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(wrong)
}

async fn serve_bus(
    config: &ResourceConfig,
    bus: &Bus,
    shared: &Arc<Shared>,
    shutdown: &CancellationToken,
    ready: impl FnOnce(Option<String>) + Send,
) -> Result<(), ResourceError> {
    // Without a server, joining and leaving may take for ever.
    let membership = tokio::select! {
        joined = face::join(config, bus) => joined?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let node = membership.node();
    let served = tokio::select! {
        served = membership.serve(shared, shutdown, || ready(Some(node))) => served,
        () = shutdown.cancelled() => Ok(()),
    };
    if tokio::time::timeout(FAREWELL, membership.leave()).await.is_err() {
        warn!(limit = ?FAREWELL, "left without having given the name back");
    }
    Ok(served?)
}
