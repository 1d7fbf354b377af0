//! The report, built from the books.

use std::collections::BTreeMap;

use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::StatusCount;
use nuncius_schemas::profile::ProfileReport;
use nuncius_schemas::redact::{redact_spec, redact_url};
use nuncius_schemas::report::{
    CyclesReport, FailureReport, GateReport, GroupReport, MachineReport, MeterReport, MeterSummary, NodeReport,
    QuantileReport, REPORT_SCHEMA, Report, SeriesReport, StepReport, Summary, WarmUpReport,
};
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::search::SearchReport;
use nuncius_schemas::spec::Group;
use nuncius_schemas::steps::StepTable;
use nuncius_schemas::sweep::SweepReport;
use nuncius_schemas::target::Target;
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::Observed;

use crate::judge::OfferedSeconds;
use crate::totals::{MeterTotals, RunTotals, StepTotals};

/// Quantiles that every summary tries to give.
pub const QUANTILES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];
/// Most of the slowest requests of a step that are told.
const SLOWEST_REPORTED_MAX: usize = 10;
/// Ticks of a percentile curve for each halving of what is left to 100 %.
const CURVE_TICKS: u32 = 10;

/// What came of a study.
pub enum StudyReport {
    /// Of a search.
    Search(Box<SearchReport>),
    /// Of a sweep.
    Sweep(Box<SweepReport>),
}

/// How a run ended, for the report.
pub struct Ended {
    /// Status at the end.
    pub status: RunStatus,
    /// Verdict; absent when nothing ran.
    pub verdict: Option<Verdict>,
    /// Why, the weightiest first.
    pub reasons: Vec<String>,
    /// Gates as decided.
    pub gates: Vec<GateReport>,
    /// Nodes as known.
    pub nodes: Vec<NodeReport>,
    /// What is known of their machines, and of those that were sampled.
    pub machines: Vec<MachineReport>,
    /// What happened.
    pub events: Vec<ExperimentEvent>,
    /// How long load was offered.
    pub offered: OfferedSeconds,
    /// What became of commands beside the load.
    pub profiles: Vec<ProfileReport>,
    /// What is told over time.
    pub over_time: OverTime,
    /// Scheduled arrivals that a lost node may have offered without a word.
    pub unaccounted: u64,
    /// What came of a study, which has no groups of its own.
    pub study: Option<StudyReport>,
}

/// What the seconds of a run say.
#[derive(Debug, Default)]
pub struct OverTime {
    /// By group and step.
    pub series: Vec<SeriesReport>,
    /// Series that had no room.
    pub series_left_out: u32,
}

/// Builds the report.
pub fn report(record: &RunRecord, totals: &RunTotals, scheduled: &[Option<u64>], ended: Ended) -> Report {
    let spec = &record.spec;
    let groups: Vec<GroupReport> = spec
        .groups
        .iter()
        .filter(|_| !spec.is_study())
        .enumerate()
        .map(|(index, group)| {
            let seconds = ended.offered.by_group.get(index).copied().unwrap_or(0.0);
            group_report(index, group, totals, scheduled.get(index).copied().flatten(), seconds)
        })
        .collect();
    let (planned, offered) = groups
        .iter()
        .filter_map(|group| group.scheduled.map(|scheduled| (scheduled, group.offered)))
        .fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let (search, sweep) = match ended.study {
        Some(StudyReport::Search(search)) => (Some(search), None),
        Some(StudyReport::Sweep(sweep)) => (None, Some(sweep)),
        None => (None, None),
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: record.id.clone(),
        name: spec.name.clone().unwrap_or_else(|| record.id.clone()),
        creator: spec.creator.clone(),
        status: ended.status,
        verdict: ended.verdict,
        reasons: ended.reasons,
        submitted_unix_ms: record.submitted_unix_ms,
        started_unix_ms: record.started_unix_ms,
        ended_unix_ms: record.ended_unix_ms,
        offered_seconds: ended.offered.all,
        scheduled: planned,
        offered,
        deficit: planned.saturating_sub(offered),
        unaccounted: ended.unaccounted,
        groups,
        gates: ended.gates,
        nodes: ended.nodes,
        machines: ended.machines,
        tracks: totals.tracks.iter().map(|(name, track)| track.report(name)).collect(),
        profiles: ended.profiles,
        series: ended.over_time.series,
        series_left_out: ended.over_time.series_left_out,
        intervals: Vec::new(),
        search,
        sweep,
        events: ended.events,
        trace_id: record
            .traceparent
            .as_deref()
            .and_then(nuncius_telemetry::parse_traceparent)
            .map(|(trace, _, _)| format!("{trace:032x}")),
        spec: Some(redact_spec(spec)),
    }
}

