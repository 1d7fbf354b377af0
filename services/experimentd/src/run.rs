//! One experiment from "submitted" to its end: waits for nodes, starts, watches, judges, records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::BusError;
use nuncius_bus::lease::Lease;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::variable::has_variables;
use tracing::{Instrument, Span, info_span};

use crate::checkpoint;
use crate::control::ControlDesk;
use crate::daemon::{Daemon, give_back};
use crate::finish::{self, CutShort};
use crate::fleet::FleetError;
use crate::journal::{Journal, JournalError};
use crate::plan::{Plan, PlanError, unresolved_services};
use crate::start::{start, tell_to_stop};
use crate::succession::Left;
use crate::watch::{Offered, offer};

/// How long the bus may refuse what a run cannot do without.
const INSIST_PATIENCE: Duration = Duration::from_secs(60);
/// Pause before it is asked again.
const INSIST_PAUSE: Duration = Duration::from_millis(300);

/// How often a start may fail because of the bus and not of nodes.
const EXCUSED_MAX: u32 = 5;

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
    pub(crate) control: ControlDesk,
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
        match ControlDesk::open(&daemon.bus, &id).await {
            Ok(control) => {
                let journal = Journal::new(daemon, record, revision);
                Some(Self { daemon: daemon.clone(), journal, control, lease, span })
            }
            Err(error) => {
                tracing::warn!(experiment = %id, %error, "no control subject");
                leave(daemon, &id, lease).await;
                None
            }
        }
    }

    /// Takes the lease again where it ran out, as it does in a long outage of the bus.
    ///
    /// # Errors
    /// Somebody else has it, or has had it meanwhile: the record says so.
    pub(crate) async fn keep_lease(&mut self) -> Result<(), JournalError> {
        if self.lease.is_valid() {
            return Ok(());
        }
        match self.daemon.acquire(&self.journal.record.id).await {
            Ok(Some(fresh)) => {
                self.lease = fresh;
                // Whoever looked after the run in between has written its record, and purged what is behind its books.
                self.journal.write().await
            }
            // Our own entry that was not renewed in time: it runs out, then it can be taken again.
            Ok(None) if self.lease.is_still_stored().await.unwrap_or(true) => Ok(()),
            Ok(None) => Err(JournalError::Held),
            // The bus is away: nobody else can take it either. Asked again at the next turn.
            Err(_) => Ok(()),
        }
    }

    /// Asks the bus for something without which the run cannot go on, until it answers.
    ///
    /// # Errors
    /// The run is no longer ours, or the bus has refused for longer than any outage that a run survives.
    pub(crate) async fn insist<T, F: Future<Output = Result<T, BusError>>>(
        &self,
        what: &str,
        ask: impl Fn() -> F,
    ) -> Result<T, Stopped> {
        let deadline = tokio::time::Instant::now() + INSIST_PATIENCE;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tracing::debug!(experiment = %self.journal.record.id, %error, what, "not yet: trying again");
            if self.daemon.shutdown.is_cancelled() {
                return Err(Stopped::NotOurs(JournalError::HandedOver));
            }
            if !self.lease.is_valid() {
                // Whoever has it next asks anew.
                return Err(Stopped::NotOurs(JournalError::Held));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Stopped::Failed(format!("{what}: {error}")));
            }
            tokio::time::sleep(INSIST_PAUSE).await;
        }
    }
}

/// Gives a run back, so that whoever sees its lease go, this daemon among them, may take it up.
pub(crate) async fn leave(daemon: &Daemon, id: &str, lease: Lease) {
    // In this order: while it is ours, we take no notice of the lease.
    daemon.forget(id);
    give_back(lease).await;
}

/// Runs an admitted experiment to its end, from where another daemon has `left` it, if one has. Never fails: whatever
/// happens is written down.
pub(crate) async fn run(mut running: Running, left: Option<Left>) {
    let id = running.journal.record.id.clone();
    let span = running.span.clone();
    let outcome = match left {
        None => prepare_and_offer(&mut running).instrument(span.clone()).await,
        Some(left) => go_on(&mut running, left).instrument(span.clone()).await,
    };
    // Who may still work for it when it has ended, and has to hear that.
    let mut behind: Vec<String> = Vec::new();
    async {
        match outcome {
            Ok((plan, offered)) => {
                behind.extend(offered.lost.keys().cloned());
                finish::finished(&mut running, &plan, offered).await;
            }
            Err(Stopped::Failed(reason)) => finish::never_ran(&mut running, RunStatus::Failed, &reason).await,
            Err(Stopped::Cancelled(reason)) => finish::never_ran(&mut running, RunStatus::Cancelled, &reason).await,
            Err(Stopped::NotOurs(error)) => {
                tracing::warn!(experiment = %id, %error, "leaving the run alone");
            }
        }
    }
    .instrument(span)
    .await;
    if running.journal.record.status.is_terminal() {
        if behind.is_empty() && running.journal.record.status != RunStatus::Finished {
            behind.extend(running.journal.record.nodes.iter().map(|node| node.name.clone()));
        }
        tell_to_stop(&running, &behind, "the run has ended");
        checkpoint::forget(&running.daemon.bus, &id, running.journal.record.token).await;
    }
    running.daemon.nodes.release(&id);
    leave(&running.daemon, &id, running.lease).await;
}

