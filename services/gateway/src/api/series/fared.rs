//! How nodes fared over time: whether they had the processors that they needed.

use std::collections::BTreeMap;

use nuncius_schemas::second::ExperimentSecond;
use schemars::JsonSchema;
use serde::Serialize;

use crate::live::rounded;

/// Seconds before two are made one row.
const ROWS_MAX: usize = 3_600;
/// Nodes that are told by name: those that are told first.
const NAMED_MAX: usize = 8;

/// One row: the worst of all nodes, and the lag of those that are told by name.
#[derive(Debug, Clone, Default)]
struct Row {
    run_delay_share: f64,
    utilisation: f64,
    lag_p99_ns: Option<u64>,
    lags: Vec<Option<u64>>,
}

/// What nodes told, row by row.
#[derive(Debug, Default)]
pub(super) struct Fared {
    names: Vec<String>,
    others: bool,
    /// Seconds of a row; 0 stands for 1.
    row_seconds: u32,
    rows: BTreeMap<u32, Row>,
}

/// How nodes fared over time, in columns of one length.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(in crate::api) struct NodesOverTime {
    /// Seconds that a row stands for.
    row_seconds: u32,
    /// First second of each row.
    second: Vec<u32>,
    /// Share of the second for which the engine thread that waited longest for a processor did so, of all nodes.
    run_delay_share: Vec<f64>,
    /// Share of the second for which the busiest engine thread of all nodes ran.
    utilisation: Vec<f64>,
    /// The longest lag p99 of all nodes.
    lag_p99_ns: Vec<Option<u64>>,
    /// Nodes one by one.
    nodes: Vec<NodeOverTime>,
    /// Whether there were more nodes than are told one by one.
    has_others: bool,
}

/// One node over time.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
struct NodeOverTime {
    node: String,
    /// Its lag p99 in each row.
    lag_p99_ns: Vec<Option<u64>>,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.run_delay_share = self.run_delay_share.max(other.run_delay_share);
        self.utilisation = self.utilisation.max(other.utilisation);
        self.lag_p99_ns = self.lag_p99_ns.max(other.lag_p99_ns);
        self.lags.resize(self.lags.len().max(other.lags.len()), None);
        self.lags.iter_mut().zip(&other.lags).for_each(|(lag, other)| *lag = (*lag).max(*other));
    }
}

impl Fared {
    /// Adds a second, or a part, a revision or a late piece of one: of each node the worst that was told stays.
    pub(super) fn add(&mut self, told: &ExperimentSecond) {
        if told.nodes.is_empty() {
            return;
        }
        let mut row = Row::default();
        for node in &told.nodes {
            row.run_delay_share = row.run_delay_share.max(node.run_delay_share);
            row.utilisation = row.utilisation.max(node.utilisation);
            row.lag_p99_ns = row.lag_p99_ns.max(node.lag_p99_ns);
            if let Some(place) = self.place(&node.node) {
                row.lags.resize(row.lags.len().max(place + 1), None);
                row.lags.iter_mut().skip(place).take(1).for_each(|lag| *lag = node.lag_p99_ns);
            }
        }
        self.others |= told.nodes_left_out > 0;
        let width = self.row_seconds.max(1);
        self.rows.entry(told.second / width * width).or_default().add(&row);
        if self.rows.len() > ROWS_MAX {
            self.fold();
        }
    }

    fn place(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return Some(place);
        }
        if self.names.len() >= NAMED_MAX {
            self.others = true;
            return None;
        }
        self.names.push(name.to_owned());
        Some(self.names.len() - 1)
    }

    fn fold(&mut self) {
        let width = self.row_seconds.max(1) * 2;
        self.row_seconds = width;
        for (second, row) in std::mem::take(&mut self.rows) {
            self.rows.entry(second / width * width).or_default().add(&row);
        }
    }

    /// In at most so many rows.
    pub(super) fn told(&self, points: usize) -> NodesOverTime {
        let width = self.rows.len().div_ceil(points.max(1)).max(1);
        let mut told = NodesOverTime {
            row_seconds: self.row_seconds.max(1).saturating_mul(u32::try_from(width).unwrap_or(u32::MAX)),
            nodes: self
                .names
                .iter()
                .map(|name| NodeOverTime { node: name.clone(), ..NodeOverTime::default() })
                .collect(),
            has_others: self.others,
            ..NodesOverTime::default()
        };
        let rows: Vec<(&u32, &Row)> = self.rows.iter().collect();
        for piece in rows.chunks(width) {
            let mut sum = Row::default();
            piece.iter().for_each(|(_, row)| sum.add(row));
            told.second.extend(piece.first().map(|(second, _)| **second));
            told.run_delay_share.push(rounded(sum.run_delay_share));
            told.utilisation.push(rounded(sum.utilisation));
            told.lag_p99_ns.push(sum.lag_p99_ns);
            for (place, node) in told.nodes.iter_mut().enumerate() {
                node.lag_p99_ns.push(sum.lags.get(place).copied().flatten());
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::run::RunStatus;
    use nuncius_schemas::second::NodeSecond;

    use super::*;

    fn second(number: u32, nodes: Vec<NodeSecond>) -> ExperimentSecond {
        ExperimentSecond {
            experiment: "e".to_owned(),
            second: number,
            first_second: number,
            revision: 0,
            late: false,
            part: 0,
            parts: 1,
            length_ns: 1_000_000_000,
            at_unix_ns: 0,
            status: RunStatus::Running,
            seconds_total: None,
            groups: Vec::new(),
            nodes,
            nodes_left_out: 0,
        }
    }

    fn node(name: &str, lag_p99_ns: u64, run_delay_share: f64) -> NodeSecond {
        NodeSecond {
            node: name.to_owned(),
            lag_p99_ns: Some(lag_p99_ns),
            run_delay_share,
            utilisation: 0.5,
            ..NodeSecond::default()
        }
    }

    #[test]
    fn the_worst_of_all_nodes_is_told_however_few_rows_there_are_and_the_first_ones_by_name() {
        let mut fared = Fared::default();
        for number in 0..10_000 {
            let starved = if number == 4_321 { 0.75 } else { 0.0 };
            fared.add(&second(number, vec![node("a", u64::from(number), 0.0), node("b", 5, starved)]));
        }
        let told = fared.told(100);
        assert!(told.second.len() <= 100 && told.row_seconds >= 100, "{}", told.row_seconds);
        assert_eq!(told.run_delay_share.iter().filter(|share| **share == 0.75).count(), 1);
        assert_eq!(told.nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(told.nodes[0].lag_p99_ns.last(), Some(&Some(9_999)));
        assert!(!told.has_others);
        let many = (0..20).map(|number| node(&format!("n{number}"), 1, 0.0)).collect();
        let mut fared = Fared::default();
        fared.add(&second(0, many));
        assert!(fared.told(10).has_others && fared.told(10).nodes.len() == NAMED_MAX);
    }
}
