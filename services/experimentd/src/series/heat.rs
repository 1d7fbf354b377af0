//! A heat map of latencies that stays small: rows a quarter apart, columns that are folded in long runs.

use std::collections::BTreeMap;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::HeatMap;
use nuncius_schemas::report::series::HEAT_MAP_COLUMNS_MAX;
use nuncius_schemas::second::StepSecond;
use nuncius_stats::Totals;
use serde::{Deserialize, Serialize};

/// Upper edges of the rows within a decade, in hundredths: the preferred numbers R10 of ISO 3.
const EDGES: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Decades from 1 µs on: up to 1000 s.
const DECADES: u32 = 9;

/// Counts by column and row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Heat {
    /// Each column is this many seconds; 0 stands for 1.
    folded: u32,
    /// What is counted: settled by the first second that has any.
    quantity: Option<Quantity>,
    cells: BTreeMap<(u32, u32), u64>,
}

/// The upper edges of all rows, in nanoseconds, rising.
fn edges() -> Vec<u64> {
    let decade = |exponent: u32| EDGES.map(|edge| edge * 10u64.pow(exponent + 1));
    (0..DECADES).flat_map(decade).chain([10u64.pow(DECADES + 3)]).collect()
}

impl Heat {
    const fn column_seconds(&self) -> u32 {
        if self.folded == 0 { 1 } else { self.folded }
    }

    /// Adds a second of a step: its response, or its service where there is no planned instant. One whose histogram was
    /// left out is not in the map.
    pub(super) fn add(&mut self, second: u32, step: &StepSecond) {
        let quantity = *match (&mut self.quantity, step.response.count, step.service.count) {
            (Some(quantity), ..) => quantity,
            (None, 0, 0) => return,
            (unsettled, 0, _) => unsettled.insert(Quantity::Service),
            (unsettled, ..) => unsettled.insert(Quantity::Response),
        };
        let distribution = if quantity == Quantity::Response { &step.response } else { &step.service };
        let Ok(totals) = Totals::decode(&distribution.histogram) else { return };
        if totals.is_empty() {
            return;
        }
        while (second / self.column_seconds()) as usize >= HEAT_MAP_COLUMNS_MAX {
            self.fold();
        }
        let (column, edges) = (second / self.column_seconds(), edges());
        for (value_ns, count) in totals.values() {
            let row = edges.partition_point(|edge| *edge < value_ns).min(edges.len() - 1);
            *self.cells.entry((column, row as u32)).or_default() += count;
        }
    }

    fn fold(&mut self) {
        self.folded = self.column_seconds() * 2;
        for ((column, row), count) in std::mem::take(&mut self.cells) {
            *self.cells.entry((column / 2, row)).or_default() += count;
        }
    }

    /// The map, with no more rows than are needed; `None` without any latency.
    pub(super) fn report(&self) -> Option<HeatMap> {
        let quantity = self.quantity?;
        let (lowest, highest) =
            (self.cells.keys().map(|(_, row)| *row).min()?, self.cells.keys().map(|(_, row)| *row).max()?);
        let rows = edges().into_iter().skip(lowest as usize).take((highest - lowest) as usize + 1).collect();
        let cells = self.cells.iter().map(|((column, row), count)| (*column, row - lowest, *count)).collect();
        Some(HeatMap { quantity, column_seconds: self.column_seconds(), row_upper_ns: rows, cells })
    }
}
