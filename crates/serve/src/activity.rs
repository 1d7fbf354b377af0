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
    write_timeout: Option<Duration>,
    phase_and_since: AtomicU64,
    /// Since when the peer has not taken what is written to it, in milliseconds and one more; 0 where it has.
    blocked_since: AtomicU64,
}

impl Activity {
    /// Of a connection that was just opened: whoever opens one has something to ask.
    pub(crate) fn new(idle_timeout: Duration, write_timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            idle_timeout,
            write_timeout,
            phase_and_since: AtomicU64::new(READING),
            blocked_since: AtomicU64::new(0),
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX >> PHASE_BITS)
    }

    /// The peer took something. An answer that goes on is no silence.
    pub(crate) fn has_written(&self) {
        self.blocked_since.store(0, Ordering::Relaxed);
        if self.phase_and_since.load(Ordering::Relaxed) & ((1 << PHASE_BITS) - 1) == WAITING {
            self.set(WAITING);
        }
    }

    /// The peer takes nothing.
    pub(crate) fn cannot_write(&self) {
        let now = self.now_ms().saturating_add(1);
        let _ = self.blocked_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn set(&self, phase: u64) {
        let since_ms = self.now_ms();
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
        let until_blocked_too_long = self.left_to_write();
        let until_stalled = self.left_to_read(read_timeout);
        match (until_stalled, until_blocked_too_long) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn left_to_write(&self) -> Option<Duration> {
        let limit = self.write_timeout?;
        let since = match self.blocked_since.load(Ordering::Relaxed) {
            0 => return None,
            since => Duration::from_millis(since - 1),
        };
        Some(limit.saturating_sub(self.begun.elapsed().saturating_sub(since)))
    }

    fn left_to_read(&self, read_timeout: Duration) -> Option<Duration> {
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
