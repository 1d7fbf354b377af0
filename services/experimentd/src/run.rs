//! One experiment from "submitted" to its end: waits for nodes, prepares, starts, watches, judges, records.

use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_bus::Subscription;
use nuncius_bus::clock::{Offset, monotonic_ns};
use nuncius_bus::lease::Lease;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::node::{NodeCommand, Prepare, Start, Stop};
use nuncius_schemas::run::{Control, ControlReply, RunRecord, RunStatus};
use nuncius_schemas::units::SECOND_NS;
use tracing::{Instrument, Span, info_span};

use crate::daemon::{Daemon, give_back};
use crate::finish::{self, CutShort};
use crate::fleet::{FleetError, command_all, measure_clocks};
use crate::journal::{Journal, JournalError};
use crate::plan::{Plan, PlanError, plan, unresolved_services};
use crate::watch::{Offered, offer};

/// How long a selection that nobody matches may wait for nodes to join.
const NODES_PATIENCE: Duration = Duration::from_secs(3);
/// How long a node may take to get ready: it resolves names and tries the targets.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to answer anything else.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before nodes that turned out to be busy are asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// From the start command to the instant zero.
const START_LEAD_NS: u64 = 500_000_000;
/// More of it for each node, since the commands go out one by one.
const START_LEAD_PER_NODE_NS: u64 = 2_000_000;
/// How far ahead of what is acknowledged a node may offer.
pub(crate) const HORIZON_NS: u64 = 10 * SECOND_NS;

/// Why a run came to its end before load was offered.
pub(crate) enum Stopped {
    /// It cannot be run; why.
    Failed(String),
    /// Somebody asked.
    Cancelled(String),
    /// It is no longer ours.
    NotOurs(JournalError),
}

impl From<JournalError> for Stopped {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Taken(RunStatus::Cancelled) => Self::Cancelled("cancelled while it waited".to_owned()),
            other => Self::NotOurs(other),
        }
    }
}

/// What a run holds while it is under way.
pub(crate) struct Running {
    pub(crate) daemon: Daemon,
    pub(crate) journal: Journal,
    pub(crate) control: Subscription,
    pub(crate) lease: Lease,
    pub(crate) span: Span,
}

impl Running {
    /// Takes a run whose lease is held into hand: its span continues the submission's trace, its control subject is
    /// listened to. `None` gives everything back, the lease included.
    pub(crate) async fn take(
        daemon: &Daemon,
        record: RunRecord,
        revision: u64,
        lease: Lease,
        span: Span,
    ) -> Option<Self> {
        let id = record.id.clone();
        if let Some(traceparent) = &record.traceparent {
            nuncius_telemetry::set_parent(&span, traceparent);
        }
        match daemon.bus.subscribe(&daemon.bus.namespace().experiment_control(&id)).await {
            Ok(control) => {
                let (bus, store, runs) = (daemon.bus.clone(), daemon.store.clone(), daemon.runs.clone());
                let journal = Journal::new(bus, store, runs, record, revision);
                Some(Self { daemon: daemon.clone(), journal, control, lease, span })
            }
            Err(error) => {
                tracing::warn!(experiment = %id, %error, "no control subject");
                give_back(lease).await;
                daemon.forget(&id);
                None
            }
        }
    }
}

/// Runs an admitted experiment to its end. Never fails: whatever happens is written down.
pub(crate) async fn run(mut running: Running) {
    let id = running.journal.record.id.clone();
    let span = running.span.clone();
    let outcome = prepare_and_offer(&mut running).instrument(span.clone()).await;
    async {
        match outcome {
            Ok((plan, offered)) => finish::finished(&mut running, &plan, offered).await,
            Err(Stopped::Failed(reason)) => finish::never_ran(&mut running, RunStatus::Failed, &reason).await,
            Err(Stopped::Cancelled(reason)) => finish::never_ran(&mut running, RunStatus::Cancelled, &reason).await,
            Err(Stopped::NotOurs(error)) => {
                tracing::warn!(experiment = %id, %error, "leaving the run alone");
            }
        }
    }
    .instrument(span)
    .await;
    running.daemon.nodes.release(&id);
    give_back(running.lease).await;
    running.daemon.forget(&id);
}

