//! The slowest requests of a second: a few are kept, and what is faster than all of them costs one comparison.

use crate::row::Row;

/// A request that was slow. Its row has identifiers whether it was sampled or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowRow {
    /// What became of it.
    pub row: Row,
    /// It carried a sampled `traceparent`, and is told as a row of its own, too.
    pub is_sampled: bool,
}

impl SlowRow {
    /// Done − planned, in nanoseconds.
    pub fn response_ns(&self) -> u64 {
        self.row.done_ns.saturating_sub(self.row.planned_ns)
    }
}

/// At most so many of the slowest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slowest {
    most: usize,
    /// What a request must exceed to be kept.
    floor_ns: u64,
    rows: Vec<SlowRow>,
}

impl Default for Slowest {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Slowest {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, floor_ns: if most == 0 { u64::MAX } else { 0 }, rows: Vec::new() }
    }

    /// Most that are kept.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Those that were kept, in no order.
    pub fn rows(&self) -> &[SlowRow] {
        &self.rows
    }

    /// Whether a request that took so long is to be kept.
    #[inline]
    pub(crate) fn admits(&self, response_ns: u64) -> bool {
        response_ns > self.floor_ns
    }

    /// Keeps one that is admitted, in the place of the fastest where there is no room.
    #[cold]
    pub(crate) fn keep(&mut self, slow: SlowRow) {
        if self.rows.len() >= self.most {
            let fastest = self.rows.iter_mut().min_by_key(|row| row.response_ns());
            if let Some(fastest) = fastest.filter(|fastest| fastest.response_ns() < slow.response_ns()) {
                *fastest = slow;
            }
        } else {
            self.rows.push(slow);
        }
        if self.rows.len() >= self.most {
            self.floor_ns = self.rows.iter().map(SlowRow::response_ns).min().unwrap_or(u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::record::RecordOutcome;
    use proptest::prelude::*;

    use super::*;

    fn slow(response_ns: u64) -> SlowRow {
        let row = Row {
            group: 0,
            step: 0,
            index: response_ns,
            planned_ns: 10,
            sent_ns: 10,
            done_ns: 10 + response_ns,
            status: 200,
            outcome: RecordOutcome::Succeeded,
            failure: None,
            trace_id: 1,
            span_id: 1,
            received_from: 0,
            host: None,
        };
        SlowRow { row, is_sampled: false }
    }

    proptest! {
        #[test]
        fn the_slowest_are_kept_whatever_the_order(times in prop::collection::vec(1u64..1_000, 0..200), most in 0usize..8) {
            let mut slowest = Slowest::new(most);
            for time in &times {
                if slowest.admits(*time) {
                    slowest.keep(slow(*time));
                }
            }
            let mut kept: Vec<u64> = slowest.rows().iter().map(SlowRow::response_ns).collect();
            kept.sort_unstable_by(|a, b| b.cmp(a));
            let mut all = times;
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.truncate(most);
            prop_assert_eq!(kept, all);
        }
    }
}
