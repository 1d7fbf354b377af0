//! What a connection is doing, for limits that tell silence between requests from a head that stalls. A timer for each
//! request's head would cost every request; one number does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nothing of a request has been read.
const WAITING: u64 = 0;
/// Some of a head has been read.
const READING: u64 = 1;
/// A request is being answered.
const ANSWERING: u64 = 2;
/// Bits of the number that hold the phase; the rest is when it began, in milliseconds.
const PHASE_BITS: u32 = 2;

/// What one connection is doing, and since when.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    idle_timeout: Duration,
    phase_and_since: AtomicU64,
}

impl Activity {
    /// Of a connection that was just opened: whoever opens one has something to ask.
    pub(crate) fn new(idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), idle_timeout, phase_and_since: AtomicU64::new(READING) })
    }

    fn set(&self, phase: u64) {
        let since_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX >> PHASE_BITS);
        self.phase_and_since.store((since_ms << PHASE_BITS) | phase, Ordering::Relaxed);
    }

    pub(crate) fn answering(&self) {
        // When an answer began matters to nobody.
        self.phase_and_since.store(ANSWERING, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) {
        self.set(WAITING);
    }

    pub(crate) fn has_read(&self) {
        let mask = (1 << PHASE_BITS) - 1;
        if self.phase_and_since.load(Ordering::Relaxed) & mask == WAITING {
            self.set(READING);
        }
    }

    /// How long the connection may go on as it does; none where nothing limits it.
    fn left(&self, read_timeout: Duration) -> Option<Duration> {
        let value = self.phase_and_since.load(Ordering::Relaxed);
        let limit = match value & ((1 << PHASE_BITS) - 1) {
            WAITING => self.idle_timeout,
            READING => read_timeout,
            _ => return None,
        };
        let since = Duration::from_millis(value >> PHASE_BITS);
        Some(limit.saturating_sub(self.begun.elapsed().saturating_sub(since)))
    }
}

/// Ends when the connection has been silent, or its head unfinished, for too long; never without an [`Activity`].
pub(crate) async fn stalled(activity: Option<&Activity>, read_timeout: Duration) {
    let Some(activity) = activity else { return std::future::pending().await };
    loop {
        let left = activity.left(read_timeout).unwrap_or(read_timeout);
        if left.is_zero() {
            return;
        }
        // Another phase, with another limit, may begin meanwhile.
        tokio::time::sleep(left.min(read_timeout)).await;
    }
}
