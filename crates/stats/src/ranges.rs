//! Sets of whole numbers that mostly follow each other, as the ranges that they come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A set of numbers. It takes room for each gap, not for each number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ranges {
    /// First and last number of each range, none of which touches another.
    ranges: BTreeMap<u64, u64>,
    /// How many numbers there are.
    count: u64,
}

impl Ranges {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many numbers there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// First and last number of each range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, last)| *last)
    }

    /// Whether a number is there.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Adds a number; whether it was not there.
    pub fn insert(&mut self, number: u64) -> bool {
        let before = self.count;
        self.insert_range(number, number);
        self.count > before
    }

    /// Adds all numbers from `first` to `last`; nothing where `last` is the smaller one.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // The one that begins before, if it reaches as far.
        if let Some((before, end)) = self.ranges.range(..=first).next_back().map(|(start, end)| (*start, *end))
            && end >= first.saturating_sub(1)
        {
            if end >= last {
                return;
            }
            self.remove(before);
            first = before;
            last = last.max(end);
        }
        while let Some((start, end)) =
            self.ranges.range(first..=last.saturating_add(1)).next().map(|(start, end)| (*start, *end))
        {
            self.remove(start);
            last = last.max(end);
        }
        self.count = self.count.saturating_add((last - first).saturating_add(1));
        self.ranges.insert(first, last);
    }

    fn remove(&mut self, start: u64) {
        if let Some(end) = self.ranges.remove(&start) {
            self.count = self.count.saturating_sub((end - start).saturating_add(1));
        }
    }

    /// How many of its numbers are not in `others`.
    pub fn missing_in(&self, others: &Self) -> u64 {
        let mut missing = 0u64;
        for (first, last) in self.iter() {
            let mut from = first;
            let before = others.ranges.range(..first).next_back().map(|(start, end)| (*start, *end));
            let within = others.ranges.range(first..=last).map(|(start, end)| (*start, *end));
            for (start, end) in before.into_iter().chain(within) {
                if end < from {
                    continue;
                }
                missing = missing.saturating_add(start.saturating_sub(from));
                match end.checked_add(1) {
                    Some(next) => from = next,
                    None => return missing,
                }
                if from > last {
                    break;
                }
            }
            if from <= last {
                missing = missing.saturating_add((last - from).saturating_add(1));
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let mut ranges = Ranges::new();
        for number in [1, 2, 4, 3, 7, 6, 1] {
            ranges.insert(number);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 4), (6, 7)]);
        assert_eq!((ranges.count(), ranges.contains(5), ranges.contains(6)), (6, false, true));
        ranges.insert_range(0, u64::MAX);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, u64::MAX)]);
        ranges.insert(u64::MAX);
        assert_eq!(ranges.missing_in(&ranges), 0);
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_the_set_of_its_numbers(
            ones in prop::collection::vec((0u64..60, 0u64..6), 0..40),
            others in prop::collection::vec((0u64..60, 0u64..6), 0..40),
        ) {
            let make = |pieces: &[(u64, u64)]| {
                let (mut ranges, mut set) = (Ranges::new(), BTreeSet::new());
                for (first, more) in pieces {
                    ranges.insert_range(*first, first + more);
                    set.extend(*first..=first + more);
                }
                (ranges, set)
            };
            let ((a, set_a), (b, set_b)) = (make(&ones), make(&others));
            prop_assert_eq!(a.count(), set_a.len() as u64);
            let numbers: Vec<u64> = a.iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(numbers, set_a.iter().copied().collect::<Vec<_>>());
            let gaps = a.iter().zip(a.iter().skip(1)).all(|((_, end), (start, _))| end + 1 < start);
            prop_assert!(gaps);
            prop_assert_eq!(a.missing_in(&b), set_a.difference(&set_b).count() as u64);
            for number in 0..70 {
                prop_assert_eq!(a.contains(number), set_a.contains(&number));
            }
        }
    }
}
