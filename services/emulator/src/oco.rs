//! Backends of continuous optimisation that are not there: thousands of them, each with a servo that tells it what it
//! does and asks what to do next.
//!
//! In strict mode they do exactly what the program did that this one stands in for, errors included; in service mode,
//! what servos expect of the real service. Both HTTP and the bus lead to the same applications. One emulator of a
//! namespace knows them: of several on one bus each would hear a part of the events only.
//!
//! Layout: `machine` one application, pure; `script` what servos are told; `request` bytes to events and `answer`
//! answers to bytes, pure; `config` and `settings` what is set up and in force; `book` all applications and their
//! figures; `keep` what outlives the process; `http` and `bus` the faces.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, BusError};
use nuncius_serve::ServeError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ComingBus;
use book::statistics::Rate;
use book::{Book, Keeper};
use http::Face;
use keep::bucket::Bucket;
use keep::log::Log;
use settings::{Live, Settings};

mod answer;
mod book;
mod bus;
mod config;
mod http;
mod keep;
mod machine;
mod request;
mod script;
mod settings;

pub use config::{FILE_MAX_BYTES, MOST_LISTED, NAME_MAX_BYTES, OcoConfig};
pub use http::servo_limits;
pub use keep::StateStore;
pub use keep::log::LogError;
pub use machine::Mode;
pub use script::{Command, MOST_COMMANDS, MOST_SLEEP_SECONDS};

/// How often figures are noted and the file of state is looked after.
const TICK: Duration = Duration::from_secs(1);
/// How long an emulator that is told to end tries to answer what it has and to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why there is no emulator.
#[derive(Debug, thiserror::Error)]
pub enum OcoError {
    /// A setting that cannot be meant.
    #[error("OCO emulator, setting {0}")]
    Setting(String),
    /// The file of settings.
    #[error("OCO emulator, settings in {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The address.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The file of state.
    #[error("OCO emulator, state in {0}")]
    Log(#[from] LogError),
    /// State shall be kept on the bus, and there is none.
    #[error("OCO emulator: state kv needs a connection to NATS; give one, or choose --state memory or file:PATH")]
    NoBus,
    /// The bus.
    #[error("OCO emulator: {0}")]
    Bus(#[from] BusError),
}

/// Where an emulator is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// Name of its node on the bus, if it is on one.
    pub node: Option<String>,
}

/// Runs the emulator until `shutdown`; `ready` is told when it listens, and is on the bus if there is one already. One
/// that comes later is joined then; its bucket of nodes must be there ([`nuncius_bus::streams::ensure_streams`]).
///
/// # Errors
/// [`OcoError`]: settings, address, file or bus are not as they must be, or the connection to the bus is closed.
pub async fn run(
    config: OcoConfig,
    bus: impl Into<ComingBus>,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<Ready>>,
) -> Result<(), OcoError> {
    let mut bus = bus.into();
    let there = bus.there();
    let stamp = settings::stamp(&config).await;
    let in_force = Settings::new(config.with_file().await?).map_err(OcoError::Setting)?;
    // Before the file of state is taken: a second emulator shall say what is really in its way.
    let listener = nuncius_serve::listen("the OCO emulator", &config.http, "--http").await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen {
        what: "the OCO emulator",
        address: config.http.clone(),
        flag: "--http",
        source,
    })?;
    let book = Arc::new(open(&config, Live::new(in_force), there.as_ref()).await?);
    if let Err(error) = compact(&book, true).await {
        // It can be read, and be appended to; where that fails, too, events are turned away by name.
        warn!(%error, "the file of state could not be written anew");
    }
    let rate = Arc::new(Rate::new());
    let mut membership = match there {
        Some(bus) => tokio::select! {
            joined = bus::join(&config, &bus) => Some(joined?),
            () = shutdown.cancelled() => return Ok(()),
        },
        None => None,
    };
    let node = membership.as_ref().map(bus::Membership::node);
    info!(%address, node, apps = book.counters.apps(), "the OCO emulator listens");
    if let Some(ready) = ready {
        let _ = ready.send(Ready { address, node });
    }
    let (reported, measured, name) = (Arc::clone(&book), Arc::clone(&rate), config.name.clone());
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        book::statistics::add_metrics(families, &name, &reported, &measured);
    });
    let face = Face { book: Arc::clone(&book), rate: Arc::clone(&rate), limits: config.limits.clone() };
    // A task of its own: the rest must not stand in its way. Dropped with this future, which ends it.
    let mut http = JoinSet::new();
    http.spawn(http::serve(listener, face, shutdown.clone()));
    let on_bus = async {
        if membership.is_none() {
            let bus = bus.come().await;
            let joined = bus::join(&config, &bus).await?;
            info!(node = joined.node(), "joined");
            membership = Some(joined);
        }
        match &mut membership {
            Some(membership) => Err(bus::serve(membership, Arc::clone(&book)).await),
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = on_bus => ended.map_err(OcoError::Bus),
        () = settings::follow(config.clone(), stamp, &book.live) => Ok(()),
        () = look_after(&book, &rate) => Ok(()),
    };
    let leave = async {
        if served.is_ok() {
            http.join_next().await;
        }
        if let Some(membership) = membership {
            bus::leave(membership).await;
        }
    };
    // Without a server, leaving may take for ever.
    if tokio::time::timeout(FAREWELL, leave).await.is_err() {
        warn!(limit = ?FAREWELL, "the OCO emulator ended without having answered everything");
    }
    served
}

async fn open(config: &OcoConfig, live: Live, bus: Option<&Bus>) -> Result<Book, OcoError> {
    let mut kept = Vec::new();
    let keeper = match (&config.state, bus) {
        (StateStore::Memory, _) => Keeper::Nowhere,
        (StateStore::File(path), _) => Keeper::File(Log::open(path, |entry| kept.push((entry, 0)))?),
        (StateStore::Kv, None) => return Err(OcoError::NoBus),
        (StateStore::Kv, Some(bus)) => {
            Keeper::bucket(Bucket::open(bus, |entry, revision| kept.push((entry, revision))).await?)
        }
    };
    Ok(Book::new(live, keeper, kept))
}

/// Once a second, for ever.
async fn look_after(book: &Arc<Book>, rate: &Rate) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        rate.note(book.counters.requests());
        if let Err(error) = compact(book, false).await {
            warn!(%error, "the file of state was not written anew");
        }
    }
}

async fn compact(book: &Arc<Book>, always: bool) -> std::io::Result<()> {
    let book = Arc::clone(book);
    let done = tokio::task::spawn_blocking(move || book.compact(always)).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
