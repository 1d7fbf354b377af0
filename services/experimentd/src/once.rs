//! What is done once for a whole experiment: `before` ahead of the load, `after` when it is over, each by one node that
//! takes part in the group. What `before` makes is given to all sessions, and written down nowhere but where the run
//! stands: it may be tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nuncius_schemas::event::EventKind;
use nuncius_schemas::flow::Step;
use nuncius_schemas::node::{GivenVariables, NodeCommand, Once, OncePhase};
use nuncius_schemas::spec::{ExperimentSpec, Group};

use crate::fleet::{FleetError, Patience, do_once};
use crate::journal::JournalError;
use crate::nodes::Whereabouts;
use crate::running::{Running, Stopped};
use crate::start::tell_to_stop;
use crate::timing::nanoseconds;

/// How many nodes are asked for each group: one, and another where that is gone.
const ASKED_MAX: usize = 2;
/// How often it is looked whether the run is still ours.
const LEASE_LOOK: Duration = Duration::from_secs(1);
/// How long what is done after the load may take while the daemon ends.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// What one group does once.
struct Task {
    phase: OncePhase,
    group: u16,
    /// Name of the group.
    name: String,
}

/// Why something was not done.
enum Undone {
    /// Nobody who was asked could: who, and why.
    ByNobody(Vec<FleetError>),
    /// Done again it would be no better, in the words of whoever did it.
    Failed(String),
    /// The run has come to its end meanwhile.
    Stopped(Stopped),
}

impl From<JournalError> for Undone {
    fn from(error: JournalError) -> Self {
        Self::Stopped(error.into())
    }
}

/// The groups that have steps of a phase.
fn tasks(spec: &ExperimentSpec, phase: OncePhase) -> impl Iterator<Item = Task> + '_ {
    let steps = move |group: &Group| -> bool {
        let steps: &[Step] = match phase {
            OncePhase::Before => &group.before,
            OncePhase::After => &group.after,
        };
        !steps.is_empty()
    };
    let numbered = (0u16..).zip(&spec.groups);
    numbered.filter(move |(_, group)| steps(group)).map(move |(number, group)| Task {
        phase,
        group: number,
        name: group.name.clone(),
    })
}

/// Whether anything is done once.
pub(crate) fn is_wanted(spec: &ExperimentSpec) -> bool {
    spec.groups.iter().any(|group| !group.before.is_empty() || !group.after.is_empty())
}

/// Does what is done before the load, as far as this daemon has not done it for an earlier start. The inner error names
/// the nodes that could not: they are planned without.
///
/// # Errors
/// [`Stopped`]: a step has failed, or the run has come to its end meanwhile.
pub(crate) async fn before(running: &mut Running) -> Result<Result<(), Vec<FleetError>>, Stopped> {
    let tasks: Vec<Task> = tasks(&running.journal.record.spec, OncePhase::Before).collect();
    for task in tasks {
        if running.given.contains_key(&task.group) {
            continue;
        }
        let limit = running.daemon.timing.once;
        match by_some_node(running, &task, &BTreeSet::new(), limit).await {
            Ok(variables) => {
                running.given.insert(task.group, variables);
            }
            Err(Undone::ByNobody(missing)) => return Ok(Err(missing)),
            Err(Undone::Failed(reason)) => return Err(Stopped::Failed(reason)),
            Err(Undone::Stopped(stopped)) => return Err(stopped),
        }
    }
    Ok(Ok(()))
}

