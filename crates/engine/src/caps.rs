//! What the operator of a node allows, whatever an experiment asks for: kept while load is offered, by all groups of a
//! run together.
//!
//! The cap on the rate counts requests, each step of an iteration and each repetition of one. It is a leaky bucket that
//! starts empty: what is offered faster leaves evenly spaced, and after a pause it may catch up with what
//! [`CATCH_UP_NS`] hold. Who finds it full waits: users before they begin, arrivals as *lag* (it is the node that holds
//! them, not the target), later steps before they are planned. Each request that waited is counted as `held_back`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::monotonic_ns;

/// How far the rate may catch up after a pause: what lateness of the generator itself must not add up to.
const CATCH_UP_NS: u64 = 10_000_000;

/// Instants in the bucket are in fractions of a nanosecond, so that rates are rounded by less than a millionth.
const FRACTION_BITS: u32 = 10;

/// Caps of a node for one run.
#[derive(Debug)]
pub struct Caps {
    /// Between two requests; 0 for no cap. In fractions.
    interval: u64,
    /// When the next request may leave, since `base_ns`. In fractions.
    next: AtomicU64,
    base_ns: u64,
    max_duration_seconds: u64,
}

impl Caps {
    /// At most so many requests per second in all groups together, for at most so many seconds.
    pub fn new(max_rate_per_second: u64, max_duration_seconds: u64) -> Arc<Self> {
        let interval = (1_000_000_000u64 << FRACTION_BITS).div_ceil(max_rate_per_second.max(1));
        Arc::new(Self { interval, next: AtomicU64::new(0), base_ns: monotonic_ns(), max_duration_seconds })
    }

    /// No caps.
    pub fn none() -> Arc<Self> {
        Arc::new(Self { interval: 0, next: AtomicU64::new(0), base_ns: 0, max_duration_seconds: u64::MAX })
    }

    fn fractions(&self, at_ns: u64) -> u64 {
        // 2^54 ns are 208 days of one run.
        at_ns.saturating_sub(self.base_ns) << FRACTION_BITS
    }

    /// Run time begins: nothing may be saved up before.
    pub(crate) fn open(&self, start_ns: u64) {
        self.next.store(self.fractions(start_ns), Ordering::Relaxed);
    }

    /// Takes the leave for a request now.
    ///
    /// # Errors
    ///
    /// When to ask again.
    #[inline]
    pub(crate) fn take(&self, now_ns: u64) -> Result<(), u64> {
        if self.interval == 0 {
            return Ok(());
        }
        let now = self.fractions(now_ns);
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            let at = next.max(now.saturating_sub(CATCH_UP_NS << FRACTION_BITS));
            if at > now {
                return Err(self.base_ns.saturating_add((at >> FRACTION_BITS) + 1));
            }
            let after = at.saturating_add(self.interval);
            match self.next.compare_exchange_weak(next, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => next = seen,
            }
        }
    }

    /// When load must end that began at `start_ns`.
    pub(crate) fn end_ns(&self, start_ns: u64) -> u64 {
        start_ns.saturating_add(self.max_duration_seconds.saturating_mul(1_000_000_000))
    }

    /// Why it ended then.
    pub(crate) fn end_reason(&self) -> String {
        format!("stopped after {} s, the longest load that it allows (--max-duration)", self.max_duration_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of those who ask without pause get leave before `end_ns`.
    fn taken(caps: &Caps, from_ns: u64, end_ns: u64) -> u64 {
        let (mut now_ns, mut count) = (from_ns, 0);
        while now_ns < end_ns {
            match caps.take(now_ns) {
                Ok(()) => count += 1,
                Err(at_ns) => now_ns = at_ns,
            }
        }
        count
    }

    #[test]
    fn no_second_has_more_requests_than_the_cap_allows() {
        for rate in [1, 3, 7, 200, 999, 30_000] {
            let caps = Caps::new(rate, 60);
            let start_ns = caps.base_ns + 1_000_000_000;
            caps.open(start_ns);
            assert_eq!(taken(&caps, start_ns, start_ns + 1_000_000_000), rate, "{rate}");
            assert_eq!(taken(&caps, start_ns + 1_000_000_000, start_ns + 3_000_000_000), 2 * rate, "{rate}");
            // After a long pause it catches up a little, and no more.
            let later_ns = start_ns + 60_000_000_000;
            assert!(taken(&caps, later_ns, later_ns + 1_000_000_000) <= rate + rate / 100 + 1, "{rate}");
        }
    }

    #[test]
    fn a_schedule_at_the_very_cap_is_not_held_back() {
        let caps = Caps::new(300, 60);
        let start_ns = caps.base_ns;
        caps.open(start_ns);
        for index in 0..3_000u64 {
            // Now and then it is a little late, and back in time afterwards.
            let late_ns = if index % 50 == 0 { 4_000_000 } else { 0 };
            let planned_ns = start_ns + (index * 1_000_000_000).div_ceil(300);
            // No engine turns to an arrival sooner than a microsecond after its instant.
            assert_eq!(caps.take(planned_ns + 1_000 + late_ns), Ok(()), "{index}");
        }
    }

    #[test]
    fn without_caps_nothing_waits_or_ends() {
        let caps = Caps::none();
        assert!((0..1_000).all(|_| caps.take(5).is_ok()));
        assert_eq!(caps.end_ns(7), u64::MAX);
    }
}
