//! What is done once for a whole experiment, before its load or after it, by one node: the same steps as users do, with
//! nobody's load around them.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureCount;
use nuncius_schemas::node::OncePhase;
use serde_json::{Map, Value};

use crate::control::Control;
use crate::error::{EngineError, PlanError};
use crate::options::EngineOptions;
use crate::plan::{GroupInput, GroupPlan, plan_once};
use crate::policy::TargetPolicy;
use crate::program::{LOOP, Part};
use crate::run::spawn_group;
use crate::sink::{EngineMessage, FinishReason};

/// Messages that may wait to be read: there are few.
const MESSAGES_MAX: usize = 1_024;

/// Why what is done once could not be done.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] EngineError),
    /// A step has failed.
    #[error("groups[{group}].{list}: {step} failed: {reason}")]
    Step {
        /// Group.
        group: u16,
        /// `before` or `after`.
        list: &'static str,
        /// Name of the step.
        step: String,
        /// One of its failures.
        reason: String,
    },
    /// It ended otherwise than at its end.
    #[error("groups[{group}].{list}: {reason}")]
    Ended {
        /// Group.
        group: u16,
        /// `before` or `after`.
        list: &'static str,
        /// Why.
        reason: String,
    },
}

/// Does the steps of a group's `before` or `after`, and gives the variables that there are afterwards, which are for
/// all sessions: see [`GroupInput::variables`]. Rows of data are not among them: each session has its own. Blocks until
/// it is done, or until somebody stops `control`, which nobody else has started. `None` where the group has no such
/// steps.
///
/// # Errors
/// They cannot be planned or started, or one of them has failed.
pub fn run_once(
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
    (options, control): (EngineOptions, &Arc<Control>),
    phase: OncePhase,
) -> Result<Option<Map<String, Value>>, OnceError> {
    let part = match phase {
        OncePhase::Before => Part::Before,
        OncePhase::After => Part::After,
    };
    let list = phase.name();
    let Some(plan) = plan_once(input, policy, environment, part)? else { return Ok(None) };
    let group = plan.group();
    let (names, made) = (plan.step_names().to_vec(), plan.program().map(|program| Arc::clone(&program.made)));
    let failed = run(plan, options, control)?;
    match failed {
        Failed::Step(step, failure) => {
            let name = names.get(step).cloned().unwrap_or_default();
            let kind = failure.kind.name();
            let reason = failure.sample.unwrap_or_else(|| kind.to_owned());
            Err(OnceError::Step { group, list, step: name, reason })
        }
        Failed::Otherwise(reason) => Err(OnceError::Ended { group, list, reason }),
        Failed::Not => {
            let variables = made.and_then(|made| made.lock().unwrap_or_else(PoisonError::into_inner).take());
            let reason = "it came to no end".to_owned();
            let mut variables = variables.ok_or(OnceError::Ended { group, list, reason })?;
            let feeders = input.spec.groups.get(usize::from(group)).into_iter().flat_map(|group| &group.feeders);
            for name in feeders.map(|feeder| feeder.name.as_str()).chain([LOOP]) {
                variables.remove(name);
            }
            Ok(Some(variables))
        }
    }
}

enum Failed {
    Step(usize, FailureCount),
    Otherwise(String),
    Not,
}

fn run(plan: GroupPlan, options: EngineOptions, control: &Arc<Control>) -> Result<Failed, EngineError> {
    let (sink, messages) = sync_channel(MESSAGES_MAX);
    let threads = spawn_group(plan, options, Arc::clone(control), sink, None)?;
    control.start(monotonic_ns(), u64::MAX);
    let mut failures: BTreeMap<usize, FailureCount> = BTreeMap::new();
    let mut ended = None;
    for message in messages {
        match message {
            EngineMessage::Rows(_) => {}
            EngineMessage::Second(report) => {
                for (step, recorder) in report.steps.into_iter().enumerate() {
                    if let Some(failure) = recorder.failures.into_iter().next() {
                        failures.entry(step).or_insert(failure);
                    }
                }
            }
            EngineMessage::Finished { reason, .. } => match reason {
                FinishReason::Failed(reason) => ended = Some(reason),
                FinishReason::ScheduleEnded
                | FinishReason::Stopped
                | FinishReason::Horizon
                | FinishReason::Abandoned => {}
            },
        }
    }
    for thread in threads {
        // A thread that panicked has told nothing, which is told as such.
        let _ = thread.handle.join();
    }
    Ok(match (failures.into_iter().next(), ended) {
        (Some((step, failure)), _) => Failed::Step(step, failure),
        (None, Some(reason)) => Failed::Otherwise(reason),
        (None, None) => Failed::Not,
    })
}
