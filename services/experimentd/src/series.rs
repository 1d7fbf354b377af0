//! What the report says over time, folded from merged seconds as they close. Pure, and bounded.

use std::collections::BTreeMap;

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::report::series::{SERIES_MAX, SERIES_ROWS_MAX};
use nuncius_schemas::report::{FailureSeries, SeriesColumns, SeriesReport, StatusSeries};
use nuncius_schemas::second::{Distribution, ExperimentSecond, StepSecond};
use serde::{Deserialize, Serialize};

use self::exact::{Pyramid, RowQuantiles};
use self::heat::Heat;

mod exact;
mod heat;

/// Rows of all series together, so that a report of many steps stays bounded, too.
const ROWS_TOTAL_MAX: usize = 120_000;
/// Rows that every series may have however many there are.
const ROWS_MIN: usize = 60;
/// Most statuses, and most kinds of failure, that a series tells apart; the rest is in the last.
const KINDS_MAX: usize = 24;

/// What is folded into series: group and step by index, `None` for whole iterations.
type Key = (u16, Option<u16>);

/// All series of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    rows_max: usize,
    /// Seconds that a row stands for.
    row_seconds: u32,
    all: BTreeMap<Key, One>,
    left_out: u32,
}

/// One series.
#[derive(Debug, Serialize, Deserialize)]
struct One {
    group: String,
    step: Option<String>,
    /// In rising order of their first second.
    rows: BTreeMap<u32, Row>,
    /// Quantiles of rows of several seconds.
    longer: Pyramid,
    heat: Heat,
}

/// Seconds that are shown together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Row {
    /// The last second in it, whose gauges count.
    last_second: u32,
    length_ns: u64,
    offered_ns: u64,
    nodes: u32,
    scheduled: Option<u64>,
    offered: u64,
    sent: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
    in_flight: u64,
    retried: u64,
    bytes_sent: u64,
    bytes_received: u64,
    response: Quantiles,
    service: Quantiles,
    blocked: Quantiles,
    lag: Quantiles,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<(FailureKind, u16), u64>,
}

/// Those of a distribution that are shown, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Quantiles {
    p50: Option<u64>,
    p95: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
}

impl Quantiles {
    fn of(distribution: &Distribution) -> Self {
        Self { p50: distribution.p50_ns, p95: distribution.p95_ns, p99: distribution.p99_ns, max: distribution.max_ns }
    }

    /// Raises each to the distribution's, where that is larger.
    fn raise(&mut self, distribution: &Distribution) {
        self.largest(Self::of(distribution));
    }

    fn largest(&mut self, other: Self) {
        self.p50 = self.p50.max(other.p50);
        self.p95 = self.p95.max(other.p95);
        self.p99 = self.p99.max(other.p99);
        self.max = self.max.max(other.max);
    }
}

/// What a second says of one series, beside the step's own counts.
struct Frame {
    second: u32,
    length_ns: u64,
    offered_ns: u64,
    nodes: u32,
    scheduled: Option<u64>,
}

impl Series {
    /// Of groups with these names, each with the names of its steps.
    pub fn new(groups: &[(String, Vec<String>)]) -> Self {
        Self::with_rows(groups, SERIES_ROWS_MAX)
    }

    fn with_rows(groups: &[(String, Vec<String>)], rows_max: usize) -> Self {
        let groups_by_index = || (0u16..).zip(groups);
        // Iterations come first: where there is room for some series only, they say most.
        let iterations = groups_by_index().filter(|(_, (_, steps))| steps.len() > 1).map(|(index, (name, _))| {
            let key: Key = (index, None);
            (key, name.clone(), None)
        });
        let steps = groups_by_index().flat_map(|(index, (name, steps))| {
            (0u16..).zip(steps).map(move |(step, text)| ((index, Some(step)), name.clone(), Some(text.clone())))
        });
        let mut wanted: Vec<(Key, String, Option<String>)> = iterations.chain(steps).collect();
        let left_out = u32::try_from(wanted.len().saturating_sub(SERIES_MAX)).unwrap_or(u32::MAX);
        wanted.truncate(SERIES_MAX);
        let share = ROWS_TOTAL_MAX.checked_div(wanted.len()).unwrap_or(rows_max);
        let rows_max = share.max(ROWS_MIN).min(rows_max).max(2);
        let all = wanted
            .into_iter()
            .map(|(key, group, step)| {
                let (rows, longer, heat) = Default::default();
                (key, One { group, step, rows, longer, heat })
            })
            .collect();
        Self { rows_max, row_seconds: 1, all, left_out }
    }