/// Does what is done when the load is over, by nodes that live. `was_offered` says whether there was any load: where
/// there was none, groups whose `before` was done have something to clear away all the same. What fails is told, and
/// changes nothing of what the run has shown.
///
/// # Errors
/// The run is another daemon's by now, who does it.
pub(crate) async fn after(
    running: &mut Running,
    was_offered: bool,
    lost: &BTreeSet<String>,
) -> Result<(), JournalError> {
    let tasks: Vec<Task> = tasks(&running.journal.record.spec, OncePhase::After).collect();
    for task in tasks {
        if !was_offered && !running.given.contains_key(&task.group) {
            continue;
        }
        let problem = match by_a_free_node(running, &task, lost).await {
            Ok(_) => continue,
            Err(Undone::Failed(reason) | Undone::Stopped(Stopped::Failed(reason) | Stopped::Cancelled(reason))) => {
                reason
            }
            Err(Undone::ByNobody(missing)) if missing.is_empty() => "none of its nodes lives".to_owned(),
            Err(Undone::ByNobody(missing)) => missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Err(Undone::Stopped(Stopped::NotOurs(error))) => return Err(error),
        };
        let text = format!("`after` of group {} was not done: {problem}", task.name);
        running.journal.say(EventKind::Warning, &text, BTreeMap::new()).await;
    }
    Ok(())
}

/// Has it done after the load: nodes that work for somebody else by then are waited for, though not for long.
async fn by_a_free_node(running: &mut Running, task: &Task, lost: &BTreeSet<String>) -> Result<GivenVariables, Undone> {
    let patience_until = Instant::now() + running.daemon.timing.prepare;
    loop {
        let limit = running.daemon.timing.once;
        match by_some_node(running, task, lost, limit).await {
            Err(Undone::ByNobody(busy))
                if !busy.is_empty()
                    && busy.iter().all(FleetError::is_busy)
                    && !running.daemon.shutdown.is_cancelled()
                    && Instant::now() < patience_until =>
            {
                tokio::time::sleep(running.daemon.timing.busy_pause).await;
            }
            outcome => return outcome,
        }
    }
}

/// The nodes of the plan that take part in a group and live: what they are called, and where they listen.
fn candidates(running: &Running, group: u16, lost: &BTreeSet<String>) -> Vec<(String, String)> {
    let Some(plan) = &running.plan else { return Vec::new() };
    let takes_part = |name: &String| {
        let share = plan.assignments.get(name);
        !lost.contains(name) && share.is_some_and(|share| share.iter().any(|of| of.group == group))
    };
    let nodes = plan.nodes.iter().filter(|node| takes_part(&node.name));
    let listening = nodes.filter_map(|node| match running.daemon.nodes.whereabouts(&node.name, node.epoch) {
        Whereabouts::Here => Some((node.name.clone(), node.name.clone())),
        Whereabouts::Renamed(address) => Some((node.name.clone(), address)),
        Whereabouts::Replaced | Whereabouts::Gone => None,
    });
    listening.collect()
}

/// Has a node do it, and another where that one is gone.
async fn by_some_node(
    running: &mut Running,
    task: &Task,
    lost: &BTreeSet<String>,
    limit: Duration,
) -> Result<GivenVariables, Undone> {
    let what = format!("`{}` of group {}", task.phase.name(), task.name);
    let mut gone: Vec<FleetError> = Vec::new();
    for (node, address) in candidates(running, task.group, lost).into_iter().take(ASKED_MAX) {
        if let Some(error) = gone.last().filter(|error| !error.is_busy()) {
            let text = format!("{what}: {error}; node {node} does it");
            running.journal.say(EventKind::Node, &text, BTreeMap::new()).await;
        }
        let begun = Instant::now();
        match by_node(running, task, &address, limit).await? {
            Ok(variables) => {
                let seconds = format!("{:.2}", begun.elapsed().as_secs_f64());
                let given = match (task.phase, variables.map().len()) {
                    (OncePhase::After, _) => String::new(),
                    (OncePhase::Before, 1) => ", 1 variable for all sessions".to_owned(),
                    (OncePhase::Before, count) => format!(", {count} variables for all sessions"),
                };
                let text = format!("{what} was done by node {node} in {seconds} s{given}");
                let data = [("group", task.name.clone()), ("node", node), ("seconds", seconds)];
                let data = data.map(|(key, value)| (key.to_owned(), value));
                running.journal.say(EventKind::Node, &text, data.into()).await;
                return Ok(variables);
            }
            // One that works for somebody else is waited for, and the load with it.
            Err(error) if error.is_busy() && task.phase == OncePhase::Before => {
                return Err(Undone::ByNobody(vec![error]));
            }
            Err(FleetError::Refused { code, reason, node, .. }) if code.is_final() => {
                return Err(Undone::Failed(format!("{reason} (node {node})")));
            }
            Err(error) => gone.push(error),
        }
    }
    Err(Undone::ByNobody(gone))
}

