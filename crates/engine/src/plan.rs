//! From a group of a specification to what a node does: names resolved, policy kept, requests rendered.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nuncius_load::{RateProfile, Schedule, ShardSet};
use nuncius_schemas::meter::Meter;
use nuncius_schemas::route::Route;
use nuncius_schemas::spec::{EngineKind, ExperimentSpec, Group, JobStep, Stage};
use nuncius_schemas::steps::StepTable;
use nuncius_schemas::units::Rate;
use serde_json::{Map, Value};

use crate::error::PlanError;
use crate::host::Host;
use crate::policy::TargetPolicy;
use crate::program::{self, Part, Program, ProgramInput};
use crate::sequence::Sequence;

pub(crate) mod amqp;
mod environment;
pub(crate) mod load;
mod lookup;
pub(crate) mod request;
mod servo;
pub(crate) mod spread;
pub(crate) mod target;

pub(crate) use amqp::AmqpPlan;
pub(crate) use load::Load;
pub(crate) use request::{HttpPlan, RequestPlan, TRACEPARENT_BYTES, traceparent, write_traceparent};
pub(crate) use servo::ServoPlan;
pub(crate) use spread::{Picker, Spread};

/// Most engine threads of one group.
pub const THREADS_MAX: usize = 256;

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct GroupInput<'a> {
    /// The whole experiment.
    pub spec: &'a ExperimentSpec,
    /// Index of the group in it.
    pub group: u16,
    /// Shards of the group that this node has.
    pub shards: ShardSet,
    /// How many nodes share the group; `rate_per_node` is multiplied by it.
    pub nodes: u32,
    /// Routing table; a service of the specification goes before one of the same name here.
    pub routes: &'a [Route],
    /// Tells apart the traces of two runs of one seed.
    pub run_key: u64,
    /// Trace of the experiment, which the spans of sampled requests belong to.
    pub trace_id: u128,
    /// Engine threads, at least 1.
    pub threads: usize,
    /// Where the files are that the experiment names: the root of its bundle, read only, there for as long as the plan
    /// is. Absent where it names none.
    pub bundle: Option<&'a Path>,
    /// Variables that were made before the load, for all sessions.
    pub variables: Option<&'a Map<String, Value>>,
}

/// A group, ready to be run on this node.
#[derive(Debug)]
pub struct GroupPlan {
    pub(crate) group: u16,
    pub(crate) name: String,
    pub(crate) shards: ShardSet,
    pub(crate) threads: usize,
    /// Number of the first of them: others of the group may have those before.
    pub(crate) first_thread: usize,
    /// Run time at which the shards come to this node; none where they are its own from the start.
    pub(crate) joins_at_ns: Option<u64>,
    pub(crate) run_key: u64,
    pub(crate) trace_id: u128,
    pub(crate) load: Load,
    pub(crate) max_in_flight: u32,
    /// Who arrives while so many are under way over all nodes is skipped.
    pub(crate) max_users: Option<u32>,
    pub(crate) timeout_ns: u64,
    pub(crate) hosts: Arc<[Host]>,
    /// How requests are shared over the hosts.
    pub(crate) spread: Spread,
    pub(crate) steps: StepTable,
    /// What is planned before this run time does not count.
    pub(crate) warm_up_ns: u64,
    /// Figures of its own.
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) action: Action,
}

/// What an iteration does.
#[derive(Debug)]
pub(crate) enum Action {
    Http(HttpPlan),
    Amqp(AmqpPlan),
    Queue(QueuePlan),
    Servo(ServoPlan),
    Session(Box<Program>),
}

/// Jobs on a queue, with the environment resolved.
#[derive(Debug)]
pub(crate) struct QueuePlan {
    /// The queue.
    pub(crate) queue: String,
    /// One for each step.
    pub(crate) jobs: Vec<JobStep>,
    /// Jobs are dropped when this node goes away: in the closed model somebody waits for each.
    pub(crate) presence: bool,
}

impl GroupPlan {
    /// Index of the group.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the steps.
    pub fn step_names(&self) -> &[String] {
        self.steps.names()
    }

