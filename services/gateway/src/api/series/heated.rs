//! Where the latencies of a series were, in a bounded number of columns: what is older is folded, the last two minutes
//! can be told anew.

use std::collections::BTreeMap;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::HeatMap;
use nuncius_schemas::report::series::HEAT_MAP_COLUMNS_MAX;
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, StepSecond};
use nuncius_stats::heat::cells;

use super::row::RECENT;
use crate::live::headline;

/// Index of the upper edge, and how many.
type Cell = (u16, u64);

/// Counts by column and row.
#[derive(Debug)]
pub(super) struct Heated {
    quantity: Quantity,
    column_seconds: u32,
    counts: BTreeMap<(u32, u16), u64>,
    /// Seconds that may be told anew: the revision, and what it had.
    recent: BTreeMap<u32, (u32, Vec<Cell>)>,
}

impl Heated {
    /// Of the response, or the service where nothing is planned.
    pub(super) fn of(group: &GroupSecond) -> Self {
        let quantity = if group.open { Quantity::Response } else { Quantity::Service };
        Self { quantity, column_seconds: 1, counts: BTreeMap::new(), recent: BTreeMap::new() }
    }

    /// Adds a second, a revision of it or a late piece of it. One whose histogram was left out is not in the map.
    pub(super) fn add(&mut self, told: &ExperimentSecond, group: &GroupSecond, step: &StepSecond, edges_ns: &[u64]) {
        let cells = cells(&headline(group, step).histogram, edges_ns).unwrap_or_default();
        if told.late {
            return self.count(told.second, &cells);
        }
        let newest = self.recent.last_key_value().map_or(0, |(second, _)| *second);
        match self.recent.get(&told.second) {
            Some((revision, _)) if told.revision < *revision => return,
            // A revision of what is folded: the first one stays.
            None if told.revision > 0 && told.second.saturating_add(RECENT) < newest => return,
            Some(_) | None => {}
        }
        self.count(told.second, &cells);
        if let Some((_, before)) = self.recent.insert(told.second, (told.revision, cells)) {
            self.discount(told.second, &before);
        }
        while self.recent.len() > RECENT as usize {
            self.recent.pop_first();
        }
    }

    fn count(&mut self, second: u32, cells: &[Cell]) {
        while (second / self.column_seconds) as usize >= HEAT_MAP_COLUMNS_MAX {
            self.fold();
        }
        let column = second / self.column_seconds;
        for (edge, count) in cells {
            *self.counts.entry((column, *edge)).or_default() += count;
        }
    }

    fn discount(&mut self, second: u32, cells: &[Cell]) {
        let column = second / self.column_seconds;
        for (edge, count) in cells {
            let left = self.counts.get(&(column, *edge)).map_or(0, |known| known.saturating_sub(*count));
            if left > 0 {
                self.counts.insert((column, *edge), left);
            } else {
                self.counts.remove(&(column, *edge));
            }
        }
    }

    fn fold(&mut self) {
        self.column_seconds = self.column_seconds.saturating_mul(2);
        for ((column, edge), count) in std::mem::take(&mut self.counts) {
            *self.counts.entry((column / 2, edge)).or_default() += count;
        }
    }

    /// The map, with no more rows than are needed; none without any latency.
    pub(super) fn map(&self, edges_ns: &[u64]) -> Option<HeatMap> {
        let lowest = self.counts.keys().map(|(_, edge)| *edge).min()?;
        let highest = self.counts.keys().map(|(_, edge)| *edge).max()?;
        let rows = edges_ns.iter().skip(usize::from(lowest)).take(usize::from(highest - lowest) + 1);
        let cell = |((column, edge), count): (&(u32, u16), &u64)| (*column, u32::from(edge - lowest), *count);
        Some(HeatMap {
            quantity: self.quantity,
            column_seconds: self.column_seconds,
            row_upper_ns: rows.copied().collect(),
            cells: self.counts.iter().map(cell).collect(),
        })
    }
}