/// Offers on where another daemon stood.
async fn go_on(running: &mut Running, left: Left) -> Result<(Plan, Offered), Stopped> {
    running.daemon.nodes.hold(&running.journal.record.id, left.plan.nodes.iter().map(|node| node.name.as_str()));
    let names = left.plan.nodes.iter().map(|node| node.name.as_str());
    let round_trip = running.daemon.nodes.round_trip(&running.daemon.name, names);
    running.daemon.timing = running.daemon.timing.following(round_trip);
    let started_unix_ms = left.begun.start_unix_ns / 1_000_000;
    running.journal.record.started_unix_ms.get_or_insert(started_unix_ms);
    running.journal.record.token = running.lease.token();
    running.journal.write().await?;
    checkpoint::forget(&running.daemon.bus, &running.journal.record.id, left.token).await;
    running.journal.say(EventKind::Node, &left.told, Default::default()).await;
    let offered = offer(running, &left.plan, left.begun).await?;
    Ok((left.plan, offered))
}

async fn prepare_and_offer(running: &mut Running) -> Result<(Plan, Offered), Stopped> {
    resolve_services(running).await?;
    let mut excluded = BTreeSet::new();
    let mut excused = Excused::default();
    let mut is_second_try = false;
    let settings = running.daemon.timing.clone();
    loop {
        running.keep_lease().await?;
        // Whatever was begun before, by this daemon or one before it, is another attempt and can never be taken for
        // this.
        running.journal.record.attempt += 1;
        running.journal.record.token = running.lease.token();
        let attempt = running.journal.record.attempt;
        let span = info_span!("plan", "otel.name" = "plan experiment", nuncius.attempt = attempt);
        let plan = wait_for_plan(running, &excluded).instrument(span).await?;
        let before = std::mem::take(&mut running.journal.record.nodes);
        running.journal.record.set_nodes(&plan.nodes);
        let names: Vec<&str> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
        let round_trip = running.daemon.nodes.round_trip(&running.daemon.name, names.iter().copied());
        running.daemon.timing = settings.following(round_trip);
        running.journal.status(RunStatus::Planned, &format!("planned on {}", listed(&names, ", "))).await?;
        // Those who got ready for the attempt before and have no part in this one need not wait for a start.
        let dropped: Vec<String> =
            before.into_iter().map(|node| node.name).filter(|name| !names.contains(&name.as_str())).collect();
        tell_to_stop(running, &dropped, "it was planned anew without this node");
        let span = info_span!("start", "otel.name" = "start experiment", nuncius.attempt = attempt);
        match start(running, &plan, attempt).instrument(span).await? {
            Ok(begun) => {
                let offered = offer(running, &plan, begun).await?;
                return Ok((plan, offered));
            }
            Err(missing) if missing.iter().all(FleetError::is_busy) || excused.excuses(running, &plan, &missing) => {
                // Somebody else's until just now, or about to be: the registry will tell when it is free.
                let text = listed(&missing, "; ");
                running.journal.say(EventKind::Node, &format!("waiting for nodes: {text}"), Default::default()).await;
                // What it had is given back; it keeps its place among those who wait.
                begin_to_wait(running, &excluded);
                let pause = running.daemon.timing.busy_pause;
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    reason = running.control.cancelled() => return Err(Stopped::Cancelled(reason)),
                }
            }
            Err(missing) if !is_second_try => {
                is_second_try = true;
                let text = listed(&missing, "; ");
                // One that works for somebody else is waited for.
                let silent = missing.into_iter().filter(|error| !error.is_busy());
                excluded.extend(silent.map(FleetError::into_node));
                running.journal.say(EventKind::Node, &format!("planning anew: {text}"), Default::default()).await;
            }
            Err(missing) => {
                let text = listed(&missing, "; ");
                return Err(Stopped::Failed(format!("could not be started twice: {text}")));
            }
        }
    }
}

