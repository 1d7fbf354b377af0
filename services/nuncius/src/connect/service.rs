//! Services and their server. A service may start before the server does: it says whom it tries, why that does not go
//! well, and when it has joined, and goes on trying until it is told to end.

use std::time::{Duration, Instant};

use anyhow::Result;
use nuncius_bus::{Access, Bus, BusError};
use nuncius_schemas::redact::redact_url;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{connect_to, find, is_transient};
use crate::args::Global;
use crate::output::plain;

/// Where `up` listens, and where services look when nobody named a server.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How often the same problem is told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// How long a server may take to be there for who can do without it.
const SOON: Duration = Duration::from_secs(2);
/// How long a server may take to hear that a service ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where to look while no server was named and `up` left no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// At the address that `up` takes by default: there must be a server.
    DefaultAddress,
    /// Nowhere, without a word: there need not be one.
    Nowhere,
}

/// Connects to the server as soon as it is there and has what Nuncius needs. `None`: told to end before that.
///
/// # Errors
/// What does not go away by waiting: options that make no sense, streams that are otherwise than they must be.
pub(crate) async fn join(
    global: &Global,
    name: &str,
    fallback: Fallback,
    stop: &CancellationToken,
) -> Result<Option<Bus>> {
    tokio::select! {
        joined = seek(global, name, fallback) => joined.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}

async fn seek(global: &Global, name: &str, fallback: Fallback) -> Result<Bus> {
    let mut pause = PAUSES.0;
    let mut tried = None;
    let mut told: Option<(String, Instant)> = None;
    loop {
        // Looked for anew each time: `up` may have come meanwhile, at an address of its own.
        let url = match (find(global).await, fallback) {
            (Some(url), _) => Some(url),
            (None, Fallback::DefaultAddress) => Some(DEFAULT_URL.to_owned()),
            (None, Fallback::Nowhere) => None,
        };
        if let Some(url) = url {
            let shown = redact_url(&url);
            if tried.as_ref() != Some(&url) {
                info!(url = shown, "trying NATS");
                tried = Some(url.clone());
            }
            match usable(global, &url, name).await {
                Ok(bus) => {
                    info!(url = shown, "connected to NATS");
                    return Ok(bus);
                }
                Err(error) if is_transient(&error) => {
                    let problem = plain(&format!("{error:#}"));
                    let is_news = told.as_ref().is_none_or(|(last, at)| *last != problem || at.elapsed() >= TELL_AGAIN);
                    if is_news {
                        warn!(url = shown, "{problem}; still trying");
                        told = Some((problem, Instant::now()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The server that was named or that `up` runs, if it is there and answers soon.
///
/// # Errors
/// What does not go away by waiting.
pub(crate) async fn at_once(global: &Global, name: &str) -> Result<Option<Bus>> {
    let Some(url) = find(global).await else { return Ok(None) };
    match tokio::time::timeout(SOON, usable(global, &url, name)).await {
        Ok(Ok(bus)) => Ok(Some(bus)),
        Ok(Err(error)) if !is_transient(&error) => Err(error),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// A connection to a server that has the streams.
async fn usable(global: &Global, url: &str, name: &str) -> Result<Bus> {
    let bus = connect_to(global, url, name).await?;
    match nuncius_bus::streams::ensure_streams(&bus).await {
        Ok(()) => Ok(bus),
        Err(error) => {
            close(bus).await;
            Err(error.into())
        }
    }
}

/// Leaves; a server that is away is not waited for.
pub(crate) async fn close(bus: Bus) {
    let _ = tokio::time::timeout(FAREWELL, super::leave(&bus)).await;
}

/// Waits until the server refuses a subscription: a service that is deaf does not do what it is for, and ends.
async fn is_deaf(bus: &Bus) -> BusError {
    bus.refused(|refusal| refusal.access == Access::Subscribe).await
}

/// Runs a service on the server, waited for as [`join`] does. A start during which the server went away is made again;
/// `announce` is called once it is ready.
///
/// # Errors
/// Those of [`join`] and of the service.
pub(crate) async fn serve<T>(
    global: &Global,
    name: &str,
    stop: &CancellationToken,
    announce: impl Fn(T),
    run: impl AsyncFn(Bus, oneshot::Sender<T>) -> Result<()>,
) -> Result<()> {
    loop {
        let Some(bus) = join(global, name, Fallback::DefaultAddress, stop).await? else { return Ok(()) };
        let (told, mut ready) = oneshot::channel();
        let mut has_started = false;
        let outcome = {
            let running = run(bus.clone(), told);
            tokio::pin!(running);
            tokio::select! {
                // What ends at once has been ready, too.
                biased;
                Ok(news) = &mut ready => {
                    has_started = true;
                    announce(news);
                    tokio::select! {
                        outcome = &mut running => outcome,
                        error = is_deaf(&bus) => Err(error.into()),
                    }
                }
                error = is_deaf(&bus) => Err(error.into()),
                outcome = &mut running => {
                    if let Ok(news) = ready.try_recv() {
                        has_started = true;
                        announce(news);
                    }
                    outcome
                }
            }
        };
        // A service that hears nothing may have taken that for the end of the connection.
        let outcome = match (outcome, bus.deaf_to()) {
            (Ok(()), Some(error)) if !stop.is_cancelled() => Err(error.into()),
            (outcome, _) => outcome,
        };
        close(bus).await;
        match outcome {
            Err(error) if !has_started && !stop.is_cancelled() && is_transient(&error) => {
                warn!("{}; starting again", plain(&format!("{error:#}")));
                tokio::time::sleep(PAUSES.0).await;
            }
            outcome => return outcome,
        }
    }
}
