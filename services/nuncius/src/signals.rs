//! Signals that end a process.

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

/// Cancelled by SIGINT, SIGTERM or SIGHUP.
pub(crate) fn stop_on_signal() -> Result<CancellationToken> {
    Ok(stop_on_signals()?.0)
}

/// Cancelled by the first and by the second of those signals.
pub(crate) fn stop_on_signals() -> Result<(CancellationToken, CancellationToken)> {
    use tokio::signal::unix::{SignalKind, signal};
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