async fn prepare_and_offer(running: &mut Running) -> Result<(Plan, Offered), Stopped> {
    resolve_services(running).await?;
    let mut excluded = BTreeSet::new();
    let mut attempt = 1;
    loop {
        let span = info_span!("plan", "otel.name" = "plan experiment", nuncius.attempt = attempt);
        let plan = wait_for_plan(running, &excluded).instrument(span).await?;
        running.journal.record.nodes.clone_from(&plan.nodes);
        let names: Vec<&str> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
        running.journal.status(RunStatus::Planned, &format!("planned on {}", names.join(", "))).await?;
        let span = info_span!("start", "otel.name" = "start experiment", nuncius.attempt = attempt);
        match start(running, &plan).instrument(span).await? {
            Ok(started) => {
                let offered = offer(running, &plan, started).await?;
                return Ok((plan, offered));
            }
            Err(missing) if missing.iter().all(FleetError::is_busy) => {
                // Somebody else's until just now, or about to be: the registry will tell when it is free.
                let text = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                running.journal.say(EventKind::Node, &format!("waiting for nodes: {text}"), Default::default()).await;
                running.daemon.nodes.release(&running.journal.record.id);
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(missing) if attempt == 1 => {
                attempt = 2;
                let text = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                excluded.extend(missing.into_iter().map(FleetError::into_node));
                running.journal.say(EventKind::Node, &format!("planning anew: {text}"), Default::default()).await;
            }
            Err(missing) => {
                let text = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return Err(Stopped::Failed(format!("could not be started twice: {text}")));
            }
        }
    }
}

/// Puts the routes that the targets need into the record as they stand in the routing table, so that all nodes go by the
/// same ones and the record says which.
async fn resolve_services(running: &mut Running) -> Result<(), Stopped> {
    let mut routes = Vec::new();
    for (field, service) in unresolved_services(&running.journal.record.spec) {
        match running.daemon.route(&service).await {
            Ok(Some(route)) => routes.push(route),
            Ok(None) => return Err(Stopped::Failed(PlanError::UnknownService { field, service }.to_string())),
            Err(error) => return Err(Stopped::Failed(format!("{field}: the routing table cannot be read: {error}"))),
        }
    }
    running.journal.record.routes = routes;
    Ok(())
}

/// Waits until the nodes that are wanted are there and free, and takes them.
async fn wait_for_plan(running: &mut Running, excluded: &BTreeSet<String>) -> Result<Plan, Stopped> {
    let id = running.journal.record.id.clone();
    let mut changes = running.daemon.nodes.watch();
    let deadline = tokio::time::Instant::now() + NODES_PATIENCE;
    let mut said_waiting = false;
    loop {
        changes.mark_unchanged();
        let nodes = running.daemon.nodes.present();
        let busy = running.daemon.nodes.busy(&id);
        let problem = match plan(&running.journal.record.spec, &nodes, &busy, excluded) {
            Ok(plan) => {
                if running.daemon.nodes.reserve(&id, plan.nodes.iter().map(|node| node.name.as_str())) {
                    return Ok(plan);
                }
                None
            }
            Err(PlanError::Busy(text)) => {
                if !said_waiting {
                    said_waiting = true;
                    running
                        .journal
                        .say(EventKind::Node, &format!("waiting for nodes: {text}"), Default::default())
                        .await;
                }
                None
            }
            Err(error) => Some(error),
        };
        let give_up = async {
            match problem {
                Some(_) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = give_up => {
                return Err(Stopped::Failed(problem.map_or_else(String::new, |error| error.to_string())));
            }
            reason = cancel_asked(&mut running.control) => return Err(Stopped::Cancelled(reason)),
            // Another process may cancel a waiting run by writing its record: look now and then.
            () = tokio::time::sleep(Duration::from_secs(1)) => running.journal.write().await?,
            () = running.daemon.shutdown.cancelled() => {
                return Err(Stopped::NotOurs(JournalError::Bus("the daemon is shutting down".to_owned())));
            }
        }
    }
}

/// Waits for a cancel request and answers it; anything else is refused by name.
pub(crate) async fn cancel_asked(control: &mut Subscription) -> String {
    loop {
        let Some(message) = control.next().await else { return std::future::pending().await };
        let (reply, reason) = match message.decode::<Control>() {
            Ok(Control::Cancel { reason }) => (ControlReply { accepted: true, error: None }, Some(reason)),
            Err(error) => (ControlReply { accepted: false, error: Some(error.to_string()) }, None),
        };
        if let Err(error) = message.respond_message("control-reply.v1", &reply).await {
            tracing::warn!(%error, "control request not answered");
        }
        if let Some(reason) = reason {
            return if reason.is_empty() { "cancelled on request".to_owned() } else { format!("cancelled: {reason}") };
        }
    }
}

/// What the start has fixed.
pub(crate) struct Started {
    /// Instant zero on our CLOCK_MONOTONIC, in nanoseconds.
    pub(crate) start_at_ns: u64,
    /// Each node's clock.
    pub(crate) offsets: std::collections::BTreeMap<String, Offset>,
}

/// Prepares all nodes, agrees on one future instant, starts. The inner error names who was missing.
async fn start(running: &mut Running, plan: &Plan) -> Result<Result<Started, Vec<FleetError>>, Stopped> {
    let id = running.journal.record.id.clone();
    let token = running.lease.token();
    running.journal.status(RunStatus::Preparing, "preparing").await?;
    let spec = running.journal.record.spec.clone();
    let routes = running.journal.record.routes.clone();
    let run_key = running.daemon.run_key(&id);
    let prepare = |node: &str| {
        NodeCommand::Prepare(Box::new(Prepare {
            experiment: id.clone(),
            token,
            spec: spec.clone(),
            routes: routes.clone(),
            assignments: plan.assignments.get(node).cloned().unwrap_or_default(),
            run_key,
        }))
    };
    let names: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let commands = names.iter().map(|name| (name.clone(), prepare(name))).collect();
    let bus = running.daemon.bus.clone();
    let answers = tokio::select! {
        answers = command_all(&bus, commands, PREPARE_TIMEOUT) => answers,
        reason = cancel_asked(&mut running.control) => {
            stop_nodes(running, &names, 0, &reason).await;
            return Err(Stopped::Cancelled(reason));
        }
    };
    if let Some(FleetError::Refused { node, reason }) =
        answers.iter().find(|error| matches!(error, FleetError::Refused { .. }) && !error.is_busy())
    {
        // The node read the experiment and will not do it: planning anew would not change that.
        let reason = format!("{reason} (node {node})");
        stop_nodes(running, &names, 0, &reason).await;
        return Err(Stopped::Failed(reason));
    }
    if !answers.is_empty() {
        stop_nodes(running, &names, 0, "another node is missing").await;
        return Ok(Err(answers));
    }
    let (offsets, missing) = measure_clocks(&bus, &names).await;
    if !missing.is_empty() {
        stop_nodes(running, &names, 0, "another node is missing").await;
        return Ok(Err(missing));
    }
    let lead_ns = START_LEAD_NS + START_LEAD_PER_NODE_NS * names.len() as u64;
    let start_at_ns = monotonic_ns() + lead_ns;
    let start_unix_ns = unix_ns() + lead_ns;
    let commands = names
        .iter()
        .map(|name| {
            let offset_ns = offsets.get(name).map_or(0, |offset| offset.offset_ns);
            let start = Start {
                experiment: id.clone(),
                token,
                start_at_ns: start_at_ns.saturating_add_signed(offset_ns),
                start_unix_ns,
                horizon_ns: HORIZON_NS,
            };
            (name.clone(), NodeCommand::Start(start))
        })
        .collect();
    let missing = command_all(&bus, commands, Duration::from_nanos(lead_ns)).await;
    if !missing.is_empty() {
        stop_nodes(running, &names, 0, "another node did not start").await;
        return Ok(Err(missing));
    }
    running.journal.record.started_unix_ms = Some(start_unix_ns / 1_000_000);
    Ok(Ok(Started { start_at_ns, offsets }))
}

/// Tells nodes to stop; those that do not answer are told again by their horizon.
pub(crate) async fn stop_nodes(running: &Running, names: &[String], drain_ns: u64, reason: &str) {
    let commands = names
        .iter()
        .map(|name| {
            let stop = Stop {
                experiment: running.journal.record.id.clone(),
                token: running.lease.token(),
                drain_ns,
                reason: reason.to_owned(),
            };
            (name.clone(), NodeCommand::Stop(stop))
        })
        .collect();
    for error in command_all(&running.daemon.bus, commands, COMMAND_TIMEOUT).await {
        tracing::debug!(%error, "stop had no effect");
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn unix_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// How a run that was cut short is told.
pub(crate) fn cut_by(reason: String) -> CutShort {
    CutShort { reason, cancelled: true }
}
