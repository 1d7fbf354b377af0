//! Processor time of what runs, and whether it has run too long.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

/// Shared with the interrupt handler of a runtime.
///
/// Time on the processor, not time on the wall: on a crowded machine a script must not fail for the time in which
/// others ran.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    started_ns: Cell<u64>,
    budget_ns: Cell<u64>,
    interrupted: Cell<bool>,
}

impl Clock {
    /// Counts from now on.
    pub(crate) fn begin(&self, budget_ns: u64) {
        self.interrupted.set(false);
        self.budget_ns.set(budget_ns);
        self.started_ns.set(processor_ns());
    }

    /// Whether what runs has to end. Once it has, it has: until the next beginning.
    pub(crate) fn must_end(&self) -> bool {
        if !self.interrupted.get() {
            self.end();
        }
        self.interrupted.get()
    }

    /// What was used since [`begin`](Self::begin). If it is too much, it was made to end now at the latest.
    pub(crate) fn end(&self) -> u64 {
        let used_ns = processor_ns().saturating_sub(self.started_ns.get());
        if used_ns > self.budget_ns.get() {
            self.interrupted.set(true);
        }
        used_ns
    }

    /// Whether it was made to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.get()
    }
}

/// Of the calling thread.
fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
