//! The seconds of a run that goes on, in a bounded number of rows: the last two minutes second by second, what is
//! older in rows of several seconds once there are too many.

use std::collections::BTreeMap;

use nuncius_schemas::report::FailureSeries;
use nuncius_schemas::second::ExperimentSecond;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::steps::ITERATION;
use nuncius_stats::heat::edges_ns;

use super::fared::Fared;
use super::heated::Heated;
use super::row::{COUNTS, LEVELS, RECENT, Row};
use super::standing::Standing;
use super::track::Track;

/// Rows before two are made one.
const ROWS_MAX: usize = 3_600;
/// Most series: those beyond are counted.
const SERIES_MAX: usize = 512;
/// Most steps with a heat map: those that are told first. Whole iterations have one each.
const HEAT_STEPS_MAX: usize = 128;

/// What was read of a run.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Sequence in the stream up to which it was read.
    pub(super) through: u64,
    pub(super) seconds_total: Option<u32>,
    pub(super) left_out: u32,
    /// The daemon's wall clock at second 0.
    pub(super) zero_unix_ms: Option<u64>,
    /// How nodes fared.
    pub(super) nodes: Fared,
    /// How gates stand; absent where nobody knows the specification.
    pub(super) standing: Option<Standing>,
    /// Upper edges of the rows of heat maps.
    edges_ns: Vec<u64>,
    heat_steps: usize,
    series: BTreeMap<(u16, u16), Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    group: String,
    step: Option<String>,
    /// Whether iterations are counted there.
    counts_iterations: bool,
    /// Where its latencies were; absent where there are too many.
    heat: Option<Heated>,
    /// Seconds of a row; 0 stands for 1.
    row_seconds: u32,
    rows: BTreeMap<u32, Row>,
}

impl Folded {
    /// Of an experiment with this specification, where it is known.
    pub(super) fn new(spec: Option<&ExperimentSpec>) -> Self {
        Self { standing: spec.map(Standing::new), edges_ns: edges_ns(), ..Self::default() }
    }

    /// Adds a second, or a part, a revision or a late piece of one.
    pub(super) fn add(&mut self, told: &ExperimentSecond) {
        self.seconds_total = told.seconds_total.or(self.seconds_total);
        let before_ms = u64::from(told.second) * 1_000;
        self.zero_unix_ms = self.zero_unix_ms.or((told.at_unix_ns / 1_000_000).checked_sub(before_ms));
        self.nodes.add(told);
        if let Some(standing) = &mut self.standing {
            standing.add(told);
        }
        for group in &told.groups {
            for (counts_iterations, step) in group.recorders() {
                let key = (group.group, step.step);
                if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
                    self.left_out = self.left_out.max(1);
                    continue;
                }
                let rows = self.series.entry(key).or_insert_with(|| {
                    let has_heat = counts_iterations || self.heat_steps < HEAT_STEPS_MAX;
                    self.heat_steps += usize::from(has_heat && !counts_iterations);
                    Rows {
                        group: group.name.clone(),
                        step: (step.name != ITERATION).then(|| step.name.clone()),
                        counts_iterations,
                        heat: has_heat.then(|| Heated::of(group)),
                        ..Rows::default()
                    }
                });
                if let Some(heat) = &mut rows.heat {
                    heat.add(told, group, step, &self.edges_ns);
                }
                rows.add(told, Row::of(told, group, step, counts_iterations));
            }
        }
    }

    /// Iterations that succeeded in each of the last seconds, all groups together.
    pub(super) fn last_rates(&self, seconds: u32) -> Vec<f64> {
        let wholes = || self.series.values().filter(|rows| rows.counts_iterations);
        let newest = wholes().filter_map(|rows| rows.rows.last_key_value()).map(|(second, _)| *second).max();
        let Some(newest) = newest else { return Vec::new() };
        let mut rates = Vec::new();
        for second in newest.saturating_sub(seconds.saturating_sub(1))..=newest {
            let of = |rows: &Rows| {
                let width = rows.row_seconds.max(1);
                let row = rows.rows.get(&(second / width * width))?;
                Some(row.count("succeeded") as f64 / f64::from(width))
            };
            rates.push(wholes().filter_map(of).sum());
        }
        rates
    }

    /// Those that are wanted, by group and step.
    pub(super) fn tracks(&self, takes: impl Fn(&str, Option<&str>) -> bool) -> Vec<Track> {
        self.series
            .values()
            .filter(|rows| takes(&rows.group, rows.step.as_deref()))
            .map(|rows| rows.track(&self.edges_ns))
            .collect()
    }
}

impl Rows {
    fn add(&mut self, told: &ExperimentSecond, row: Row) {
        let width = self.row_seconds.max(1);
        let newest = self.rows.last_key_value().map_or(0, |(second, _)| *second);
        let at = told.second / width * width;
        match self.rows.get_mut(&at) {
            Some(known) if told.late => known.add_late(&row),
            Some(known) if width == 1 && told.second.saturating_add(RECENT) >= newest => {
                if row.revision >= known.revision {
                    *known = row;
                }
            }
            Some(known) if row.revision == 0 => known.add(&row),
            // A revision of what is folded: the first one stays.
            Some(_) => {}
            None => {
                self.rows.insert(at, row);
            }
        }
        if self.rows.len() > ROWS_MAX {
            self.fold();
        }
    }

    fn fold(&mut self) {
        self.row_seconds = self.row_seconds.max(1) * 2;
        let width = self.row_seconds;
        for (second, row) in std::mem::take(&mut self.rows) {
            let at = second / width * width;
            self.rows.entry(at).and_modify(|known| known.add(&row)).or_insert(row);
        }
    }

