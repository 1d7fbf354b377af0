//! The start: all nodes get ready, agree on one future instant, and are let go together, or none of them offers
//! anything.
//!
//! A start lets a node offer nothing by itself: its horizon stands at the instant zero. Only when every node has
//! answered are the horizons moved, so that a start that is taken back has never sent a request, whoever heard of
//! what.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nuncius_bus::clock::Offset;
use nuncius_clock::{monotonic_ns, unix_ns};
use nuncius_schemas::codec;
use nuncius_schemas::node::{Extend, GroupVariables, NodeCommand, Prepare, RefusalCode, Start, Stop};
use nuncius_schemas::run::RunStatus;
use tracing::{Instrument, debug, info};

use crate::begun::Begun;
use crate::checkpoint::{self, Checkpoint};
use crate::fleet::{FleetError, Patience, command_all, command_all_alive, command_all_until, measure_clocks};
use crate::journal::JournalError;
use crate::plan::Plan;
use crate::running::{Running, Stopped};
use crate::timing::nanoseconds;

/// More of the lead for each node, since the commands go out one by one.
const LEAD_PER_NODE_NS: u64 = 200_000;

/// More of the lead, in round trips of the bus: so many it takes to store where the run stands.
const ROUND_TRIPS_STORED: u64 = 6;

/// What the start has fixed.
struct Started {
    /// Instant zero on our CLOCK_MONOTONIC, in nanoseconds.
    start_at_ns: u64,
    /// The same instant on our wall clock, in nanoseconds since the Unix epoch.
    start_unix_ns: u64,
    /// Each node's clock.
    offsets: BTreeMap<String, Offset>,
}

/// Prepares all nodes, agrees on one future instant, starts. The inner error names who was missing; then nobody has
/// offered anything, and nobody will.
///
/// # Errors
/// [`Stopped`], when the run has come to its end meanwhile.
pub(crate) async fn start(
    running: &mut Running,
    plan: &Plan,
    attempt: u32,
) -> Result<Result<Begun, Vec<FleetError>>, Stopped> {
    running.journal.status(RunStatus::Preparing, "preparing").await?;
    let names: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let shutdown = running.daemon.shutdown.clone();
    // Whatever is asked of nodes goes on beside the wait for a cancellation.
    let outcome = tokio::select! {
        outcome = bring_up(running, plan, &names, attempt) => outcome,
        reason = running.control.cancelled() => Err(Stopped::Cancelled(reason)),
        () = shutdown.cancelled() => Err(match running.daemon.has_another() {
            true => Stopped::NotOurs(JournalError::HandedOver),
            false => Stopped::Cancelled("cancelled: the daemon is shutting down".to_owned()),
        }),
    };
    let outcome = match outcome {
        // Whoever takes the run over must know of the start before anything is offered.
        Ok(Ok(started)) => match note_start(running, plan, attempt, &started).await {
            Ok(horizon_ns) if running.lease.is_valid() => Ok(Ok((started, horizon_ns))),
            // Another daemon may have taken the run up meanwhile, and knows nothing of this start.
            Ok(_) => Ok(Err(not_now(&names, "the lease of the run ran out before its start"))),
            // The bus elects a leader, or is away: the start is taken back, and tried again in a while.
            Err(reason) => Ok(Err(not_now(&names, &reason))),
        },
        Ok(Err(missing)) => Ok(Err(missing)),
        Err(stopped) => Err(stopped),
    };
    match &outcome {
        Ok(Ok((started, horizon_ns))) => {
            let lead_ns = started.start_at_ns.saturating_sub(monotonic_ns());
            running.journal.record.started_unix_ms = Some((unix_ns() + lead_ns) / 1_000_000);
            let_go(running, &names, attempt, (started.start_at_ns, *horizon_ns)).await;
        }
        Ok(Err(_)) => tell_to_stop(running, &names, "another node is missing"),
        Err(Stopped::Failed(reason) | Stopped::Cancelled(reason)) => tell_to_stop(running, &names, reason),
        Err(Stopped::NotOurs(_)) => {}
    }
    let begin = |(started, horizon_ns): (Started, u64)| Begun {
        start_at_ns: started.start_at_ns,
        start_unix_ns: started.start_unix_ns,
        horizon_ns,
        offsets: started.offsets,
        progress: None,
    };
    outcome.map(|outcome| outcome.map(begin))
}

/// Nothing that planning anew without a node would change.
fn not_now(names: &[String], reason: &str) -> Vec<FleetError> {
    let node = names.first().cloned().unwrap_or_default();
    vec![FleetError::Refused { node, epoch: 0, code: RefusalCode::Busy, reason: reason.to_owned() }]
}

/// Stores what the start has fixed; how far ahead nodes may offer, in nanoseconds.
async fn note_start(running: &Running, plan: &Plan, attempt: u32, started: &Started) -> Result<u64, String> {
    let record = &running.journal.record;
    let horizon_ns = record.spec.horizon.map_or(nanoseconds(running.daemon.timing.horizon), |horizon| horizon.0);
    let given = running.given_list();
    let checkpoint = Checkpoint::of_plan(plan, attempt, started.start_unix_ns, horizon_ns, given);
    let bytes = codec::encode(&checkpoint).map_err(|error| error.to_string())?;
    let left = Duration::from_nanos(started.start_at_ns.saturating_sub(monotonic_ns()));
    let stored = checkpoint::store(&running.daemon.bus, &record.id, record.token, &bytes);
    match tokio::time::timeout(left, stored).await {
        Ok(Ok(())) => Ok(horizon_ns),
        Ok(Err(error)) => Err(format!("where the run stands cannot be stored: {error}")),
        Err(_) => Err("where the run stands was not stored before its start: the bus is too slow, or away".to_owned()),
    }
}