    /// Adds a second, or what came late of one. `whole` is that second with everything that is known of it now, where
    /// it is still at hand: quantiles are taken from there.
    pub fn add(&mut self, piece: &ExperimentSecond, whole: Option<&ExperimentSecond>) {
        let is_new = piece.revision == 0;
        while is_new && self.row_of(piece.second) as usize / self.row_seconds as usize >= self.rows_max {
            self.fold();
        }
        for group in &piece.groups {
            let whole = whole.and_then(|whole| whole.groups.iter().find(|known| known.group == group.group));
            let frame = |is_iteration: bool| Frame {
                second: piece.second,
                length_ns: if is_new { piece.length_ns } else { 0 },
                offered_ns: if is_new { group.offered_ns } else { 0 },
                nodes: if piece.first_second == piece.second { piece.nodes.len() as u32 } else { 0 },
                scheduled: group.scheduled.filter(|_| is_iteration && is_new),
            };
            for step in &group.steps {
                let is_iteration = group.iterations.is_none() && group.steps.len() == 1;
                let known = whole.and_then(|whole| whole.steps.iter().find(|known| known.step == step.step));
                self.add_step((group.group, Some(step.step)), step, known, &frame(is_iteration));
            }
            if let Some(step) = &group.iterations {
                let known = whole.and_then(|whole| whole.iterations.as_ref());
                self.add_step((group.group, None), step, known, &frame(true));
            }
        }
    }

    const fn row_of(&self, second: u32) -> u32 {
        second - second % self.row_seconds
    }

    fn add_step(&mut self, key: Key, step: &StepSecond, whole: Option<&StepSecond>, frame: &Frame) {
        let (row_seconds, at) = (self.row_seconds, self.row_of(frame.second));
        let Some(one) = self.all.get_mut(&key) else { return };
        one.heat.add(frame.second, step);
        one.longer.add(frame.second, step);
        let row = one.rows.entry(at).or_default();
        row.add(step, frame);
        let exact = whole.filter(|_| row_seconds == 1);
        if exact.is_some() {
            row.forget_quantiles();
        }
        row.raise_quantiles(exact.unwrap_or(step));
    }

    /// Has each row stand for twice as many seconds.
    fn fold(&mut self) {
        self.row_seconds = self.row_seconds.saturating_mul(2);
        let row_seconds = self.row_seconds;
        for one in self.all.values_mut() {
            let mut folded: BTreeMap<u32, Row> = BTreeMap::new();
            for (second, row) in std::mem::take(&mut one.rows) {
                let at = second - second % row_seconds;
                match folded.get_mut(&at) {
                    Some(known) => known.fold(row),
                    None => {
                        folded.insert(at, row);
                    }
                }
            }
            one.rows = folded;
            one.longer.forget_below(row_seconds);
        }
    }

    /// The series as the report has them, and how many had no room.
    pub fn report(&self) -> (Vec<SeriesReport>, u32) {
        // In the order of the specification: each group's iterations, then its steps.
        let reports = self.all.values().map(|one| one.report(self.row_seconds)).collect();
        (reports, self.left_out)
    }
}

impl Row {
    fn add(&mut self, step: &StepSecond, frame: &Frame) {
        let is_first = self.length_ns == 0;
        self.length_ns += frame.length_ns;
        self.offered_ns += frame.offered_ns;
        self.nodes = match (is_first, frame.length_ns) {
            // Late: another node told of it.
            (_, 0) => self.nodes + frame.nodes,
            (true, _) => frame.nodes,
            (false, _) => self.nodes.min(frame.nodes),
        };
        if let Some(scheduled) = frame.scheduled {
            *self.scheduled.get_or_insert(0) += scheduled;
        }
        if frame.second > self.last_second || is_first {
            (self.in_flight, self.last_second) = (step.in_flight, frame.second);
        } else if frame.second == self.last_second {
            self.in_flight += step.in_flight;
        }
        self.offered += step.offered;
        self.sent += step.sent;
        self.succeeded += step.succeeded;
        self.failed += step.failed;
        self.censored += step.censored;
        self.retried += step.retried;
        self.bytes_sent += step.bytes_sent;
        self.bytes_received += step.bytes_received;
        for status in &step.statuses {
            *self.statuses.entry(status.status).or_default() += status.count;
        }
        for failure in &step.failures {
            *self.failures.entry((failure.kind, failure.status)).or_default() += failure.count;
        }
    }

    fn with_quantiles(&self, [response, service, blocked, lag]: RowQuantiles) -> Self {
        Self { response, service, blocked, lag, ..self.clone() }
    }

    fn forget_quantiles(&mut self) {
        (self.response, self.service) = Default::default();
        (self.blocked, self.lag) = Default::default();
    }

    fn raise_quantiles(&mut self, step: &StepSecond) {
        self.response.raise(&step.response);
        self.service.raise(&step.service);
        self.blocked.raise(&step.blocked);
        self.lag.raise(&step.lag);
    }