    /// How often each kind failed, row by row.
    fn failures(&self) -> Vec<FailureSeries> {
        let mut kinds: Vec<FailureSeries> = Vec::new();
        for (at, row) in self.rows.values().enumerate() {
            for (kind, status, count) in &row.failures {
                let place = kinds.iter().position(|known| (known.kind, known.status) == (*kind, *status));
                let place = place.unwrap_or_else(|| {
                    let counts = vec![0; self.rows.len()];
                    kinds.push(FailureSeries { kind: *kind, status: *status, counts });
                    kinds.len() - 1
                });
                let cell = kinds.get_mut(place).and_then(|known| known.counts.get_mut(at));
                cell.into_iter().for_each(|cell| *cell += count);
            }
        }
        kinds
    }

    fn track(&self, edges_ns: &[u64]) -> Track {
        let column = |index: usize| self.rows.values().map(|row| row.counts.get(index).copied().unwrap_or(0)).collect();
        let level = |index: usize| self.rows.values().map(|row| row.levels.get(index).copied().flatten()).collect();
        Track {
            group: self.group.clone(),
            step: self.step.clone(),
            row_seconds: self.row_seconds.max(1),
            second: self.rows.keys().copied().collect(),
            counts: COUNTS.iter().enumerate().map(|(index, name)| (*name, column(index))).collect(),
            levels: LEVELS.iter().enumerate().map(|(index, name)| (*name, level(index))).collect(),
            failures: self.failures(),
            heat: self.heat.as_ref().and_then(|heat| heat.map(edges_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::metric::{FailureCount, FailureKind};
    use nuncius_schemas::report::series::HEAT_MAP_COLUMNS_MAX;
    use nuncius_schemas::run::RunStatus;
    use nuncius_schemas::second::{Distribution, GroupSecond, StepSecond};
    use nuncius_stats::{Histogram, Totals};

    use super::*;

    fn second(number: u32, revision: u32, late: bool, succeeded: u64) -> ExperimentSecond {
        let mut histogram = Histogram::new();
        histogram.record_ns_many(900_000, succeeded);
        let response = Distribution {
            count: succeeded,
            p99_ns: Some(succeeded * 10),
            histogram: Totals::from(&histogram).encode(),
            ..Distribution::default()
        };
        let failure = |status| FailureCount { kind: FailureKind::Status, status, count: 2, sample: None };
        let failures = vec![failure(503), failure(500 + (number % 2) as u16)];
        let step = StepSecond { name: "get".to_owned(), succeeded, response, failures, ..StepSecond::default() };
        let group = GroupSecond {
            name: "main".to_owned(),
            open: true,
            offered_ns: 1_000_000_000,
            scheduled: Some(10),
            steps: vec![step],
            ..GroupSecond::default()
        };
        ExperimentSecond {
            experiment: "e".to_owned(),
            second: number,
            first_second: number,
            revision,
            late,
            part: 0,
            parts: 1,
            length_ns: 1_000_000_000,
            at_unix_ns: 0,
            status: RunStatus::Running,
            seconds_total: Some(100_000),
            groups: vec![group],
            nodes: Vec::new(),
            nodes_left_out: 0,
        }
    }

    fn sum(track: &Track, name: &str) -> u64 {
        track.counts.iter().find(|(known, _)| *known == name).unwrap().1.iter().sum()
    }

    #[test]
    fn a_revision_takes_the_place_of_a_second_and_what_is_late_is_added() {
        let mut folded = Folded::new(None);
        for told in [second(0, 0, false, 5), second(1, 0, false, 6), second(0, 1, false, 8), second(0, 0, true, 1)] {
            folded.add(&told);
        }
        let tracks = folded.tracks(|_, _| true);
        assert_eq!(sum(&tracks[0], "succeeded"), 8 + 1 + 6);
        assert_eq!(sum(&tracks[0], "scheduled"), 20);
        assert!(folded.tracks(|_, step| step == Some("other")).is_empty());
        let failed = |status| {
            let found = tracks[0].failures.iter().find(|kind| kind.status == status);
            found.map_or_else(Vec::new, |kind| kind.counts.clone())
        };
        assert_eq!(failed(503), [4, 2], "what came late is added");
        assert_eq!((failed(500), failed(501)), (vec![4, 0], vec![0, 2]));
        let heat = tracks[0].heat.as_ref().unwrap();
        assert_eq!(
            (heat.row_upper_ns.as_slice(), heat.cells.as_slice()),
            ([1_000_000].as_slice(), [(0, 0, 9), (1, 0, 6)].as_slice())
        );
    }

    #[test]
    fn a_run_of_a_day_stays_small_and_loses_no_count_and_no_peak() {
        let mut folded = Folded::new(None);
        for number in 0..86_400 {
            folded.add(&second(number, 0, false, if number == 40_000 { 1_000 } else { 1 }));
        }
        let tracks = folded.tracks(|_, _| true);
        assert!(tracks[0].second.len() <= ROWS_MAX);
        assert_eq!(sum(&tracks[0], "succeeded"), 86_399 + 1_000);
        let decimated = tracks[0].decimate(0, u32::MAX, 600);
        let json = serde_json::to_string(&decimated).unwrap();
        assert!(json.contains("10000"), "the peak");
        assert!(json.len() < 500_000, "{}", json.len());
        let heat = tracks[0].heat.as_ref().unwrap();
        assert!(heat.cells.len() <= HEAT_MAP_COLUMNS_MAX, "{}", heat.cells.len());
        assert_eq!(heat.cells.iter().map(|(_, _, count)| count).sum::<u64>(), 86_399 + 1_000);
    }
}
