//! Which arrivals are traced, and under what identifiers: functions of the arrival alone, so that every node, and a
//! node that takes over from another, says the same.

use crate::philox::{Purpose, draw, unit_open_below};

/// Whether arrival `index` of `stream` is among the `ratio` (0 to 1) that are traced.
///
/// Exact at both ends: nothing at 0 or below (or not a number), everything at 1 or above. What is sampled at a ratio is
/// also sampled at any larger one.
pub fn is_sampled(seed: u64, stream: u32, index: u64, ratio: f64) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    let [bits, _] = draw(seed, stream, index, Purpose::Sample, 0);
    // A uniform in (0, 1] is at most 0 never, and NaN compares false.
    unit_open_below(bits) <= ratio
}

/// Trace identifier of an arrival, never zero. `run_key` tells apart runs of one seed.
pub fn trace_id(seed: u64, run_key: u64, stream: u32, index: u64) -> u128 {
    let [high, low] = draw(key_of(seed, run_key), stream, index, Purpose::Trace, 0);
    (u128::from(high) << 64 | u128::from(low)).max(1)
}

/// Span identifier of step `step` of an arrival, never zero. Only the low 28 bits of `step` count.
pub fn span_id(seed: u64, run_key: u64, stream: u32, index: u64, step: u32) -> u64 {
    let [bits, _] = draw(key_of(seed, run_key), stream, index, Purpose::Span, step);
    bits.max(1)
}

fn key_of(seed: u64, run_key: u64) -> u64 {
    let [key, _] = draw(seed, 0, run_key, Purpose::Run, 0);
    key
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_ends_of_the_ratio_are_exact() {
        for index in 0..10_000 {
            assert!(!is_sampled(7, 0, index, 0.0));
            assert!(!is_sampled(7, 0, index, -1.0));
            assert!(!is_sampled(7, 0, index, f64::NAN));
            assert!(is_sampled(7, 0, index, 1.0));
        }
    }

    #[test]
    fn the_share_that_is_sampled_is_the_ratio_and_grows_with_it() {
        let sampled = |ratio: f64| (0..100_000).filter(|index| is_sampled(1, 2, *index, ratio)).collect::<Vec<_>>();
        let few = sampled(0.01);
        assert!((900..1_100).contains(&few.len()), "{}", few.len());
        let more: HashSet<u64> = sampled(0.1).into_iter().collect();
        assert!(few.iter().all(|index| more.contains(index)));
    }

    #[test]
    fn identifiers_are_not_zero_and_do_not_repeat() {
        let mut traces = HashSet::new();
        let mut spans = HashSet::new();
        for run in 0..3 {
            for stream in 0..3 {
                for index in 0..500 {
                    assert!(traces.insert(trace_id(1, run, stream, index)));
                    for step in 0..2 {
                        assert!(spans.insert(span_id(1, run, stream, index, step)));
                    }
                }
            }
        }
        assert!(!traces.contains(&0) && !spans.contains(&0));
    }
}