    /// Adds the row after it.
    fn fold(&mut self, later: Self) {
        self.length_ns += later.length_ns;
        self.offered_ns += later.offered_ns;
        self.nodes = self.nodes.min(later.nodes);
        self.scheduled = match (self.scheduled, later.scheduled) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        (self.in_flight, self.last_second) = (later.in_flight, later.last_second);
        self.offered += later.offered;
        self.sent += later.sent;
        self.succeeded += later.succeeded;
        self.failed += later.failed;
        self.censored += later.censored;
        self.retried += later.retried;
        self.bytes_sent += later.bytes_sent;
        self.bytes_received += later.bytes_received;
        self.response.largest(later.response);
        self.service.largest(later.service);
        self.blocked.largest(later.blocked);
        self.lag.largest(later.lag);
        for (status, count) in later.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (failure, count) in later.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}

impl One {
    fn report(&self, row_seconds: u32) -> SeriesReport {
        let exact = self.rows.iter().map(|(second, row)| match row_seconds {
            ..2 => row.clone(),
            _ => row.with_quantiles(self.longer.quantiles(*second, row_seconds)),
        });
        let all: Vec<Row> = exact.collect();
        let rows = || all.iter();
        let each = |of: fn(&Row) -> u64| rows().map(of).collect::<Vec<u64>>();
        let time = |of: fn(&Row) -> Option<u64>| rows().map(of).collect::<Vec<Option<u64>>>();
        let has_schedule = rows().any(|row| row.scheduled.is_some());
        let columns = SeriesColumns {
            second: self.rows.keys().copied().collect(),
            length_ns: each(|row| row.length_ns),
            offered_ns: each(|row| row.offered_ns),
            nodes: rows().map(|row| row.nodes).collect(),
            scheduled: if has_schedule { each(|row| row.scheduled.unwrap_or(0)) } else { Vec::new() },
            offered: each(|row| row.offered),
            sent: each(|row| row.sent),
            succeeded: each(|row| row.succeeded),
            failed: each(|row| row.failed),
            censored: each(|row| row.censored),
            in_flight: each(|row| row.in_flight),
            retried: each(|row| row.retried),
            bytes_sent: each(|row| row.bytes_sent),
            bytes_received: each(|row| row.bytes_received),
            response_p50_ns: time(|row| row.response.p50),
            response_p95_ns: time(|row| row.response.p95),
            response_p99_ns: time(|row| row.response.p99),
            response_max_ns: time(|row| row.response.max),
            service_p50_ns: time(|row| row.service.p50),
            service_p95_ns: time(|row| row.service.p95),
            service_p99_ns: time(|row| row.service.p99),
            service_max_ns: time(|row| row.service.max),
            blocked_p99_ns: time(|row| row.blocked.p99),
            lag_p99_ns: time(|row| row.lag.p99),
        };
        let statuses = kinds(rows().map(|row| &row.statuses))
            .into_iter()
            .map(|(status, counts)| StatusSeries { status, counts })
            .collect();
        let failures = kinds(rows().map(|row| &row.failures))
            .into_iter()
            .map(|((kind, status), counts)| FailureSeries { kind, status, counts })
            .collect();
        SeriesReport {
            group: self.group.clone(),
            step: self.step.clone(),
            row_seconds,
            columns,
            statuses,
            failures,
            heat_map: self.heat.report(),
        }
    }
}

/// A column for each key: of many keys the most frequent, the rest added to the last of them.
fn kinds<'a, K: Copy + Ord + 'a>(rows: impl Iterator<Item = &'a BTreeMap<K, u64>> + Clone) -> Vec<(K, Vec<u64>)> {
    let mut sums: BTreeMap<K, u64> = BTreeMap::new();
    for (key, count) in rows.clone().flatten() {
        *sums.entry(*key).or_default() += count;
    }
    let mut keys: Vec<(K, u64)> = sums.into_iter().collect();
    keys.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: Vec<K> = keys.iter().skip(KINDS_MAX).map(|(key, _)| *key).collect();
    let mut shown: Vec<K> = keys.into_iter().take(KINDS_MAX).map(|(key, _)| key).collect();
    let last = shown.last().copied();
    shown.sort_unstable();
    let column = |key: K| {
        let of = |row: &BTreeMap<K, u64>| {
            let own = row.get(&key).copied().unwrap_or(0);
            let others = rest.iter().filter(|_| Some(key) == last).filter_map(|other| row.get(other)).sum::<u64>();
            own + others
        };
        rows.clone().map(of).collect()
    };
    shown.into_iter().map(|key| (key, column(key))).collect()
}

#[cfg(test)]
mod tests;
