//! What the caller may tell running engine threads: start, go on, otherwise from an instant on, stop.
//!
//! Everything may be told at any time: the threads look at it at every event, and are woken when it changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_clock::monotonic_ns;
use nuncius_schemas::amendment::Amendment;

use crate::caps::Caps;
use crate::wake::Waker;

const NEVER: u64 = u64::MAX;

/// Shared by the caller and any number of engine threads, of any number of groups.
#[derive(Debug)]
pub struct Control {
    start_at_ns: AtomicU64,
    horizon_ns: AtomicU64,
    /// Of the load, as far as the horizon reaches; all of them each time.
    amendments: Mutex<Arc<[Amendment]>>,
    stop_at_ns: AtomicU64,
    stop_drain_ns: AtomicU64,
    abandoned: AtomicBool,
    /// Held while a stop is put into force: one that comes at the same time must find it whole.
    stopping: Mutex<()>,
    wakers: Mutex<Vec<Arc<Waker>>>,
    /// Do as this one is told.
    adopted: Mutex<Vec<Arc<Self>>>,
    caps: Arc<Caps>,
}

impl Control {
    /// Nothing started yet, and no caps.
    pub fn new() -> Arc<Self> {
        Self::with_caps(Caps::none())
    }

    /// Nothing started yet; all groups together keep within `caps`.
    pub fn with_caps(caps: Arc<Caps>) -> Arc<Self> {
        Arc::new(Self {
            start_at_ns: AtomicU64::new(NEVER),
            horizon_ns: AtomicU64::new(0),
            amendments: Mutex::new(Arc::new([])),
            stop_at_ns: AtomicU64::new(NEVER),
            stop_drain_ns: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
            stopping: Mutex::default(),
            wakers: Mutex::new(Vec::new()),
            adopted: Mutex::default(),
            caps,
        })
    }

    /// Of threads that come later, within the same caps. Until it is adopted it may be abandoned, and they end without
    /// having offered anything.
    pub fn another(&self) -> Arc<Self> {
        Self::with_caps(Arc::clone(&self.caps))
    }

    /// From now on `other` has been told what this one was, and will be.
    pub fn adopt(&self, other: Arc<Self>) {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        other.amend(self.amendments());
        if let Some(start_at_ns) = self.start_at() {
            other.start_within_caps(start_at_ns, self.horizon_ns());
        }
        if let Some(stop_at_ns) = self.stop_at() {
            let since_ns = monotonic_ns().saturating_sub(stop_at_ns);
            other.stop(self.stop_drain_ns().saturating_sub(since_ns));
        }
        if self.is_abandoned() {
            other.abandon();
        }
        adopted.push(other);
    }

