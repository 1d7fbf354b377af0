//! The end of a run: records gathered, gates decided, the report built, stored, published.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::Shortfall;
use nuncius_schemas::node::{GroupAssignment, NodeInfo};
use nuncius_schemas::report::{GateReport, NodeReport, Report};
use nuncius_schemas::run::{RunNode, RunRecord, RunStatus, Verdict};
use nuncius_schemas::spec::{OnNodeLoss, RecordsMode};
use nuncius_store::{Store, StoreError};
use tokio::time::Instant;
use tracing::warn;

use crate::deficit::{self, Deficit};
use crate::judge::{Decision, OfferedSeconds, iteration_recorders, verdict};
use crate::machines;
use crate::offered::scheduled;
use crate::outcome::Offered;
use crate::plan::Plan;
use crate::running::Running;
use crate::summary::{Ended, OverTime, report};
use crate::totals::RunTotals;

/// How long a store that was waited for before is looked at once more.
const LOOK: Duration = Duration::from_secs(1);

/// How long a bus that is there may refuse the report, and the pause before it is tried again.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(10);
const PUBLISH_PAUSE: Duration = Duration::from_millis(500);

/// How long the store may take at most while the daemon ends.
const SHUTDOWN_STORE_PATIENCE: Duration = Duration::from_secs(3);

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
    let (over_time, profiles) = (std::mem::take(&mut offered.over_time), std::mem::take(&mut offered.profiles));
    let ended = Ended {
        status,
        verdict: Some(verdict),
        reasons,
        gates,
        nodes: node_reports(running, plan, &offered),
        machines: machines::described(std::mem::take(&mut offered.machines), nodes_of(running, plan)),
        events: Vec::new(),
        offered: offered.judge.offered(),
        profiles,
        over_time,
        unaccounted: deficit.unaccounted,
        study: None,
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

/// By group, how many arrivals lost nodes may have offered without telling: what is missing of its schedule, at most
/// `most`.
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
    let totals = RunTotals::new(iteration_recorders(&running.journal.record.spec));
    let verdict = (status == RunStatus::Cancelled).then_some(Verdict::Undetermined);
    let ended = Ended {
        status,
        verdict,
        reasons: vec![reason.to_owned()],
        gates: Vec::new(),
        nodes: Vec::new(),
        machines: Vec::new(),
        events: Vec::new(),
        offered: OfferedSeconds::default(),
        profiles: Vec::new(),
        over_time: OverTime::default(),
        unaccounted: 0,
        study: None,
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
    let ended = sums.succeeded + sums.failed + sums.censored + sums.skipped;
    if ended != sums.offered {
        invalid.push(format!("the books do not balance: {} offered, {ended} accounted for", sums.offered));
    }
    invalid
}

/// What those that were planned with say of themselves, as far as they are still known.
fn nodes_of(running: &Running, plan: &Plan) -> impl Iterator<Item = NodeInfo> {
    plan.nodes.iter().filter_map(|node| running.daemon.nodes.incarnation(&node.name, node.epoch))
}

pub(crate) fn node_reports(running: &Running, plan: &Plan, offered: &Offered) -> Vec<NodeReport> {
    plan.nodes
        .iter()
        .map(|node| {
            let info = running.daemon.nodes.incarnation(&node.name, node.epoch);
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
    if is_lost(running).await {
        return;
    }
    for gate in &ended.gates {
        let text = format!("gate {}: {} ({})", gate.gate, gate.outcome.name(), gate.reason);
        running.journal.say(EventKind::Gate, &text, BTreeMap::new()).await;
    }
    let (status, mut verdict) = (ended.status, ended.verdict);
    let mut reason = ended.reasons.first().cloned().unwrap_or_default();
    running.journal.record.verdict = verdict;
    running.journal.record.ended_unix_ms = Some(nuncius_clock::unix_ms());
    let mut patience = running.daemon.timing.store_patience;
    if running.daemon.shutdown.is_cancelled() {
        patience = patience.min(SHUTDOWN_STORE_PATIENCE);
    }
    let deadline = Instant::now() + patience;
    let settled = running.journal.storing.settle(deadline).await;
    ended.events = running.journal.events();
    let mut report = report(&running.journal.record, totals, scheduled, ended);
    let stored = match settled {
        Ok(()) => store_until(running, &report, totals, deadline).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = stored {
        // What nobody can look up later has not been shown: it is no PASS.
        let problem = format!("the result is not all in the store: {problem}");
        warn!(experiment = %report.id, "{problem}");
        report.events = running.journal.events();
        report.reasons.insert(0, problem.clone());
        if status == RunStatus::Finished {
            (verdict, reason) = (Some(Verdict::Invalid), problem);
            report.verdict = verdict;
            running.journal.record.verdict = verdict;
        }
        // As much of it as there is room for; the rest comes from the bus when there is more.
        let _ = store(running, &report, totals).await;
        running.daemon.owe(&report.id);
        // It was waited for.
        running.journal.end_patience = LOOK;
    }
    // Storing may have taken long.
    if is_lost(running).await {
        return;
    }
    if let Err(problem) = publish_until(running, &report).await {
        let text = format!("the report is not on the bus: {problem}; the daemon's store has it");
        running.journal.say(nuncius_schemas::event::EventKind::Warning, &text, BTreeMap::new()).await;
    }
    if let Err(error) = running.journal.end(status, verdict, &reason).await {
        warn!(experiment = %report.id, %error, "the end was not written");
    }
    // Only a look: the journal has waited for it.
    if running.journal.storing.settle(Instant::now() + LOOK).await.is_err() {
        running.daemon.owe(&report.id);
    }
}

/// Whether another daemon has the run by now: it closes the books, and a report of ours would only overwrite its.
async fn is_lost(running: &mut Running) -> bool {
    let Err(error) = running.keep_lease().await else { return false };
    warn!(experiment = %running.journal.record.id, %error, "leaving the end of the run to whoever has it");
    true
}

/// Stores the result, again and again until it is all there.
///
/// # Errors
/// Why it is not, at the deadline.
async fn store_until(running: &Running, report: &Report, totals: &RunTotals, deadline: Instant) -> Result<(), String> {
    let retry = running.daemon.timing.store_retry;
    loop {
        let problem = match tokio::time::timeout_at(deadline, store(running, report, totals)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => return Err("the report was not stored in time".to_owned()),
        };
        if Instant::now() + retry >= deadline {
            return Err(problem);
        }
        tokio::time::sleep(retry).await;
        running.journal.storing.settle(deadline).await?;
    }
}

/// Stores the result, and looks whether everything of the run is there.
async fn store(running: &Running, report: &Report, totals: &RunTotals) -> Result<(), String> {
    let (store, storing) = (&running.daemon.store, &running.journal.storing);
    let mut record = running.journal.record.clone();
    record.status = report.status;
    record.spec = nuncius_schemas::redact::redact_spec(&record.spec);
    store_result(store, &record, report, totals).await.map_err(|error| error.to_string())?;
    let held = store.held(&report.id).await.map_err(|error| error.to_string())?;
    let seconds = storing.seconds();
    let held_seconds = u64::try_from(held.seconds).unwrap_or(0);
    if held_seconds < seconds {
        let problem = format!("{} of {seconds} seconds are missing", seconds - held_seconds);
        storing.doubt(problem.clone());
        return Err(problem);
    }
    // What was told of nodes that are gone is told elsewhere; this is about a file that was there and is not.
    let written: u64 = totals.nodes.values().filter_map(|node| node.records).map(|written| written.rows).sum();
    let held_rows = u64::try_from(held.record_rows).unwrap_or(0);
    if storing.is_made_anew() && held_rows < written {
        return Err(format!(
            "{} of {written} request records went with the file that was removed",
            written - held_rows
        ));
    }
    Ok(())
}

async fn store_result(
    store: &Store,
    record: &RunRecord,
    report: &Report,
    totals: &RunTotals,
) -> Result<(), StoreError> {
    store.upsert_experiment(record).await?;
    for ((group, step), one) in &totals.steps {
        let Some(group) = report.groups.get(usize::from(*group)) else { continue };
        let Some(step) = group.steps.get(usize::from(*step)) else { continue };
        for quantity in Quantity::ALL {
            let observed = one.quantity(quantity);
            if observed.completed.count() > 0 {
                let bytes = observed.completed.encode();
                store.put_histogram(&report.id, &group.name, &step.name, quantity, &bytes).await?;
            }
        }
    }
    // Last: where there is a report, there is everything.
    store.set_report(report).await
}

/// Publishes the report, through an outage of the bus, too: without it nobody finds what the run showed.
///
/// # Errors
/// Why the bus, which is there, does not take it.
async fn publish_until(running: &Running, report: &Report) -> Result<(), String> {
    let deadline = Instant::now() + PUBLISH_PATIENCE;
    loop {
        let Err(problem) = publish(running, report).await else { return Ok(()) };
        let is_there = running.daemon.bus.connected_for() >= PUBLISH_PATIENCE;
        if running.daemon.shutdown.is_cancelled() || (is_there && Instant::now() >= deadline) {
            return Err(problem);
        }
        tracing::debug!(experiment = %report.id, problem, "report not on the bus yet, trying again");
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
}

/// Puts the report where every machine finds it, in pieces of any size that the server takes. Older ones go for it: the
/// stores have them.
async fn publish(running: &Running, report: &Report) -> Result<(), String> {
    let daemon = &running.daemon;
    let namespace = daemon.bus.namespace();
    let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    let owed: Vec<String> = daemon.owed().iter().map(|id| namespace.artifact_report(id)).collect();
    let put = async {
        let objects = daemon.bus.objects(&namespace.bucket_artifact()).await?;
        objects
            .put_making_room(&namespace.artifact_report(&report.id), &bytes, |name| {
                name.ends_with(REPORT_END) && !is_among(&owed, name)
            })
            .await
    };
    let gone = put.await.map_err(|error: nuncius_bus::BusError| error.to_string())?;
    if !gone.is_empty() {
        tracing::info!(experiment = %report.id, reports = gone.len(), "older reports made room on the bus");
    }
    Ok(())
}

/// How the names of reports end.
const REPORT_END: &str = "-report.json";

fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}
