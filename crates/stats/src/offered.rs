//! When load was offered: spans of run time, without the pauses between them.

use serde::{Deserialize, Serialize};

use nuncius_schemas::units::SECOND_NS;

/// Spans of run time, in order and apart from each other. The last one may be without an end that anybody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedSpans {
    /// Start and end in nanoseconds; an end of `u64::MAX` is not known.
    spans: Vec<(u64, u64)>,
}

impl OfferedSpans {
    /// Of spans in any order, which may touch and overlap: start and end in nanoseconds of run time, `u64::MAX` for an
    /// end that is not known.
    pub fn new(spans: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sorted: Vec<(u64, u64)> = spans.into_iter().filter(|(start, end)| start < end).collect();
        sorted.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
        for (start, end) in sorted {
            match joined.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => joined.push((start, end)),
            }
        }
        Self { spans: joined }
    }

    /// One span from the start on.
    pub fn until(end_ns: u64) -> Self {
        Self::new([(0, end_ns)])
    }

    /// All spans of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.spans.iter().chain(&other.spans).copied())
    }

    /// Nothing before `start_ns` is heeded.
    pub fn begin_at(&mut self, start_ns: u64) {
        self.spans = self.spans.iter().map(|(start, end)| ((*start).max(start_ns), *end)).collect();
        self.spans.retain(|(start, end)| start < end);
    }

    /// Nothing is offered from `end_ns` on.
    pub fn end_at(&mut self, end_ns: u64) {
        self.spans = self.spans.iter().map(|(start, end)| (*start, (*end).min(end_ns))).collect();
        self.spans.retain(|(start, end)| start < end);
    }

    /// How long load was offered up to `until_ns`, in nanoseconds.
    pub fn length_ns(&self, until_ns: u64) -> u64 {
        self.within(0, until_ns)
    }

    /// When the last span ends, in nanoseconds; `None` when there is none or nobody knows.
    pub fn end_ns(&self) -> Option<u64> {
        self.spans.last().map(|(_, end)| *end).filter(|end| *end != u64::MAX)
    }

    /// How long load is offered from `from_ns` to `to_ns`, in nanoseconds.
    fn within(&self, from_ns: u64, to_ns: u64) -> u64 {
        let first = self.spans.partition_point(|(_, end)| *end <= from_ns);
        let spans = self.spans.iter().skip(first).take_while(|(start, _)| *start < to_ns);
        spans.map(|(start, end)| (*end).min(to_ns).saturating_sub((*start).max(from_ns))).sum()
    }

    /// How long load is offered in a second of run time, in nanoseconds.
    pub fn within_second(&self, second: u64) -> u64 {
        self.within(second.saturating_mul(SECOND_NS), second.saturating_add(1).saturating_mul(SECOND_NS))
    }

    /// Whether a span begins in this second.
    pub fn begins_in(&self, second: u64) -> bool {
        let at = self.spans.partition_point(|(start, _)| start / SECOND_NS < second);
        self.spans.get(at).is_some_and(|(start, _)| start / SECOND_NS == second)
    }

    /// Runs of whole seconds, first and last.
    fn whole_seconds(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.spans.iter().filter_map(|(start, end)| {
            let (first, after) = (start.div_ceil(SECOND_NS), end / SECOND_NS);
            (first < after).then(|| (first, after - 1))
        })
    }

    /// The first second that is offered from its begin to its end; `None` when there is none.
    pub fn first_whole_second(&self) -> Option<u64> {
        self.whole_seconds().next().map(|(first, _)| first)
    }

    /// The last one; `None` when there is none or nobody knows.
    pub fn last_whole_second(&self) -> Option<u64> {
        self.end_ns()?;
        self.whole_seconds().next_back().map(|(_, last)| last)
    }

    /// First and last of the whole seconds around `second` between which load is offered without a pause; `None` when
    /// `second` is not whole.
    pub fn whole_run(&self, second: u64) -> Option<(u64, u64)> {
        self.whole_seconds().find(|(first, last)| (*first..=*last).contains(&second))
    }

    /// How many seconds there are from the first whole one to the last, pauses included; `None` when nobody knows.
    pub fn whole_extent(&self) -> Option<u64> {
        self.end_ns()?;
        Some(self.last_whole_second().zip(self.first_whole_second()).map_or(0, |(last, first)| last - first + 1))
    }

    /// How many windows of `length` seconds there are: in each stretch of whole seconds one that ends with each second,
    /// from where it is full, and one in a stretch that is shorter. `None` when nobody knows, none when all of it is
    /// shorter.
    pub fn windows(&self, length: u64) -> Option<u64> {
        if self.whole_extent()? < length {
            return Some(0);
        }
        Some(self.whole_seconds().map(|(first, last)| (last - first + 2).saturating_sub(length).max(1)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = SECOND_NS / 2;

    #[test]
    fn spans_are_joined_and_pauses_are_not_offered() {
        let spans =
            OfferedSpans::new([(5 * SECOND_NS, 8 * SECOND_NS + HALF), (0, SECOND_NS), (SECOND_NS, 2 * SECOND_NS)]);
        assert_eq!(spans.length_ns(u64::MAX), 5 * SECOND_NS + HALF);
        assert_eq!(spans.length_ns(6 * SECOND_NS), 3 * SECOND_NS);
        assert_eq!((spans.within_second(1), spans.within_second(3), spans.within_second(8)), (SECOND_NS, 0, HALF));
        assert_eq!((spans.first_whole_second(), spans.last_whole_second()), (Some(0), Some(7)));
        assert!(spans.begins_in(0) && spans.begins_in(5) && !spans.begins_in(1) && !spans.begins_in(6));
        assert_eq!(spans.end_ns(), Some(8 * SECOND_NS + HALF));
    }

    #[test]
    fn windows_are_counted_by_the_whole_seconds_they_end_with() {
        assert_eq!(OfferedSpans::until(10 * SECOND_NS).windows(3), Some(8));
        assert_eq!(OfferedSpans::until(2 * SECOND_NS).windows(3), Some(0));
        // Seconds 0, 1 and 5, 6, 7: of three seconds there is one with the first two, and the last three.
        let paused = OfferedSpans::new([(0, 2 * SECOND_NS), (5 * SECOND_NS, 8 * SECOND_NS)]);
        assert_eq!((paused.windows(1), paused.windows(3), paused.windows(9)), (Some(5), Some(2), Some(0)));
        assert_eq!((paused.whole_run(1), paused.whole_run(3), paused.whole_run(6)), (Some((0, 1)), None, Some((5, 7))));
        assert_eq!(paused.whole_extent(), Some(8));
        assert_eq!(OfferedSpans::until(u64::MAX).windows(3), None);
    }

    #[test]
    fn an_end_that_nobody_knows_is_found_when_the_run_is_cut() {
        let mut open = OfferedSpans::until(u64::MAX);
        assert_eq!((open.end_ns(), open.last_whole_second()), (None, None));
        assert_eq!(open.within_second(1_000_000), SECOND_NS);
        open.end_at(3 * SECOND_NS + HALF);
        assert_eq!((open.end_ns(), open.last_whole_second()), (Some(3 * SECOND_NS + HALF), Some(2)));
    }
}