fn group_report(index: usize, group: &Group, totals: &RunTotals, scheduled: Option<u64>, seconds: f64) -> GroupReport {
    let number = u16::try_from(index).unwrap_or(u16::MAX);
    let table = group.step_table();
    let mut steps = Vec::new();
    let mut offered = 0;
    for (step, name) in table.recorders() {
        let empty = StepTotals::default();
        let one = totals.steps.get(&(number, step)).unwrap_or(&empty);
        if step == table.iteration() {
            offered = one.planned;
        }
        steps.push(step_report(name.to_owned(), table.whole() == Some(step), one, seconds));
    }
    let warm_up = warm_up_report(number, group, &table, totals);
    let warmed_up = warm_up.as_ref().map_or(0, |warm_up| warm_up.iterations);
    GroupReport {
        name: group.name.clone(),
        engine: group.engine,
        target: redact_url(&group.target),
        open: group.is_open(),
        scheduled: scheduled.map(|scheduled| scheduled.saturating_sub(warmed_up)),
        offered,
        warm_up,
        offered_seconds: seconds,
        offered_per_second: per_second(offered, seconds),
        tls_verified: tls_verified(group),
        steps,
        cycles: totals.cycles.get(&number).and_then(cycles_report),
        meters: totals
            .meters
            .iter()
            .filter(|((group, _), _)| *group == number)
            .map(|(_, meter)| meter_report(meter, seconds))
            .collect(),
    }
}

/// What began in the warm-up of a group: it was sent, and counts nowhere else.
fn warm_up_report(number: u16, group: &Group, table: &StepTable, totals: &RunTotals) -> Option<WarmUpReport> {
    if group.warm_up.0 == 0 {
        return None;
    }
    let of = |recorder: u16| totals.steps.get(&(number, table.warm_up(recorder)));
    let mut told = WarmUpReport {
        seconds: group.warm_up.0 as f64 / SECOND_NS as f64,
        iterations: of(table.iteration()).map_or(0, |step| step.planned),
        ..WarmUpReport::default()
    };
    for step in table.steps().filter_map(|(step, _)| of(step)) {
        told.sent += step.sent;
        told.redirects += step.redirects;
        told.succeeded += step.succeeded;
        told.failed += step.failed;
        told.censored += step.censored;
    }
    Some(told)
}

fn meter_report(totals: &MeterTotals, seconds: f64) -> MeterReport {
    let MeterTotals { meter, sum, values } = totals;
    let quantile = |quantile: f64| {
        let has_enough = values.count() as f64 * (1.0 - quantile) >= 1.0;
        let kept = values.quantile_ns(quantile).filter(|_| has_enough)?;
        Some((quantile, meter.unscaled(kept as f64)))
    };
    let summary = || MeterSummary {
        count: values.count(),
        overflow: values.summary().overflow,
        min: meter.unscaled(values.min_ns().unwrap_or(0) as f64),
        mean: meter.unscaled(values.mean_ns().unwrap_or(0.0)),
        max: meter.unscaled(values.max_ns().unwrap_or(0) as f64),
        quantiles: QUANTILES.into_iter().filter_map(quantile).collect(),
    };
    MeterReport {
        name: meter.name.clone(),
        kind: meter.kind,
        unit: meter.unit,
        sum: *sum,
        sum_per_second: per_second(*sum, seconds),
        values: (values.count() > 0).then(summary),
    }
}

