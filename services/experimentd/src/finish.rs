//! The end of a run: records gathered, gates decided, the report built, stored, published.

use std::collections::BTreeMap;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::Shortfall;
use nuncius_schemas::node::GroupAssignment;
use nuncius_schemas::report::{GateReport, NodeReport, Report};
use nuncius_schemas::run::{RunNode, RunStatus, Verdict};
use nuncius_schemas::spec::{OnNodeLoss, RecordsMode};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::deficit::{self, Deficit};
use crate::judge::{Decision, OfferedSeconds, steps_per_group, verdict};
use crate::offered::scheduled;
use crate::plan::Plan;
use crate::run::Running;
use crate::summary::{Ended, OverTime, report};
use crate::totals::RunTotals;
use crate::watch::Offered;

/// Why a run did not go to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CutShort {
    /// For people.
    pub(crate) reason: String,
    /// By request, not by a gate.
    pub(crate) cancelled: bool,
}

/// A run that offered load.
pub(crate) async fn finished(running: &mut Running, plan: &Plan, mut offered: Offered) {
    let spec = running.journal.record.spec.clone();
    let mut invalid = Vec::new();
    if spec.records != RecordsMode::None {
        match gathered(running, plan, &mut offered).await {
            Ok(missing) => invalid.extend(missing),
            Err(problem) => invalid.push(problem),
        }
    }
    let scheduled: Vec<Option<u64>> = spec
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let number = u16::try_from(index).unwrap_or(u16::MAX);
            let nodes = plan.nodes_per_group.get(index).copied().unwrap_or(1);
            scheduled(&spec, number, group, nodes)
        })
        .collect();
    let deficit = deficit::account(&spec, &scheduled, plan, &offered);
    invalid.extend(distrust(running, plan, &offered, &deficit));
    for (node, lost) in &offered.lost {
        running
            .journal
            .say(EventKind::Warning, &format!("node {node} was lost: {}", lost.reason), BTreeMap::new())
            .await;
    }
    if let Some(text) = deficit.told(&offered) {
        running.journal.say(EventKind::Warning, &text, BTreeMap::new()).await;
    }
    let aborted = offered.cut_short.as_ref().filter(|cut| !cut.cancelled);
    let cancelled = offered.cut_short.as_ref().filter(|cut| cut.cancelled);
    let unaccounted = unaccounted(&offered, &scheduled, deficit.unaccounted);
    let Decision { mut gates, invalid: by_lag } = offered.judge.decide(&offered.totals.steps, &unaccounted);
    invalid.extend(by_lag);
    if aborted.is_some() {
        // What the run did not live to see is open; what failed has failed.
        gates.iter_mut().filter(|gate| gate.outcome != Verdict::Fail).for_each(mark_cut);
    }
    let (verdict, reasons) =
        verdict(&gates, &invalid, aborted.map(|cut| cut.reason.as_str()), cancelled.map(|cut| cut.reason.as_str()));
    let status = if cancelled.is_some() { RunStatus::Cancelled } else { RunStatus::Finished };
    let over_time = std::mem::take(&mut offered.over_time);
    let ended = Ended {
        status,
        verdict: Some(verdict),
        reasons,
        gates,
        nodes: node_reports(running, plan, &offered),
        events: Vec::new(),
        offered: offered.judge.offered(),
        over_time,
        unaccounted: deficit.unaccounted,
    };
    end(running, ended, &offered.totals, &scheduled).await;
}

/// Request records that are missing.
async fn gathered(running: &Running, plan: &Plan, offered: &mut Offered) -> Result<Vec<String>, String> {
    let Some(gathering) = offered.gathering.take() else { return Ok(Vec::new()) };
    // A lost node cannot say how many it wrote; what it had reported and nobody has is in its deficit.
    let nodes: Vec<RunNode> =
        plan.nodes.iter().filter(|node| !offered.lost.contains_key(&node.name)).cloned().collect();
    gathering.finish(&nodes, &offered.totals, running.daemon.timing.records_patience).await
}