    /// The steps that an iteration takes, in order: all but those that consume, which go on beside it for the whole
    /// run.
    pub(crate) fn iteration_path(&self) -> Vec<u16> {
        let takes = |step: &u16| match &self.action {
            Action::Http(_) | Action::Queue(_) | Action::Servo(_) | Action::Session(_) => true,
            Action::Amqp(amqp) => amqp.steps.get(usize::from(*step)).is_some_and(|step| step.publish.is_some()),
        };
        self.steps.steps().map(|(step, _)| step).filter(takes).collect()
    }

    /// How many recorders a report has: one for each step, and one more for the iteration when there are several; as
    /// many again for what begins in the warm-up, where there is one.
    pub fn recorders(&self) -> usize {
        usize::from(self.steps.counted()) * if self.warm_up_ns == 0 { 1 } else { 2 }
    }

    /// Where arrivals are counted beside the iteration: the first step, where that is the same in every iteration.
    pub(crate) fn entry(&self) -> u16 {
        match &self.action {
            Action::Http(_) | Action::Queue(_) | Action::Amqp(_) => self.iteration_path().first().copied().unwrap_or(0),
            Action::Servo(_) | Action::Session(_) => self.steps.iteration(),
        }
    }

    /// The order of the steps that an iteration takes.
    pub(crate) fn sequence(&self) -> Sequence {
        Sequence::new(&self.iteration_path(), self.steps.names().len())
    }

    /// Chooses hosts for a thread whose first shard this is.
    pub(crate) fn picker(&self, first_shard: u32) -> Picker {
        Picker::new(&self.spread, &self.load, self.shards.shards(), first_shard)
    }

    /// Whether there is somebody who waits for each iteration's end before the next.
    pub(crate) const fn is_closed(&self) -> bool {
        match self.load {
            Load::Open { .. } => false,
            Load::Closed { .. } => true,
        }
    }

    /// The queue that jobs are submitted to, of a group of jobs.
    pub fn queue(&self) -> Option<&str> {
        match &self.action {
            Action::Queue(queue) => Some(&queue.queue),
            Action::Http(_) | Action::Amqp(_) | Action::Servo(_) | Action::Session(_) => None,
        }
    }

    /// What sessions run.
    pub(crate) fn program(&self) -> Option<&Program> {
        match &self.action {
            Action::Session(program) => Some(program),
            Action::Http(_) | Action::Amqp(_) | Action::Queue(_) | Action::Servo(_) => None,
        }
    }

    /// The meter of this name.
    pub(crate) fn meter(&self, name: &str) -> Option<usize> {
        self.meters.iter().position(|meter| meter.name == name)
    }

    /// Resolved addresses of the target, those that are tried when nobody listens at another included.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.hosts.iter().flat_map(Host::candidates)
    }

    /// Whether somebody accepts connections at the target: one address must. Blocks for `patience` at the longest, or a
    /// little more.
    ///
    /// # Errors
    /// All that were tried, with what the system said of each.
    pub fn reach(&self, patience: Duration) -> Result<(), String> {
        match crate::connect::reach(&self.hosts, patience) {
            Ok(()) => Ok(()),
            Err(failed) => Err(failed.to_string()),
        }
    }

    /// Of shards that were another node's until `at_ns` of run time: nothing planned before is offered, users begin
    /// then and repeat none of their iterations. Threads are numbered from `first_thread`, so that no two of a group
    /// have the same number.
    pub fn joining(mut self, at_ns: u64, first_thread: usize, max_in_flight: u32) -> Self {
        self.joins_at_ns = Some(at_ns);
        self.first_thread = first_thread;
        self.max_in_flight = max_in_flight;
        self
    }

    /// Uses the general client even where the plain one would do: for comparison of the two.
    pub fn with_general_client(mut self) -> Self {
        if let Action::Http(http) = &mut self.action {
            http.general = true;
        }
        self
    }
}

