//! One experiment from "submitted" to its end: waits for nodes, starts, watches, judges, records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::route::Route;
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::variable::has_variables;
use tracing::{Instrument, info_span};

use crate::arrivals::read_arrivals;
use crate::begun::Left;
use crate::checkpoint;
use crate::finish;
use crate::fleet::FleetError;
use crate::journal::JournalError;
use crate::once;
use crate::outcome::Offered;
use crate::plan::{Plan, PlanError, unresolved_services};
use crate::running::{Running, Stopped, leave};
use crate::start::{start, tell_to_stop};
use crate::study;
use crate::watch::offer;

/// How often a start may fail because of the bus and not of nodes.
const EXCUSED_MAX: u32 = 5;

/// Runs an admitted experiment to its end, from where another daemon has `left` it, if one has. Never fails: whatever
/// happens is written down.
pub(crate) async fn run(mut running: Running, left: Option<Left>) {
    if running.journal.record.spec.is_study() {
        return study::run(running).await;
    }
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
                let lost = offered.lost.keys().cloned().collect();
                match once::after(&mut running, true, &lost).await {
                    Ok(()) => finish::finished(&mut running, &plan, offered).await,
                    Err(error) => tracing::warn!(experiment = %id, %error, "leaving the end of the run alone"),
                }
            }
            Err(Stopped::Failed(reason)) => never_ran(&mut running, RunStatus::Failed, &reason).await,
            Err(Stopped::Cancelled(reason)) => never_ran(&mut running, RunStatus::Cancelled, &reason).await,
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

/// Ends a run that has offered nothing; what was done before it is cleared away.
async fn never_ran(running: &mut Running, status: RunStatus, reason: &str) {
    match once::after(running, false, &BTreeSet::new()).await {
        Ok(()) => finish::never_ran(running, status, reason).await,
        Err(error) => {
            tracing::warn!(experiment = %running.journal.record.id, %error, "leaving the end of the run alone");
        }
    }
}

/// Offers on where another daemon stood.
async fn go_on(running: &mut Running, left: Left) -> Result<(Plan, Offered), Stopped> {
    running.given = left.given.into_iter().map(|of| (of.group, of.variables)).collect();
    running.plan = once::is_wanted(&running.journal.record.spec).then(|| left.plan.clone());
    if let Err(stopped) = read_arrivals(running).await {
        let Stopped::Failed(reason) = stopped else { return Err(stopped) };
        // The nodes have them: what they offer is counted, and how much there was to be is not known.
        let told = format!("how many arrivals there are to be is not known: {reason}");
        running.journal.say(EventKind::Warning, &told, Default::default()).await;
    }
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
    read_arrivals(running).await?;
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
        running.plan = once::is_wanted(&running.journal.record.spec).then(|| plan.clone());
        let span = info_span!("start", "otel.name" = "start experiment", nuncius.attempt = attempt);
        let begun = async {
            match once::before(running).await? {
                Ok(()) => start(running, &plan, attempt).await,
                Err(missing) => Ok(Err(missing)),
            }
        };
        match begun.instrument(span).await? {
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
        match route_as_pinned(running, &field, &service).await? {
            Some(route) => routes.push(route),
            None => return Err(Stopped::Failed(PlanError::UnknownService { field, service }.to_string())),
        }
    }
    // What a variable in a target stands for is known only on the node: it may be any service.
    if running.journal.record.spec.groups.iter().any(|group| has_variables(&group.target)) {
        for service in running.journal.record.spec.pinned_routes.keys() {
            if !routes.iter().any(|route: &Route| route.service == *service) {
                routes.extend(route_as_pinned(running, &format!("pinned_routes.{service}"), service).await?);
            }
        }
        let more = running.daemon.all_routes().await;
        let more = more.map_err(|error| Stopped::Failed(format!("the routing table cannot be read: {error}")))?;
        let known: BTreeSet<String> = routes.iter().map(|route| route.service.clone()).collect();
        routes.extend(more.into_iter().filter(|route| !known.contains(&route.service)));
    }
    running.journal.record.routes = routes;
    Ok(())
}

/// A route of the routing table, in the revision that it is pinned to, if it is. `field` is that of what needs it.
async fn route_as_pinned(running: &Running, field: &str, service: &str) -> Result<Option<Route>, Stopped> {
    let found = running.daemon.route(service).await;
    let found =
        found.map_err(|error| Stopped::Failed(format!("{field}: the routing table cannot be read: {error}")))?;
    let pinned = running.journal.record.spec.pinned_routes.get(service).copied().unwrap_or(0);
    match found {
        Some((_, revision)) if pinned > 0 && pinned != revision => Err(Stopped::Failed(format!(
            "pinned_routes.{service}: the routing table has revision {revision} of it, not {pinned}: see `nuncius route ls`"
        ))),
        found => Ok(found.map(|(route, _)| route)),
    }
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
