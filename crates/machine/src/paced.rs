//! What is costly is read less often, so that it never takes more than its share of a processor.

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// When something is read again.
#[derive(Debug)]
pub(crate) struct Paced {
    /// How much longer it rests than it worked.
    rest: u64,
    not_before_ns: u64,
}

impl Paced {
    /// It takes at most one part in `parts` of one processor.
    pub(crate) const fn one_in(parts: u64) -> Self {
        Self { rest: parts, not_before_ns: 0 }
    }

    /// Does it, if it may be done at this moment.
    pub(crate) fn run<T>(&mut self, now_ns: u64, work: impl FnOnce() -> T) -> Option<T> {
        if now_ns < self.not_before_ns {
            return None;
        }
        let before = thread_cpu_ns();
        let done = work();
        let cost = thread_cpu_ns().saturating_sub(before);
        self.not_before_ns = now_ns.saturating_add(cost.saturating_mul(self.rest));
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_rests_long() {
        let mut paced = Paced::one_in(1_000);
        let work = || (0..200_000u64).fold(1u64, |sum, i| std::hint::black_box(sum.wrapping_mul(31) + i));
        let before = thread_cpu_ns();
        assert!(paced.run(5, work).is_some());
        let cost = thread_cpu_ns() - before;
        assert_eq!(paced.run(6, || ()), None);
        assert!(paced.not_before_ns <= 5 + cost * 1_000);
        assert_eq!(paced.run(5 + cost * 1_000, || ()), Some(()));
    }
}
