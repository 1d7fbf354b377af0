//! A heat map of latencies that stays small: rows a quarter apart, columns that are folded in long runs.

use std::collections::BTreeMap;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::HeatMap;
use nuncius_schemas::report::series::HEAT_MAP_COLUMNS_MAX;
use nuncius_schemas::second::StepSecond;
use nuncius_stats::heat::{cells, edges_ns};
use serde::{Deserialize, Serialize};

/// Counts by column and row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Heat {
    /// Each column is this many seconds; 0 stands for 1.
    folded: u32,
    /// What is counted: settled by the first second that has any.
    quantity: Option<Quantity>,
    cells: BTreeMap<(u32, u32), u64>,
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
        let Ok(counts) = cells(&distribution.histogram, &edges_ns()) else { return };
        if counts.is_empty() {
            return;
        }
        while (second / self.column_seconds()) as usize >= HEAT_MAP_COLUMNS_MAX {
            self.fold();
        }
        let column = second / self.column_seconds();
        for (row, count) in counts {
            *self.cells.entry((column, u32::from(row))).or_default() += count;
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
        let rows = edges_ns().into_iter().skip(lowest as usize).take((highest - lowest) as usize + 1).collect();
        let cells = self.cells.iter().map(|((column, row), count)| (*column, row - lowest, *count)).collect();
        Some(HeatMap { quantity, column_seconds: self.column_seconds(), row_upper_ns: rows, cells })
    }
}
