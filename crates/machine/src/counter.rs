//! Counters that may wrap, go back, or begin anew.

use std::collections::BTreeMap;

/// Pairs of counters as they were, by what they are of.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    before: BTreeMap<String, (u64, u64)>,
    before_ns: u64,
}

impl Rates {
    /// Tells each of `all` how much its two counters grew per second.
    pub(crate) fn tell<T>(
        &mut self,
        now_ns: u64,
        all: &mut [T],
        counters: fn(&T) -> (&str, (u64, u64)),
        told: fn(&mut T, [Option<f64>; 2]),
    ) {
        let elapsed_ns = now_ns.saturating_sub(self.before_ns);
        let mut seen = BTreeMap::new();
        for one in all {
            let (name, now) = counters(one);
            let name = name.to_owned();
            if let Some(before) = self.before.get(&name) {
                told(one, [per_second(before.0, now.0, elapsed_ns), per_second(before.1, now.1, elapsed_ns)]);
            }
            seen.insert(name, now);
        }
        (self.before, self.before_ns) = (seen, now_ns);
    }
}

/// How far a counter has come since `before`; none where it began anew.
///
/// Some counters of the kernel have 32 bits: one that was in the upper half of those and is in the lower half now has
/// wrapped around. Anything else that is less than before has begun anew.
pub(crate) fn difference(before: u64, now: u64) -> Option<u64> {
    const HALF: u64 = 1 << 31;
    match now.checked_sub(before) {
        Some(difference) => Some(difference),
        None if before <= u64::from(u32::MAX) && before >= HALF && now < HALF => Some(now + (1 << 32) - before),
        None => None,
    }
}

/// How much a counter grew per second; none where it began anew, or no time has passed.
pub(crate) fn per_second(before: u64, now: u64, elapsed_ns: u64) -> Option<f64> {
    let difference = difference(before, now)?;
    (elapsed_ns > 0).then(|| difference as f64 * 1e9 / elapsed_ns as f64)
}

/// How far a meter has come that wraps around after `range`; none where it began anew, which is where the way around
/// would be longer than `most`.
pub(crate) fn around(before: u64, now: u64, range: Option<u64>, most: u64) -> Option<u64> {
    let difference = match now.checked_sub(before) {
        Some(difference) => difference,
        None => range.filter(|range| *range >= before)?.checked_sub(before)?.checked_add(now)?,
    };
    (difference <= most).then_some(difference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_counter_that_grows_has_grown_by_as_much(before: u64, by: u64) {
            prop_assume!(before.checked_add(by).is_some());
            prop_assert_eq!(difference(before, before + by), Some(by));
        }

        #[test]
        fn a_counter_of_32_bits_that_wraps_goes_on(before in (1u64 << 31)..(1 << 32), by in 0u64..(1 << 31)) {
            prop_assert_eq!(difference(before, (before + by) % (1 << 32)), Some(by));
        }

        #[test]
        fn no_difference_is_more_than_both_counters_could_make(before: u64, now: u64) {
            if let Some(difference) = difference(before, now) {
                prop_assert!(difference <= now.max(1 << 32));
            }
        }

        #[test]
        fn a_rate_is_never_negative_or_no_number(before: u64, now: u64, elapsed_ns: u64) {
            if let Some(rate) = per_second(before, now, elapsed_ns) {
                prop_assert!(rate >= 0.0 && rate.is_finite());
            }
        }

        #[test]
        fn a_meter_goes_on_where_it_wraps(range in 1u64..1 << 40, before in 0u64..1 << 40, by in 0u64..1 << 40) {
            let (before, by) = (before % range, by % range);
            let now = (before + by) % range;
            prop_assert_eq!(around(before, now, Some(range), range), Some(by));
        }
    }

    #[test]
    fn a_counter_that_began_anew_has_no_rate() {
        assert_eq!(difference(1 << 40, 5), None);
        assert_eq!(difference(1_000, 5), None);
        assert_eq!(per_second(0, 10, 0), None);
        assert_eq!(around(100, 5, None, u64::MAX), None);
        assert_eq!(around(100, 5, Some(50), u64::MAX), None);
        assert_eq!(around(100, 5, Some(1 << 30), 1_000), None);
    }
}
