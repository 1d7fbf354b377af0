//! A bus that may come later than the emulator, and may go while it is being joined.

use std::time::Duration;

use nuncius_bus::{Bus, BusError};
use tokio::sync::watch;
use tracing::warn;

/// Pause after a try that failed because the server went away.
const PAUSE: Duration = Duration::from_secs(1);

/// A bus that is there, or comes, or never does.
#[derive(Debug, Clone)]
pub struct ComingBus(watch::Receiver<Option<Bus>>);

impl From<watch::Receiver<Option<Bus>>> for ComingBus {
    fn from(bus: watch::Receiver<Option<Bus>>) -> Self {
        Self(bus)
    }
}

impl From<Option<Bus>> for ComingBus {
    fn from(bus: Option<Bus>) -> Self {
        Self(watch::channel(bus).1)
    }
}

impl ComingBus {
    /// The bus, if it is there.
    pub(crate) fn there(&self) -> Option<Bus> {
        self.0.borrow().clone()
    }

    /// Waits until it is there; for ever, if it never comes.
    pub(crate) async fn come(&mut self) -> Bus {
        let found = self.0.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        match found {
            Some(bus) => bus,
            None => std::future::pending().await,
        }
    }
}

/// Waits a moment after joining failed because the server went away meanwhile.
///
/// # Errors
/// What does not go away by waiting.
pub(crate) async fn pause_after(error: BusError) -> Result<(), BusError> {
    if !error.is_transient() {
        return Err(error);
    }
    warn!(%error, "not joined; still trying");
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