/// Starts that failed for no fault of a node.
#[derive(Default)]
struct Excused(u32);

impl Excused {
    /// Whether nodes that did not answer may not have heard: the bus has just come back, or nobody at all answered. Not
    /// for ever: then they are told apart after all.
    fn excuses(&mut self, running: &Running, plan: &Plan, missing: &[FleetError]) -> bool {
        let timing = &running.daemon.timing;
        let is_new = !running.daemon.bus.is_settled(timing.command + timing.reconnect_patience);
        let is_nobody_there = plan.nodes.len() > 1 && missing.len() == plan.nodes.len();
        let is_silence = missing.iter().all(|error| error.is_missing() || error.is_busy());
        self.0 += 1;
        is_silence && (is_new || is_nobody_there) && self.0 <= EXCUSED_MAX
    }
}

/// Some of them, and how many more there are: events are read by people.
fn listed(items: &[impl ToString], between: &str) -> String {
    const LISTED_MAX: usize = 16;
    let mut listed: Vec<String> = items.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    if items.len() > LISTED_MAX {
        listed.push(format!("and {} more", items.len() - LISTED_MAX));
    }
    listed.join(between)
}

/// Puts the routes that the targets need into the record as they stand in the routing table, so that all nodes go by
/// the same ones and the record says which.
async fn resolve_services(running: &mut Running) -> Result<(), Stopped> {
    let mut routes = Vec::new();
    for (field, service) in unresolved_services(&running.journal.record.spec) {
        match running.daemon.route(&service).await {
            Ok(Some(route)) => routes.push(route),
            Ok(None) => return Err(Stopped::Failed(PlanError::UnknownService { field, service }.to_string())),
            Err(error) => return Err(Stopped::Failed(format!("{field}: the routing table cannot be read: {error}"))),
        }
    }
    // What a variable in a target stands for is known only on the node: it may be any service.
    if running.journal.record.spec.groups.iter().any(|group| has_variables(&group.target)) {
        let more = running.daemon.all_routes().await;
        let more = more.map_err(|error| Stopped::Failed(format!("the routing table cannot be read: {error}")))?;
        let known: BTreeSet<String> = routes.iter().map(|route| route.service.clone()).collect();
        routes.extend(more.into_iter().filter(|route| !known.contains(&route.service)));
    }
    running.journal.record.routes = routes;
    Ok(())
}

/// Takes its place among those who wait for nodes.
fn begin_to_wait(running: &Running, excluded: &BTreeSet<String>) {
    let record = &running.journal.record;
    running.daemon.nodes.wait(record.stream_sequence, &record.id, &Arc::new(record.spec.clone()), excluded);
}

/// Waits until the nodes that are wanted are there and free, and takes them.
async fn wait_for_plan(running: &mut Running, excluded: &BTreeSet<String>) -> Result<Plan, Stopped> {
    let (id, sequence) = (running.journal.record.id.clone(), running.journal.record.stream_sequence);
    let mut changes = running.daemon.nodes.watch();
    begin_to_wait(running, excluded);
    let (nodes_patience, reconnect_patience) =
        (running.daemon.timing.nodes_patience, running.daemon.timing.reconnect_patience);
    let begun = tokio::time::Instant::now();
    let mut said_waiting = false;
    loop {
        changes.mark_unchanged();
        let problem = match running.daemon.nodes.allotted(sequence, &id) {
            Some(Ok(plan)) => return Ok(plan),
            Some(Err(error @ PlanError::Busy { .. })) => {
                if !said_waiting {
                    said_waiting = true;
                    running.journal.say(EventKind::Node, &error.to_string(), Default::default()).await;
                }
                None
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        // Nodes are missed only by whoever has been connected for long enough to have seen them: after an outage, and
        // when a daemon has just begun, they find the bus in their own time.
        let unseen = (nodes_patience + reconnect_patience).saturating_sub(running.daemon.bus.connected_for());
        let deadline = (begun + nodes_patience).max(tokio::time::Instant::now() + unseen);
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
            reason = running.control.cancelled() => return Err(Stopped::Cancelled(reason)),
            // Another process may cancel a waiting run by writing its record: look now and then.
            () = tokio::time::sleep(Duration::from_secs(1)) => running.journal.write().await?,
            () = running.daemon.shutdown.cancelled() => {
                return Err(Stopped::NotOurs(JournalError::Bus("the daemon is shutting down".to_owned())));
            }
        }
    }
}

/// How a run that was cut short is told.
pub(crate) fn cut_by(reason: String) -> CutShort {
    CutShort { reason, cancelled: true }
}
