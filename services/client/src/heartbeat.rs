//! Whether the process stood still: a thread of its own whose only work is to wake up in time.
//!
//! It is the one witness of a stop where no arrival is due (low rates) or planned (the closed model).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nuncius_bus::clock::monotonic_ns;

/// Time between two beats, in nanoseconds: a stop is seen as shorter by at most this.
const PERIOD_NS: u64 = 20_000_000;

/// A running heartbeat; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    worst_late_ns: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The thread could not be started.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (worst_late_ns, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, end) = (Arc::clone(&worst_late_ns), Arc::clone(&ended));
        std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || beat(&worst, &end))?;
        Ok(Self { worst_late_ns, ended })
    }

    /// How late the latest beat since the last call was, in nanoseconds.
    pub(crate) fn take_late_ns(&self) -> u64 {
        self.worst_late_ns.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn beat(worst_late_ns: &AtomicU64, ended: &AtomicBool) {
    let mut due_ns = monotonic_ns() + PERIOD_NS;
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(monotonic_ns())));
        let now_ns = monotonic_ns();
        worst_late_ns.fetch_max(now_ns.saturating_sub(due_ns), Ordering::Relaxed);
        due_ns = now_ns + PERIOD_NS;
    }
}