/// By group, how many arrivals lost nodes may have offered without telling: what is missing of its schedule, at most `most`.
fn unaccounted(offered: &Offered, scheduled: &[Option<u64>], most: u64) -> Vec<u64> {
    let missing = |(index, scheduled): (usize, &Option<u64>)| {
        let group = u16::try_from(index).unwrap_or(u16::MAX);
        let steps = offered
            .totals
            .steps
            .iter()
            .filter(|((of, step), _)| *of == group && offered.totals.is_iteration(*of, *step));
        let taken: u64 = steps.map(|(_, step)| step.planned).sum();
        scheduled.map_or(0, |scheduled| scheduled.saturating_sub(taken).min(most))
    };
    scheduled.iter().enumerate().map(missing).collect()
}

fn mark_cut(gate: &mut GateReport) {
    gate.outcome = Verdict::Undetermined;
    gate.reason = format!("cut off by the abort: {}", gate.reason);
}

/// A run that never offered load.
pub(crate) async fn never_ran(running: &mut Running, status: RunStatus, reason: &str) {
    running.control.close();
    let totals = RunTotals::new(steps_per_group(&running.journal.record.spec));
    let verdict = (status == RunStatus::Cancelled).then_some(Verdict::Undetermined);
    let ended = Ended {
        status,
        verdict,
        reasons: vec![reason.to_owned()],
        gates: Vec::new(),
        nodes: Vec::new(),
        events: Vec::new(),
        offered: OfferedSeconds::default(),
        over_time: OverTime::default(),
        unaccounted: 0,
    };
    end(running, ended, &totals, &[]).await;
}

/// Why the measurement cannot be trusted.
fn distrust(running: &Running, plan: &Plan, offered: &Offered, deficit: &Deficit) -> Vec<String> {
    let spec = &running.journal.record.spec;
    // The load was not offered to what was meant.
    let mut invalid = offered.pressure_problems.clone();
    let is_borne = deficit.share() <= spec.max_deficit;
    for (node, lost) in offered.lost.iter().filter(|_| !is_borne || spec.on_node_loss == OnNodeLoss::End) {
        invalid.push(format!("node {node} was lost: {}", lost.reason));
    }
    for node in &plan.nodes {
        let Some(totals) = offered.totals.nodes.get(&node.name) else { continue };
        // What a node that left or stood did not offer is in the deficit.
        let is_told = match totals.shortfall {
            Some(Shortfall::Left | Shortfall::Stood) => !is_borne,
            Some(Shortfall::Failed) | None => !offered.lost.contains_key(&node.name),
        };
        if let Some(stopped) = totals.stopped.as_ref().filter(|_| is_told) {
            invalid.push(format!("node {} {stopped}", node.name));
        }
        invalid.extend(totals.health.problems(&node.name, spec));
    }
    if offered.totals.refused > 0 {
        invalid.push(format!("{} deltas could not be merged", offered.totals.refused));
    }
    if !is_borne && let Some(text) = deficit.told(offered) {
        invalid.push(format!("{text}; `max_deficit` is {:.3} %", spec.max_deficit * 100.0));
    }
    if deficit.excess > 0 {
        invalid.push(format!("{} arrivals more than scheduled were offered", deficit.excess));
    }
    let sums = offered.totals.iterations();
    let ended = sums.succeeded + sums.failed + sums.censored;
    if ended != sums.offered {
        invalid.push(format!("the books do not balance: {} offered, {ended} accounted for", sums.offered));
    }
    invalid
}

