//! One series as it was measured, row by row.

use nuncius_schemas::report::{FailureSeries, HeatMap, SeriesReport};

use super::decimated::{Decimated, Level};

/// Columns of one length.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Track {
    pub(super) group: String,
    pub(super) step: Option<String>,
    pub(super) row_seconds: u32,
    pub(super) second: Vec<u32>,
    /// Of each row how many.
    pub(super) counts: Vec<(&'static str, Vec<u64>)>,
    /// Of each row how high.
    pub(super) levels: Vec<(&'static str, Vec<Option<u64>>)>,
    /// Of each row how often each kind failed.
    pub(super) failures: Vec<FailureSeries>,
    /// Where the latencies were: the columns are its own.
    pub(super) heat: Option<HeatMap>,
}

impl Track {
    /// What a report has.
    pub(super) fn of_report(series: &SeriesReport) -> Self {
        let columns = &series.columns;
        let known = |column: &[u64]| column.iter().map(|value| Some(*value)).collect::<Vec<_>>();
        let counts = [
            ("length_ns", &columns.length_ns),
            ("offered_ns", &columns.offered_ns),
            ("scheduled", &columns.scheduled),
            ("offered", &columns.offered),
            ("sent", &columns.sent),
            ("succeeded", &columns.succeeded),
            ("failed", &columns.failed),
            ("censored", &columns.censored),
            ("retried", &columns.retried),
            ("bytes_sent", &columns.bytes_sent),
            ("bytes_received", &columns.bytes_received),
        ];
        let quantiles = [
            ("response_p50_ns", &columns.response_p50_ns),
            ("response_p95_ns", &columns.response_p95_ns),
            ("response_p99_ns", &columns.response_p99_ns),
            ("response_max_ns", &columns.response_max_ns),
            ("service_p50_ns", &columns.service_p50_ns),
            ("service_p95_ns", &columns.service_p95_ns),
            ("service_p99_ns", &columns.service_p99_ns),
            ("service_max_ns", &columns.service_max_ns),
            ("blocked_p99_ns", &columns.blocked_p99_ns),
            ("lag_p99_ns", &columns.lag_p99_ns),
        ];
        let mut levels: Vec<_> = quantiles.map(|(name, column)| (name, column.clone())).into();
        levels.push(("in_flight", known(&columns.in_flight)));
        levels.push(("nodes", columns.nodes.iter().map(|nodes| Some(u64::from(*nodes))).collect()));
        let is_there = |column: &Vec<u64>| !column.is_empty();
        Self {
            group: series.group.clone(),
            step: series.step.clone(),
            row_seconds: series.row_seconds.max(1),
            second: columns.second.clone(),
            counts: counts
                .into_iter()
                .filter(|(_, column)| is_there(column))
                .map(|(name, column)| (name, column.clone()))
                .collect(),
            levels: levels.into_iter().filter(|(_, column)| !column.is_empty()).collect(),
            failures: series.failures.clone(),
            heat: series.heat_map.clone(),
        }
    }

    /// The rows of a time, in at most so many points.
    pub(super) fn decimate(&self, from: u32, to: u32, points: usize) -> Decimated {
        let is_in = |second: &u32| second.saturating_add(self.row_seconds) > from && *second < to;
        let first = self.second.iter().position(is_in).unwrap_or(self.second.len());
        let rows = self.second.iter().skip(first).take_while(|second| **second < to).count();
        let width = rows.div_ceil(points.max(1)).max(1);
        let counts = self.counts.iter().map(|(name, column)| {
            let sums = pieces(column, first, rows, width).map(|piece| piece.iter().sum());
            (*name, sums.collect())
        });
        let failures = self.failures.iter().map(|kind| FailureSeries {
            kind: kind.kind,
            status: kind.status,
            counts: pieces(&kind.counts, first, rows, width).map(|piece| piece.iter().sum()).collect(),
        });
        let levels = self.levels.iter().map(|(name, column)| (*name, level(column, first, rows, width)));
        Decimated {
            group: self.group.clone(),
            step: self.step.clone(),
            point_seconds: self.row_seconds.saturating_mul(u32::try_from(width).unwrap_or(u32::MAX)),
            second: pieces(&self.second, first, rows, width).filter_map(|piece| piece.first().copied()).collect(),
            counts: counts.collect(),
            levels: levels.collect(),
            failures: failures.collect(),
            heat: self.heat.as_ref().map(|heat| within(heat, from, to)),
        }
    }
}

fn pieces<T>(column: &[T], first: usize, rows: usize, width: usize) -> impl Iterator<Item = &[T]> {
    column
        .get(first..)
        .unwrap_or_default()
        .chunks(width)
        .take(rows.div_ceil(width))
        .enumerate()
        .map(move |(at, piece)| piece.get(..width.min(rows - at * width)).unwrap_or(piece))
}

/// The columns of a time.
fn within(heat: &HeatMap, from: u32, to: u32) -> HeatMap {
    let width = heat.column_seconds.max(1);
    let is_in = |column: u32| (column + 1).saturating_mul(width) > from && column.saturating_mul(width) < to;
    let cells = heat.cells.iter().filter(|(column, _, _)| is_in(*column)).copied().collect();
    HeatMap { cells, ..heat.clone() }
}

fn level(column: &[Option<u64>], first: usize, rows: usize, width: usize) -> Level {
    let mut level = Level::default();
    for piece in pieces(column, first, rows, width) {
        let there = || piece.iter().filter_map(|value| *value);
        level.last.push(there().next_back());
        if width > 1 {
            level.min.push(there().min());
            level.max.push(there().max());
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(rows: u32) -> Track {
        let p99 = (0..rows).map(|second| (second % 5 != 4).then_some(u64::from(second)));
        Track {
            group: "g".to_owned(),
            row_seconds: 1,
            second: (0..rows).collect(),
            counts: vec![("sent", vec![2; rows as usize])],
            levels: vec![("p99", p99.collect())],
            ..Track::default()
        }
    }

    #[test]
    fn fewer_points_lose_no_count_and_no_peak() {
        let points = track(103).decimate(0, u32::MAX, 10);
        assert_eq!(points.second, [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]);
        assert_eq!(points.point_seconds, 11);
        assert_eq!(points.counts["sent"].iter().sum::<u64>(), 206);
        assert_eq!(points.levels["p99"].max[9], Some(102));
        assert_eq!(points.levels["p99"].min[9], Some(100), "second 99 had none");
        assert_eq!(points.levels["p99"].last[0], Some(10));
    }

    #[test]
    fn enough_points_are_the_rows_and_a_time_is_cut_out() {
        let points = track(20).decimate(5, 8, 100);
        assert_eq!(points.second, [5, 6, 7]);
        assert_eq!(points.levels["p99"], Level { last: vec![Some(5), Some(6), Some(7)], ..Level::default() });
        assert_eq!(points.counts["sent"], [2, 2, 2]);
        assert!(track(20).decimate(30, 40, 10).second.is_empty());
        assert!(track(0).decimate(0, 40, 10).second.is_empty());
    }
}
