//! The arrivals of a file, each at its instant.
//!
//! Amendments act on the time of the file: scaled by two it passes twice as fast, in a pause it stands still and goes
//! on afterwards where it stood. Arrival `i` is row `i` of the file: whoever offers which rows changes nothing.

use nuncius_schemas::spec::Instants;

use crate::arrival::{Arrival, Next};
use crate::tempo::{Stretches, Tempo};

/// The arrivals of a file.
#[derive(Debug, Clone)]
pub struct Replay {
    /// In the time of the file, in nanoseconds, rising.
    instants: Instants,
    end_ns: u64,
    /// No more than these; at most as many as there are instants.
    limit: usize,
    stretches: Stretches,
    at: usize,
    next: usize,
}

impl Replay {
    /// For so long, at most `limit` arrivals.
    pub fn new(instants: Instants, duration_ns: u64, limit: Option<u64>) -> Self {
        let whole = instants.0.len();
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).map_or(whole, |limit| limit.min(whole));
        Self { instants, end_ns: duration_ns, limit, stretches: Stretches::new(0), at: 0, next: 0 }
    }

    /// From an instant on, at which nothing was taken yet, its time passes otherwise.
    pub fn amend(&mut self, tempo: Tempo) {
        self.stretches.amend(tempo);
    }

    /// It ends at an instant of run time, if not before.
    pub fn end_at(&mut self, at_ns: u64) {
        self.end_ns = self.end_ns.min(at_ns);
    }

    /// How many tempos there are, at least one.
    pub fn pieces(&self) -> usize {
        self.stretches.count()
    }

    /// When it ends, in nanoseconds of run time: right after its last arrival, if that comes before its time is over.
    pub fn end_ns(&self) -> u64 {
        let last = self.limit.checked_sub(1).and_then(|last| self.instants.0.get(last));
        last.map_or(0, |last| self.planned_ns(*last).saturating_add(1)).min(self.end_ns)
    }

    /// No more arrivals than these.
    pub(crate) fn at_most(&mut self, limit: u64) {
        self.limit = self.limit.min(usize::try_from(limit).unwrap_or(usize::MAX));
    }

    /// The same, of which nothing was taken.
    #[must_use]
    pub fn at_the_start(&self) -> Self {
        Self { at: 0, next: 0, ..self.clone() }
    }

    /// How many arrivals are planned before an instant of run time.
    pub fn count_before(&self, at_ns: u64) -> u64 {
        let at_ns = at_ns.min(self.end_ns);
        let all = self.instants.0.get(..self.limit).unwrap_or_default();
        all.partition_point(|own_ns| self.planned_ns(*own_ns) < at_ns) as u64
    }

    /// The run time at which the time of the file is `own_ns`.
    fn planned_ns(&self, own_ns: u64) -> u64 {
        let mut planned_ns = u64::MAX;
        for (at, stretch) in self.stretches.iter().enumerate() {
            planned_ns = stretch.run_at(own_ns);
            if self.stretches.until_ns(at).is_none_or(|until_ns| planned_ns < until_ns) {
                break;
            }
        }
        planned_ns
    }

    /// Takes the next arrival, if it is planned before an instant of run time.
    pub fn next_before(&mut self, limit_ns: u64) -> Next {
        loop {
            let due = self.instants.0.get(self.next).filter(|_| self.next < self.limit);
            let (Some(due), Some(stretch)) = (due, self.stretches.get(self.at)) else { return Next::End };
            let planned_ns = stretch.run_at(*due);
            if self.stretches.until_ns(self.at).is_some_and(|until_ns| planned_ns >= until_ns) {
                self.at += 1;
                continue;
            }
            if planned_ns >= self.end_ns {
                // It may still be amended so that it comes before that.
                return if limit_ns < self.end_ns { Next::NotBefore(self.end_ns) } else { Next::End };
            }
            if planned_ns >= limit_ns {
                return Next::NotBefore(planned_ns);
            }
            let index = self.next as u64;
            self.next += 1;
            return Next::Arrival(Arrival { index, planned_ns });
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::amendment::Multiplier;

    use super::*;

    const MILLISECOND_NS: u64 = 1_000_000;

    fn replay(instants_ms: &[u64]) -> Replay {
        let instants: Vec<u64> = instants_ms.iter().map(|at_ms| at_ms * MILLISECOND_NS).collect();
        Replay::new(Instants(instants.into()), 10_000 * MILLISECOND_NS, None)
    }

    fn walked(mut replay: Replay) -> Vec<u64> {
        let mut planned = Vec::new();
        while let Next::Arrival(arrival) = replay.next_before(u64::MAX) {
            assert_eq!(arrival.index, planned.len() as u64);
            planned.push(arrival.planned_ns / MILLISECOND_NS);
        }
        for at_ms in [0, 1, 1_000, 2_500, 6_500, 9_999, 20_000] {
            let before = planned.iter().filter(|planned| **planned < at_ms).count() as u64;
            assert_eq!(replay.count_before(at_ms * MILLISECOND_NS), before, "{at_ms}");
        }
        planned
    }

    fn tempo(from_ms: u64, factor: f64) -> Tempo {
        Tempo { from_ns: from_ms * MILLISECOND_NS, factor: Multiplier::new(factor).unwrap(), count: 0 }
    }

    #[test]
    fn every_arrival_comes_at_its_instant_and_none_at_the_end_or_later() {
        let whole = replay(&[0, 0, 7, 2_000, 9_999, 10_000, 12_000]);
        assert_eq!(walked(whole.clone()), [0, 0, 7, 2_000, 9_999]);
        assert_eq!(whole.end_ns(), 10_000 * MILLISECOND_NS);
        let mut limited = whole;
        limited.at_most(3);
        assert_eq!((walked(limited.clone()), limited.end_ns()), (vec![0, 0, 7], 7 * MILLISECOND_NS + 1));
        assert_eq!(walked(replay(&[])), [0u64; 0]);
    }

    #[test]
    fn it_is_over_with_its_last_arrival() {
        let mut short = replay(&[5, 6]);
        assert_eq!(short.next_before(0), Next::NotBefore(5 * MILLISECOND_NS));
        let taken = (0..2).filter(|_| matches!(short.next_before(u64::MAX), Next::Arrival(_))).count();
        assert_eq!((taken, short.next_before(0)), (2, Next::End));
    }

    #[test]
    fn its_time_stands_still_in_a_pause_and_passes_faster_when_it_is_scaled() {
        let mut amended = replay(&[500, 1_000, 2_000, 2_500, 4_500, 8_500, 9_000]);
        amended.amend(tempo(1_500, 0.0));
        amended.amend(tempo(4_000, 1.0));
        amended.amend(tempo(6_000, 2.0));
        // Half a second is left at the pause; from 6 s on what is 3.5 s in the file comes twice as fast.
        assert_eq!(walked(amended.clone()), [500, 1_000, 4_500, 5_000, 6_500, 8_500, 8_750]);
        assert_eq!(walked(amended.at_the_start()), walked(amended));
    }

    #[test]
    fn what_a_pause_moves_beyond_the_end_does_not_come() {
        let mut paused = replay(&[1_000, 2_000, 9_000]);
        paused.amend(tempo(1_500, 0.0));
        assert_eq!(walked(paused.clone()), [1_000]);
        // Until it is over it may be resumed.
        let mut told = paused.clone();
        assert!(matches!(told.next_before(1_500 * MILLISECOND_NS), Next::Arrival(_)));
        assert_eq!(told.next_before(1_500 * MILLISECOND_NS), Next::NotBefore(10_000 * MILLISECOND_NS));
        paused.amend(tempo(5_000, 1.0));
        assert_eq!(walked(paused), [1_000, 5_500]);
    }
}