/// Has this node do it, beside the wait for a cancellation.
async fn by_node(
    running: &mut Running,
    task: &Task,
    address: &str,
    limit: Duration,
) -> Result<Result<GivenVariables, FleetError>, Undone> {
    let (bus, timing) = (running.daemon.bus.clone(), running.daemon.timing.clone());
    let order = order(running, task, limit);
    let patience = Patience { silence: timing.command, reconnect: timing.reconnect_patience };
    // The node ends it by itself, and has to tell.
    let done = do_once(&bus, address, &order, limit + timing.command, patience);
    tokio::pin!(done);
    let shutdown = running.daemon.shutdown.clone();
    let mut look = tokio::time::interval(LEASE_LOOK);
    let ended = async {
        shutdown.cancelled().await;
        if task.phase == OncePhase::After {
            tokio::time::sleep(SHUTDOWN_PATIENCE).await;
        }
    };
    tokio::pin!(ended);
    let stopped = loop {
        tokio::select! {
            outcome = &mut done => {
                running.keep_lease().await?;
                return Ok(outcome);
            }
            _ = look.tick() => match running.keep_lease().await {
                Ok(()) => {}
                Err(error) => break error.into(),
            },
            // The end of a run is not cancelled.
            reason = running.control.cancelled(), if task.phase == OncePhase::Before => {
                break Stopped::Cancelled(reason);
            }
            () = &mut ended => break match running.daemon.has_another() {
                true => Stopped::NotOurs(JournalError::HandedOver),
                false => Stopped::Cancelled("cancelled: the daemon is shutting down".to_owned()),
            },
        }
    };
    // What nobody waits for any more need not go on.
    tell_to_stop(running, &[address.to_owned()], "nobody waits for it any more");
    Err(Undone::Stopped(stopped))
}

fn order(running: &Running, task: &Task, limit: Duration) -> NodeCommand {
    let record = &running.journal.record;
    let variables = match task.phase {
        OncePhase::Before => GivenVariables::default(),
        OncePhase::After => running.given.get(&task.group).cloned().unwrap_or_default(),
    };
    NodeCommand::Once(Box::new(Once {
        experiment: record.id.clone(),
        token: running.lease.token(),
        attempt: record.attempt,
        spec: record.spec.clone(),
        routes: record.routes.clone(),
        run_key: running.daemon.run_key(&record.id),
        group: task.group,
        phase: task.phase,
        variables,
        limit_ns: nanoseconds(limit),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_with_steps_of_a_phase_do_anything_in_it() {
        let text = r#"{"groups": [
            {"name": "plain", "target": "http://h/", "rate": "1/s", "duration": "1s"},
            {"name": "both", "target": "http://h/", "rate": "1/s", "duration": "1s",
             "before": [{"post": "/login"}], "after": [{"post": "/logout"}]},
            {"name": "late", "target": "http://h/", "rate": "1/s", "duration": "1s", "after": [{"get": "/"}]}]}"#;
        let spec: ExperimentSpec = serde_json::from_str(text).unwrap();
        let of = |phase| tasks(&spec, phase).map(|task| (task.group, task.name)).collect::<Vec<_>>();
        assert_eq!(of(OncePhase::Before), [(1, "both".to_owned())]);
        assert_eq!(of(OncePhase::After), [(1, "both".to_owned()), (2, "late".to_owned())]);
        assert!(is_wanted(&spec));
        let plain: ExperimentSpec =
            serde_json::from_str(r#"{"groups": [{"target": "http://h/", "rate": "1/s", "duration": "1s"}]}"#).unwrap();
        assert!(!is_wanted(&plain));
    }
}
