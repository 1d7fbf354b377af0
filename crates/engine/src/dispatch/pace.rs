//! When a thread that sleeps wakes for its next arrivals: at the planned instant of each while they are far apart, for
//! several at once while they are so close that waking, not sending, would be most of the work.
//!
//! This moves only the alarm of a sleeper: whoever is awake for any other reason takes all that is due.

/// Arrivals closer together than this, on average, are waited for together; 20,000 a second on one thread.
const DENSE_GAP_NS: u64 = 50_000;

/// Longest that one of them is left waiting for others, beside what the system takes to wake the thread.
const TOGETHER_NS: u64 = 50_000;

/// A gap counts as no more than this, so that a pause in the plan is soon forgotten.
const GAP_MAX_NS: u64 = 4 * DENSE_GAP_NS;

/// How far apart the arrivals of late were planned.
#[derive(Debug)]
pub(super) struct Pace {
    last_planned_ns: u64,
    /// Exponentially weighted over about eight arrivals.
    gap_ns: u64,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { last_planned_ns: 0, gap_ns: GAP_MAX_NS }
    }

    /// An arrival was taken from the schedule; their planned instants do not fall.
    #[inline]
    pub(super) fn taken(&mut self, planned_ns: u64) {
        let gap_ns = planned_ns.saturating_sub(self.last_planned_ns).min(GAP_MAX_NS);
        self.last_planned_ns = planned_ns;
        self.gap_ns = (7 * self.gap_ns + gap_ns) / 8;
    }

    /// When one who goes to sleep at `now_ns` wakes for what is due at `due_ns`; never earlier.
    #[inline]
    pub(super) fn wake_ns(&self, due_ns: u64, now_ns: u64) -> u64 {
        if self.gap_ns < DENSE_GAP_NS { due_ns.max(now_ns.saturating_add(TOGETHER_NS)) } else { due_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(gap_ns: u64, count: u64) -> Pace {
        let mut pace = Pace::new();
        (0..count).for_each(|index| pace.taken(1_000_000_000 + index * gap_ns));
        pace
    }

    #[test]
    fn arrivals_far_apart_are_each_woken_for_at_their_instant() {
        for gap_ns in [60_000, 1_000_000, 1_000_000_000] {
            assert_eq!(paced(gap_ns, 100).wake_ns(1_000, 400), 1_000, "{gap_ns}");
        }
        assert_eq!(Pace::new().wake_ns(1_000, 400), 1_000);
    }

    #[test]
    fn dense_arrivals_share_a_wake_up_that_is_at_most_so_late() {
        let pace = paced(15_000, 100);
        assert_eq!(pace.wake_ns(1_000, 400), 400 + TOGETHER_NS);
        assert_eq!(pace.wake_ns(400 + TOGETHER_NS + 1, 400), 400 + TOGETHER_NS + 1);
        assert_eq!(pace.wake_ns(u64::MAX, 400), u64::MAX);
    }

    #[test]
    fn two_arrivals_that_chance_brings_together_are_not_yet_dense() {
        let mut pace = paced(200_000, 100);
        pace.taken(pace.last_planned_ns + 1);
        assert_eq!(pace.wake_ns(1_000, 400), 1_000);
    }

    #[test]
    fn a_pause_is_forgotten_after_a_dozen_arrivals() {
        let mut pace = paced(10_000, 100);
        pace.taken(pace.last_planned_ns + 60_000_000_000);
        (0..12).for_each(|_| pace.taken(pace.last_planned_ns + 10_000));
        assert_eq!(pace.wake_ns(1_000, 400), 400 + TOGETHER_NS);
    }
}