/// Plans a group on this node. May block on DNS.
///
/// `environment` gives the values of variables, see [`nuncius_schemas::variable`]. They are filled in before anything
/// is looked up, in every text that [`nuncius_schemas::spec::texts`] says so of.
///
/// # Errors
/// They name the field and never tell the value of a variable.
pub fn plan_group(
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<GroupPlan, PlanError> {
    let path = format!("groups[{}]", input.group);
    let group = input.spec.groups.get(usize::from(input.group)).ok_or(PlanError::NoGroup(input.group))?;
    if input.threads == 0 || input.threads > THREADS_MAX {
        let problem = format!("{} engine threads: give 1 to {THREADS_MAX}", input.threads);
        return Err(PlanError::Field { field: path, problem });
    }
    let filled = environment::fill_in(&path, group, &input.spec.services, input.routes, environment)?;
    // As everybody else sees it who does not know the values: variables change nothing about what is counted where.
    let is_static = group.is_static();
    let steps = group.step_table();
    let planned = plan_action(&path, &filled, is_static, input, policy, environment);
    let (action, hosts) = planned.map_err(|error| filled.masked(error))?;
    let group = &filled.group;
    let weights: Vec<u64> = hosts.iter().map(|host| host.weight).collect();
    let spread =
        Spread::new(&weights).map_err(|problem| PlanError::Field { field: format!("{path}.target"), problem })?;
    let (mut threads, mut iterations) = (input.threads, group.iterations);
    if let Action::Session(program) = &action {
        // Each thread has connections of its own, and no iteration begins that there is no data for.
        threads = threads.min(program.max_connections);
        iterations = iterations.into_iter().chain(program.stops_at()).min();
    }
    if group.max_users.is_some() {
        // Several would each count their own.
        threads = 1;
    }
    Ok(GroupPlan {
        group: input.group,
        name: group.name.clone(),
        shards: input.shards.clone(),
        threads,
        first_thread: 0,
        joins_at_ns: None,
        run_key: input.run_key,
        trace_id: input.trace_id,
        load: plan_load(&path, group, iterations, input)?,
        max_in_flight: group.max_in_flight.max(1),
        max_users: group.max_users,
        timeout_ns: group.timeout.0.max(1),
        hosts,
        spread,
        steps,
        warm_up_ns: group.warm_up.0,
        meters: group.all_meters().into_iter().map(Arc::new).collect(),
        action,
    })
}

/// Plans what a group does once, by one user; `None` where there is nothing. May block on DNS.
///
/// # Errors
/// As [`plan_group`].
pub(crate) fn plan_once(
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
    part: Part,
) -> Result<Option<GroupPlan>, PlanError> {
    let path = format!("groups[{}]", input.group);
    let group = input.spec.groups.get(usize::from(input.group)).ok_or(PlanError::NoGroup(input.group))?;
    let is_empty = match part {
        Part::Load => false,
        Part::Before => group.before.is_empty(),
        Part::After => group.after.is_empty(),
    };
    if is_empty {
        return Ok(None);
    }
    let filled = environment::fill_in(&path, group, &input.spec.services, input.routes, environment)?;
    let planned = plan_program(&path, &filled, input, policy, environment, part);
    let (action, hosts) = planned.map_err(|error| filled.masked(error))?;
    let group = &filled.group;
    let weights: Vec<u64> = hosts.iter().map(|host| host.weight).collect();
    let spread =
        Spread::new(&weights).map_err(|problem| PlanError::Field { field: format!("{path}.target"), problem })?;
    let backoff = load::Backoff { first_ns: 1, max_ns: 1 };
    Ok(Some(GroupPlan {
        group: input.group,
        name: group.name.clone(),
        shards: ShardSet::all(input.shards.shards()),
        threads: 1,
        first_thread: 0,
        joins_at_ns: None,
        run_key: input.run_key,
        trace_id: input.trace_id,
        load: Load::Closed { users: 1, iterations: Some(1), duration_ns: None, think_ns: 0, backoff },
        max_in_flight: 1,
        max_users: None,
        timeout_ns: group.timeout.0.max(1),
        hosts,
        spread,
        steps: StepTable::apart(program::step_names(group, part)),
        warm_up_ns: 0,
        meters: Vec::new(),
        action,
    }))
}

/// What sessions do, and the addresses of the group's target.
fn plan_program(
    path: &str,
    filled: &environment::FilledIn<'_>,
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
    part: Part,
) -> Result<(Action, Arc<[Host]>), PlanError> {
    let program = program::compile(
        &filled.group,
        &ProgramInput {
            path,
            number: input.group,
            seed: input.spec.seed,
            routes: &filled.routes,
            services: &filled.services,
            policy,
            bundle: input.bundle,
            given: input.variables,
            environment,
            part,
        },
    )?;
    let hosts = program.targets.first().map_or_else(|| Arc::from([]), |target| Arc::clone(&target.hosts));
    Ok((Action::Session(Box::new(program)), hosts))
}

/// What an iteration does, and the addresses that it does it to.
fn plan_action(
    path: &str,
    filled: &environment::FilledIn<'_>,
    is_static: bool,
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Action, Arc<[Host]>), PlanError> {
    let group = &filled.group;
    if group.engine == EngineKind::Queue {
        // Reached over the bus, which is not a target: no address, and no policy to ask.
        return Ok((Action::Queue(plan_queue(path, group)?), Arc::new([])));
    }
    if group.engine == EngineKind::Servo && group.target.starts_with("nats://") {
        return Ok((Action::Servo(servo::plan_servo(path, group, None)?), Arc::new([])));
    }
    let steps = group.filled_static_steps().filter(|_| is_static);
    if group.engine == EngineKind::Http && steps.is_none() {
        return plan_program(path, filled, input, policy, environment, Part::Load);
    }
    let target = target::parse(&format!("{path}.target"), &group.target)?;
    let hosts = target::resolve(&format!("{path}.target"), &target, &filled.services, &filled.routes, policy)?;
    let action = match group.engine {
        EngineKind::Amqp => Action::Amqp(amqp::plan_amqp(path, group, target)?),
        EngineKind::Servo => Action::Servo(servo::plan_servo(path, group, Some(&target))?),
        EngineKind::Http | EngineKind::Queue => {
            Action::Http(request::plan_http(path, group, steps.unwrap_or_default(), &target)?)
        }
    };
    Ok((action, hosts.into()))
}

fn plan_load(path: &str, group: &Group, iterations: Option<u64>, input: &GroupInput<'_>) -> Result<Load, PlanError> {
    if let Some(users) = group.users {
        return Ok(Load::Closed {
            users,
            iterations,
            duration_ns: group.duration.map(|duration| duration.0),
            think_ns: group.think_time.0,
            backoff: load::Backoff { first_ns: group.backoff.first.0.max(1), max_ns: group.backoff.max.0.max(1) },
        });
    }
    let mut stages: Vec<Stage> = group.effective_stages();
    if group.rate_per_node {
        let scale = |rate: Rate| Rate(rate.0.saturating_mul(u64::from(input.nodes.max(1))));
        for stage in &mut stages {
            stage.rate = scale(stage.rate);
            stage.to = stage.to.map(scale);
        }
    }
    let field = || format!("{path}.{}", if group.stages.is_empty() { "rate" } else { "stages" });
    let profile = RateProfile::new(&stages).map_err(|source| PlanError::Profile { field: field(), source })?;
    let end_ns = iterations.is_none().then(|| profile.duration_ns());
    let schedule = Schedule::new(profile, group.arrivals, input.spec.seed, u32::from(input.group), iterations);
    Ok(Load::Open { schedule: Box::new(schedule), end_ns })
}

fn plan_queue(path: &str, group: &Group) -> Result<QueuePlan, PlanError> {
    let queue = group.target.strip_prefix("queue://").unwrap_or(&group.target).to_owned();
    if let Err(error) = nuncius_schemas::queue::check_queue_name(&queue) {
        return Err(PlanError::Field { field: format!("{path}.target"), problem: error.problem });
    }
    let mut jobs: Vec<JobStep> = group.steps.iter().map(|step| step.job.clone().unwrap_or_default()).collect();
    if jobs.is_empty() {
        jobs.push(JobStep::default());
    }
    Ok(QueuePlan { queue, jobs, presence: group.users.is_some() })
}

#[cfg(test)]
mod tests;