async fn bring_up(
    running: &Running,
    plan: &Plan,
    names: &[String],
    attempt: u32,
) -> Result<Result<Started, Vec<FleetError>>, Stopped> {
    let (bus, timing) = (&running.daemon.bus, &running.daemon.timing);
    let experiment = running.journal.record.id.clone();
    let token = running.lease.token();
    let spec = &running.journal.record.spec;
    let routes = running.journal.record.routes.clone();
    let run_key = running.daemon.run_key(&experiment);
    let given = running.given_list();
    let prepare = |node: &str| {
        let assignments = plan.assignments.get(node).cloned().unwrap_or_default();
        let (experiment, spec, routes) = (experiment.clone(), spec.clone(), routes.clone());
        // What it may take over from others is of groups that it has, too.
        let is_its_own = |of: &&GroupVariables| assignments.iter().any(|assignment| assignment.group == of.group);
        let variables = given.iter().filter(is_its_own).cloned().collect();
        let prepare = Prepare { experiment, token, attempt, spec, routes, assignments, run_key, variables };
        NodeCommand::Prepare(Box::new(prepare))
    };
    let begun = Instant::now();
    let patience = Patience { silence: timing.command, reconnect: timing.reconnect_patience };
    let answers = command_all_alive(bus, names, prepare, timing.prepare, patience).await;
    let prepare_ms = milliseconds_since(begun);
    if let Some(FleetError::Refused { node, reason, .. }) = answers.iter().find(|error| error.is_final()) {
        return Err(Stopped::Failed(format!("{reason} (node {node})")));
    }
    if !answers.is_empty() {
        return Ok(Err(answers));
    }
    let round_trip = running.daemon.nodes.round_trip(&running.daemon.name, names.iter().map(String::as_str));
    let begun = Instant::now();
    let (offsets, missing) = measure_clocks(bus, names, timing.command, round_trip).await;
    let clocks_ms = milliseconds_since(begun);
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    let stored_ns = nanoseconds(round_trip).saturating_mul(ROUND_TRIPS_STORED);
    let lead_ns = nanoseconds(timing.start_lead) + LEAD_PER_NODE_NS * names.len() as u64 + stored_ns;
    let start_at_ns = monotonic_ns() + lead_ns;
    let start_unix_ns = unix_ns() + lead_ns;
    let start = |node: &String| {
        let offset_ns = offsets.get(node).map_or(0, |offset| offset.offset_ns);
        let start_at_ns = start_at_ns.saturating_add_signed(offset_ns);
        let start = Start { experiment: experiment.clone(), token, attempt, start_at_ns, start_unix_ns, horizon_ns: 0 };
        (node.clone(), NodeCommand::Start(start))
    };
    let half = Instant::now() + Duration::from_nanos(lead_ns / 2);
    let begun = Instant::now();
    let missing = command_all_until(bus, names.iter().map(start).collect(), half).await;
    let start_ms = milliseconds_since(begun);
    info!(experiment, nodes = names.len(), prepare_ms, clocks_ms, start_ms, "all have answered the start");
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    Ok(Ok(Started { start_at_ns, start_unix_ns, offsets }))
}

/// For the log.
fn milliseconds_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Moves the horizons: from here on load is offered, whatever becomes of any of the nodes, and only the watch ends it.
async fn let_go(running: &Running, names: &[String], attempt: u32, (start_at_ns, horizon_ns): (u64, u64)) {
    let commands = names.iter().map(|node| (node.clone(), extend_command(running, attempt, horizon_ns, 0))).collect();
    let begun = Instant::now();
    let until = begun + Duration::from_nanos(start_at_ns.saturating_sub(monotonic_ns()));
    for error in command_all_until(&running.daemon.bus, commands, until).await {
        debug!(%error, "not let go yet: asked again while the others run");
    }
    debug!(nodes = names.len(), let_go_ms = milliseconds_since(begun), "let go");
}

/// The command that moves a node's horizon.
pub(crate) fn extend_command(
    running: &Running,
    attempt: u32,
    horizon_ns: u64,
    acknowledged_sequence: u64,
) -> NodeCommand {
    let record = &running.journal.record;
    NodeCommand::Extend(Extend {
        experiment: record.id.clone(),
        token: running.lease.token(),
        attempt,
        horizon_ns,
        acknowledged_sequence,
        amendments: record.spec.amendments.clone(),
    })
}

/// The command that ends an attempt on a node.
pub(crate) fn stop_command(running: &Running, drain_ns: u64, reason: &str) -> NodeCommand {
    NodeCommand::Stop(Stop {
        experiment: running.journal.record.id.clone(),
        token: running.lease.token(),
        attempt: running.journal.record.attempt,
        drain_ns,
        reason: reason.to_owned(),
    })
}

/// Tells nodes to drop what they have prepared or offer, and waits for nobody: one that does not hear it offers nothing
/// beyond its horizon either. One that stands still finds it when it goes on.
pub(crate) fn tell_to_stop(running: &Running, names: &[String], reason: &str) {
    if names.is_empty() {
        return;
    }
    let commands = names.iter().map(|name| (name.clone(), stop_command(running, 0, reason))).collect();
    let (bus, timeout) = (running.daemon.bus.clone(), running.daemon.timing.command);
    let told = async move {
        for error in command_all(&bus, commands, timeout).await {
            debug!(%error, "stop had no effect");
        }
    };
    running.daemon.tasks.spawn(told.in_current_span());
}