    fn tell(&self, tell: impl Fn(&Self)) {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|other| tell(other));
    }

    /// Run time begins at `start_at_ns` (CLOCK_MONOTONIC); arrivals planned before `horizon_ns` (run time) may be
    /// offered.
    ///
    /// A second start changes nothing.
    pub fn start(&self, start_at_ns: u64, horizon_ns: u64) {
        if self.start_at_ns.load(Ordering::Acquire) == NEVER {
            self.caps.open(start_at_ns);
        }
        self.start_within_caps(start_at_ns, horizon_ns);
    }

    fn start_within_caps(&self, start_at_ns: u64, horizon_ns: u64) {
        self.horizon_ns.fetch_max(horizon_ns, Ordering::Release);
        let _ = self.start_at_ns.compare_exchange(NEVER, start_at_ns, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
        self.tell(|other| other.start_within_caps(start_at_ns, horizon_ns));
    }

    /// All amendments of the load that lie before the horizon that comes next: to be told before that, so that nobody
    /// offers anything beyond their instants who does not know them. A list that is shorter than the known one changes
    /// nothing.
    pub fn amend(&self, amendments: Arc<[Amendment]>) {
        {
            let mut known = self.amendments.lock().unwrap_or_else(PoisonError::into_inner);
            if amendments.len() > known.len() {
                *known = Arc::clone(&amendments);
            }
        }
        self.tell(|other| other.amend(Arc::clone(&amendments)));
    }

    /// The amendments that are known.
    pub(crate) fn amendments(&self) -> Arc<[Amendment]> {
        Arc::clone(&self.amendments.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Arrivals planned before `horizon_ns` (run time) may be offered; an earlier horizon than the present one
    /// changes nothing.
    pub fn extend(&self, horizon_ns: u64) {
        self.horizon_ns.fetch_max(horizon_ns, Ordering::AcqRel);
        self.wake();
        self.tell(|other| other.extend(horizon_ns));
    }

    /// Offer nothing planned after now; wait this long for answers, then count what is open as censored.
    ///
    /// A second stop can only shorten the wait.
    pub fn stop(&self, drain_ns: u64) {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        match self.stop_at() {
            None => {
                // Order matters: a thread that sees the instant must see the drain as well.
                self.stop_drain_ns.store(drain_ns, Ordering::Release);
                self.stop_at_ns.store(monotonic_ns(), Ordering::Release);
            }
            Some(since) => {
                let until = monotonic_ns().saturating_sub(since).saturating_add(drain_ns);
                self.stop_drain_ns.fetch_min(until, Ordering::AcqRel);
            }
        }
        drop(stopping);
        self.wake();
        self.tell(|other| other.stop(drain_ns));
    }

    /// Prepared without ever being started: the threads end. After a start it changes nothing.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake();
        self.tell(Self::abandon);
    }

    /// What all groups together keep within.
    pub(crate) fn caps(&self) -> &Caps {
        &self.caps
    }

    /// When run time began, on CLOCK_MONOTONIC; `None` before the start is known.
    pub fn start_at(&self) -> Option<u64> {
        Some(self.start_at_ns.load(Ordering::Acquire)).filter(|at| *at != NEVER)
    }

    /// Run time up to which arrivals may be offered.
    pub fn horizon_ns(&self) -> u64 {
        self.horizon_ns.load(Ordering::Acquire)
    }

    /// When the stop was asked for, on CLOCK_MONOTONIC.
    pub fn stop_at(&self) -> Option<u64> {
        Some(self.stop_at_ns.load(Ordering::Acquire)).filter(|at| *at != NEVER)
    }

    /// How long after the stop answers are waited for.
    pub(crate) fn stop_drain_ns(&self) -> u64 {
        self.stop_drain_ns.load(Ordering::Acquire)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// It is woken at every change from now on.
    pub(crate) fn listen(&self, waker: Arc<Waker>) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    /// A thread that has ended needs no waking.
    pub(crate) fn forget(&self, waker: &Arc<Waker>) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| !Arc::ptr_eq(known, waker));
    }

    fn wake(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_come_later_hear_all_that_was_said_and_will_be() {
        let control = Control::with_caps(Caps::new(1_000, 60));
        let before = control.another();
        control.adopt(Arc::clone(&before));
        control.start(monotonic_ns(), 100);
        assert_eq!((before.start_at(), before.horizon_ns()), (control.start_at(), 100));
        control.extend(200);
        let (later, never) = (control.another(), control.another());
        assert_eq!(later.start_at(), None);
        control.adopt(Arc::clone(&later));
        assert_eq!((later.start_at(), later.horizon_ns(), later.stop_at()), (control.start_at(), 200, None));
        control.extend(300);
        assert_eq!((before.horizon_ns(), later.horizon_ns(), never.horizon_ns()), (300, 300, 0));
        control.stop(60_000_000_000);
        let last = control.another();
        control.adopt(Arc::clone(&last));
        for other in [&before, &later, &last] {
            assert!(other.stop_at().is_some() && other.stop_drain_ns() > 50_000_000_000);
        }
        control.stop(0);
        assert!(last.stop_drain_ns() < 20_000_000_000 && never.stop_at().is_none());
    }

    #[test]
    fn of_stops_that_come_at_the_same_time_the_shortest_wait_counts() {
        for _ in 0..200 {
            let control = Control::new();
            let barrier = std::sync::Barrier::new(3);
            std::thread::scope(|scope| {
                for drain_ns in [30_000_000_000, 0, 60_000_000_000] {
                    let (control, barrier) = (&control, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        control.stop(drain_ns);
                    });
                }
            });
            // The one without a wait was heard, first or last: at most what passed between the first and it is left.
            assert!(control.stop_drain_ns() < 20_000_000_000, "{}", control.stop_drain_ns());
        }
    }
}