/// Whether the peers of a group that speaks TLS were checked.
fn tls_verified(group: &Group) -> Option<bool> {
    let is_secure = Target::parse(&group.target).is_some_and(|target| target.is_secure());
    is_secure.then(|| group.tls.as_ref().is_none_or(|tls| tls.verify))
}

/// What the numbers of completed cycles say, each with how many servos completed so many.
fn cycles_report(cycles: &BTreeMap<u32, u64>) -> Option<CyclesReport> {
    let servos: u64 = cycles.values().sum();
    let total: u64 = cycles.iter().map(|(completed, servos)| u64::from(*completed) * servos).sum();
    let (min, max) = (*cycles.keys().next()?, *cycles.keys().next_back()?);
    let average = total as f64 / servos.max(1) as f64;
    let unevenness = (total > 0).then(|| f64::from(max - min) / average);
    Some(CyclesReport { servos, total, min, max, average, idle: cycles.get(&0).copied().unwrap_or(0), unevenness })
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn step_report(name: String, is_iteration: bool, totals: &StepTotals, seconds: f64) -> StepReport {
    let mut failures: Vec<FailureReport> = totals
        .failures
        .iter()
        .map(|((kind, status), (count, sample))| FailureReport {
            kind: *kind,
            status: *status,
            count: *count,
            sample: sample.clone(),
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    let quantities: BTreeMap<Quantity, Summary> = Quantity::ALL
        .into_iter()
        .filter_map(|quantity| Some((quantity, summarise(totals.quantity(quantity))?)))
        .collect();
    StepReport {
        name,
        is_iteration,
        planned: totals.planned,
        sent: totals.sent,
        succeeded: totals.succeeded,
        failed: totals.failed,
        censored: totals.censored,
        skipped: totals.skipped,
        retried: totals.retried,
        redirects: totals.redirects,
        held_back: totals.held_back,
        backed_off: totals.backed_off,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
        succeeded_per_second: per_second(totals.succeeded, seconds),
        bytes_sent_per_second: per_second(totals.bytes_sent, seconds),
        bytes_received_per_second: per_second(totals.bytes_received, seconds),
        statuses: totals
            .statuses
            .iter()
            .map(|(status, count)| StatusCount { status: *status, count: *count })
            .collect(),
        failures,
        checks: totals.checks.clone(),
        hosts: totals.hosts.clone(),
        quantities,
        failed_quantities: [(Quantity::Response, &totals.failed_response), (Quantity::Service, &totals.failed_service)]
            .into_iter()
            .filter_map(|(quantity, failed)| Some((quantity, summarise(failed)?)))
            .collect(),
        slowest: totals.slowest.iter().take(SLOWEST_REPORTED_MAX).cloned().collect(),
    }
}

/// A quantity in figures; `None` without any observation.
pub fn summarise(observed: &Observed) -> Option<Summary> {
    let count = observed.completed.count();
    let censored = observed.censored.count();
    if count == 0 && censored == 0 {
        return None;
    }
    let quantiles = QUANTILES
        .into_iter()
        .filter(|quantile| (count + censored) as f64 * (1.0 - quantile) >= 1.0)
        .filter_map(|quantile| {
            let estimate = observed.quantile(quantile, nuncius_stats::CONFIDENCE)?;
            Some(QuantileReport {
                quantile,
                value_ns: estimate.value_ns,
                at_least: estimate.at_least,
                lower_ns: estimate.lower_ns,
                upper_ns: estimate.upper_ns,
            })
        })
        .collect();
    Some(Summary {
        count,
        censored,
        overflow: observed.completed.summary().overflow,
        min_ns: observed.completed.min_ns().unwrap_or(0),
        mean_ns: observed.completed.mean_ns().unwrap_or(0.0),
        max_ns: observed.max_ns().unwrap_or(0),
        quantiles,
        curve: observed.completed.curve(CURVE_TICKS),
    })
}
