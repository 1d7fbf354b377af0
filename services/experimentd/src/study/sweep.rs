//! A sweep as a series of experiments: the figures of each, and what came of all.

use std::collections::BTreeMap;

use nuncius_schemas::codec;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{GroupReport, Report, StepReport};
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::sweep::{SweepReport, SweepRun};
use nuncius_search::design::design;
use nuncius_search::tables;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::wanted::{Conclusion, Wanted};
use crate::running::Running;

/// Quantiles that are figures of a run, with their names.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50_ns"), (0.95, "p95_ns"), (0.99, "p99_ns")];

/// The runs that are over, in the order of the design.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SweepState {
    runs: Vec<SweepRun>,
}

/// The next run; `None` when all are over. What a combination makes impossible is told when it is to be run.
pub(super) fn next(state: &SweepState, record: &RunRecord) -> Result<Option<Wanted>, String> {
    let Some(sweep) = &record.spec.sweep else { return Err("it is no sweep".to_owned()) };
    let rows = design(sweep, &record.id, record.spec.seed).map_err(|error| error.to_string())?;
    let Some(row) = rows.get(state.runs.len()) else { return Ok(None) };
    let spec =
        record.spec.sweep_run(sweep, &record.id, row.combination, row.repeat).map_err(|error| error.to_string())?;
    let levels = sweep.levels(row.combination);
    let values: Vec<String> =
        levels.iter().map(|(name, value)| format!("{name} {}", nuncius_schemas::sweep::value_text(value))).collect();
    let told = format!("run {} of {}: {}, repeat {}", row.number, rows.len(), values.join(", "), row.repeat);
    Ok(Some(Wanted { spec, told }))
}

/// Notes how a run came out; in a word.
pub(super) async fn note(state: &mut SweepState, running: &Running, member: &RunRecord) -> String {
    let numbers = |key: &str| member.spec.metadata.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let verdict = member.verdict.filter(|_| member.status == RunStatus::Finished);
    let figures = match verdict {
        Some(_) => report_of(running, &member.id).await.map_or_else(BTreeMap::new, |report| figures(&report)),
        None => BTreeMap::new(),
    };
    let repeat = u32::try_from(numbers("repeat")).unwrap_or(u32::MAX);
    state.runs.push(SweepRun { combination: numbers("combination"), repeat, verdict, figures });
    verdict.map_or("did not run to its end", Verdict::name).to_owned()
}

/// The report of a run: from the bus, else from this daemon's store.
async fn report_of(running: &Running, id: &str) -> Option<Report> {
    let daemon = &running.daemon;
    let name = daemon.bus.namespace().artifact_report(id);
    let on_bus = async {
        let objects = daemon.bus.objects(&daemon.bus.namespace().bucket_artifact()).await?;
        objects.get(&name).await
    };
    match on_bus.await {
        Ok(Some(bytes)) => match codec::decode(&bytes) {
            Ok(report) => return Some(report),
            Err(error) => warn!(experiment = %id, %error, "the report cannot be read"),
        },
        Ok(None) => {}
        Err(error) => warn!(experiment = %id, %error, "the report cannot be asked for"),
    }
    match daemon.store.report(id).await {
        Ok(report) => report,
        Err(error) => {
            warn!(experiment = %id, %error, "no report: the run has no figures in the sweep");
            None
        }
    }
}

/// The figures of a run: of the iterations of its only group, else of each group, with its name before them.
fn figures(report: &Report) -> BTreeMap<String, f64> {
    let is_only = report.groups.len() == 1;
    let mut all = BTreeMap::new();
    for group in &report.groups {
        let before = if is_only { String::new() } else { format!("{}.", group.name) };
        let Some(step) = iterations(group) else { continue };
        for (name, value) in figures_of(step) {
            all.insert(format!("{before}{name}"), value);
        }
    }
    all
}

/// Where a group's iterations are counted: the whole, or its only step.
fn iterations(group: &GroupReport) -> Option<&StepReport> {
    group.steps.iter().find(|step| step.is_iteration).or_else(|| group.steps.first())
}

fn figures_of(step: &StepReport) -> Vec<(String, f64)> {
    let mut all = vec![("succeeded_per_second".to_owned(), step.succeeded_per_second)];
    let ended = step.succeeded + step.failed;
    if ended > 0 {
        all.push(("failures_share".to_owned(), step.failed as f64 / ended as f64));
    }
    for quantity in [Quantity::Response, Quantity::Service] {
        let Some(summary) = step.quantities.get(&quantity) else { continue };
        all.push((format!("{}_mean_ns", quantity.name()), summary.mean_ns));
        for (quantile, name) in QUANTILES {
            // One that is only known from below would be taken for its value.
            let known = summary.quantiles.iter().find(|known| known.quantile == quantile && !known.at_least);
            all.extend(known.map(|known| (format!("{}_{name}", quantity.name()), known.value_ns as f64)));
        }
    }
    all
}

/// The report of the sweep as far as it has come.
pub(super) fn report(state: &SweepState, record: &RunRecord, started_unix_ms: u64) -> Option<SweepReport> {
    let sweep = record.spec.sweep.as_ref()?;
    Some(tables::report(sweep, &record.id, started_unix_ms, state.runs.clone()))
}

/// What a sweep shows: not whether the gates hold, which differs from combination to combination, but whether it can
/// say so of all of them.
pub(super) fn conclusion(state: &SweepState, record: &RunRecord) -> Conclusion {
    let Some(report) = report(state, record, 0) else {
        let reasons = vec!["it is no sweep".to_owned()];
        return Conclusion { status: RunStatus::Failed, verdict: Verdict::Undetermined, reasons };
    };
    let unjudged: Vec<u64> =
        report.cells.iter().filter(|cell| cell.passes().is_none()).map(|cell| cell.combination).collect();
    let count = |wanted: fn(&SweepRun) -> bool| state.runs.iter().filter(|run| wanted(run)).count();
    let invalid = count(|run| run.verdict == Some(Verdict::Invalid));
    let unfinished = count(|run| run.verdict.is_none());
    let passed = count(|run| run.verdict == Some(Verdict::Pass));
    let mut reasons = Vec::new();
    if !unjudged.is_empty() {
        let numbers: Vec<String> = unjudged.iter().take(10).map(u64::to_string).collect();
        reasons.push(format!("no run could be judged of combination {}", numbers.join(", ")));
    }
    let all = state.runs.len();
    reasons
        .push(format!("{passed} of {all} runs passed, {invalid} were invalid, {unfinished} did not run to their end"));
    let verdict = match (unjudged.is_empty(), invalid) {
        (true, _) => Verdict::Pass,
        (false, 0) => Verdict::Undetermined,
        (false, _) => Verdict::Invalid,
    };
    Conclusion { status: RunStatus::Finished, verdict, reasons }
}