pub(crate) fn node_reports(running: &Running, plan: &Plan, offered: &Offered) -> Vec<NodeReport> {
    plan.nodes
        .iter()
        .map(|node| {
            let info = running.daemon.nodes.get(&node.name);
            let totals = offered.totals.nodes.get(&node.name);
            let clock = offered.clocks.get(&node.name);
            let shards = plan
                .assignments
                .get(&node.name)
                .map_or(0, |assignments| assignments.iter().map(GroupAssignment::owned_count).sum());
            NodeReport {
                name: node.name.clone(),
                host: info.as_ref().map(|info| info.host.clone()).unwrap_or_default(),
                version: info.as_ref().map(|info| info.version.clone()).unwrap_or_default(),
                labels: info.map(|info| info.labels).unwrap_or_default(),
                clock_offset_ns: clock.map(|seen| seen.first.offset_ns),
                clock_error_ns: clock.map(|seen| seen.first.error_ns.max(seen.last.error_ns)),
                clock_drift_ns: clock.map(|seen| seen.last.offset_ns - seen.first.offset_ns),
                shards: u32::try_from(shards).unwrap_or(u32::MAX),
                offered: totals.map_or(0, |totals| totals.offered),
                lag_p99_ns: totals.and_then(|totals| totals.lag.quantile_ns(0.99)),
                run_delay_share: totals.map_or(0.0, |totals| totals.health.run_delay_share),
                throttled_ns: totals.map_or(0, |totals| totals.health.throttled_ns),
                resident_bytes_max: totals.map_or(0, |totals| totals.health.resident_bytes_max),
                deltas: totals.map_or(0, |totals| totals.deltas),
                lost: offered
                    .lost
                    .get(&node.name)
                    .map(|lost| lost.reason.clone())
                    .or_else(|| totals.and_then(|totals| totals.stopped.clone())),
            }
        })
        .collect()
}

/// Builds, stores and publishes the report; the last status comes after it, so that whoever sees it finds the report.
///
/// The events of `ended` are those of the journal.
pub(crate) async fn end(running: &mut Running, mut ended: Ended, totals: &RunTotals, scheduled: &[Option<u64>]) {
    for gate in &ended.gates {
        let text = format!("gate {}: {} ({})", gate.gate, gate.outcome.name(), gate.reason);
        running.journal.say(EventKind::Gate, &text, BTreeMap::new()).await;
    }
    let (status, mut verdict) = (ended.status, ended.verdict);
    let mut reason = ended.reasons.first().cloned().unwrap_or_default();
    running.journal.record.verdict = verdict;
    running.journal.record.ended_unix_ms = Some(nuncius_bus::clock::unix_ms());
    ended.events = running.journal.events();
    let mut report = report(&running.journal.record, totals, scheduled, ended);
    store(running, &report, totals).await;
    if let Some(problem) = running.journal.not_stored() {
        // What nobody can look up later has not been shown: it is no PASS.
        let problem = format!("the result is not all in the store: {problem}");
        report.reasons.insert(0, problem.clone());
        if status == RunStatus::Finished {
            (verdict, reason) = (Some(Verdict::Invalid), problem);
            report.verdict = verdict;
            running.journal.record.verdict = verdict;
        }
        store(running, &report, totals).await;
    }
    publish(running, &report).await;
    if let Err(error) = running.journal.end(status, verdict, &reason).await {
        warn!(experiment = %report.id, %error, "the end was not written");
    }
}

async fn store(running: &mut Running, report: &Report, totals: &RunTotals) {
    let daemon = running.daemon.clone();
    let mut record = running.journal.record.clone();
    record.status = report.status;
    record.spec = nuncius_schemas::redact::redact_spec(&record.spec);
    running.journal.warn_store("experiment", daemon.store.upsert_experiment(&record).await);
    running.journal.warn_store("report", daemon.store.set_report(report).await);
    for ((group, step), one) in &totals.steps {
        let Some(group) = report.groups.get(usize::from(*group)) else { continue };
        let Some(step) = group.steps.get(usize::from(*step)) else { continue };
        for quantity in Quantity::ALL {
            let observed = one.quantity(quantity);
            if observed.completed.count() > 0 {
                let bytes = observed.completed.encode();
                let stored = daemon.store.put_histogram(&report.id, &group.name, &step.name, quantity, &bytes).await;
                running.journal.warn_store("histogram", stored);
            }
        }
    }
}

/// Puts the report where every machine finds it.
async fn publish(running: &Running, report: &Report) {
    let daemon = &running.daemon;
    match serde_json::to_vec(report) {
        Ok(bytes) => {
            let namespace = daemon.bus.namespace();
            let name = namespace.artifact_report(&report.id);
            let put = async { daemon.bus.objects(&namespace.bucket_artifact()).await?.put(&name, &bytes).await };
            if let Err(error) = put.await {
                warn!(experiment = %report.id, %error, "report not published");
            }
        }
        Err(error) => warn!(experiment = %report.id, %error, "report not written"),
    }
}
