//! Signals that end a process.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by SIGINT, SIGTERM or SIGHUP.
pub(crate) fn stop_on_signal() -> Result<CancellationToken> {
    Ok(stop_on_signals()?.0)
}

/// Cancelled by the first and by the second of those signals.
pub(crate) fn stop_on_signals() -> Result<(CancellationToken, CancellationToken)> {
    let tokens = (CancellationToken::new(), CancellationToken::new());
    let (told, mut signals) = tokio::sync::mpsc::channel(2);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut received = signal(kind).context("signals cannot be watched")?;
        let told = told.clone();
        tokio::spawn(async move { while received.recv().await.is_some() && told.send(()).await.is_ok() {} });
    }
    let (first, second) = tokens.clone();
    tokio::spawn(async move {
        signals.recv().await;
        first.cancel();
        signals.recv().await;
        second.cancel();
    });
    Ok(tokens)
}

/// Signals that end what goes on, one after the other. None is lost while nobody waits for the next.
pub(crate) struct Interrupts([Signal; 3]);

impl Interrupts {
    /// From now on they do not end the process.
    pub(crate) fn watch() -> Result<Self> {
        let of = |kind| signal(kind).context("signals cannot be watched");
        Ok(Self([of(SignalKind::interrupt())?, of(SignalKind::terminate())?, of(SignalKind::hangup())?]))
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Does something, unless a signal comes first.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.next() => None,
        }
    }
}
