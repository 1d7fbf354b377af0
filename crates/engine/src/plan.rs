//! From a group of a specification to what a node does: names resolved, policy kept, requests rendered.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nuncius_load::amended::Basis;
use nuncius_load::{ShardSet, schedule_of};
use nuncius_schemas::meter::Meter;
use nuncius_schemas::route::Route;
use nuncius_schemas::spec::{EngineKind, ExperimentSpec, Group, JobStep};
use nuncius_schemas::steps::StepTable;
use serde_json::{Map, Value};

use crate::error::PlanError;
use crate::policy::TargetPolicy;
use crate::program::target::Resolver;
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
pub(crate) mod upstream;

pub(crate) use amqp::AmqpPlan;
pub(crate) use load::{ClosedLoad, Load};
pub(crate) use request::{HttpPlan, RequestPlan, TRACEPARENT_BYTES, traceparent, write_traceparent};
pub(crate) use servo::ServoPlan;
pub(crate) use spread::Picker;
pub(crate) use upstream::{Followed, Hosts, Upstream};

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
    /// What stands behind the group's target.
    pub(crate) upstream: Arc<Upstream>,
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
        Picker::new(&self.upstream.now().spread, &self.load, self.shards.shards(), first_shard)
    }

    /// Whether there is somebody who waits for each iteration's end before the next.
    pub(crate) const fn is_closed(&self) -> bool {
        match self.load {
            Load::Open { .. } => false,
            Load::Closed(_) => true,
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
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.upstream.now().used().flat_map(|host| host.candidates()).collect()
    }

    /// What of it follows the routing table while it runs.
    pub fn routing(&self) -> Routing {
        let (targets, resolver) = match &self.action {
            Action::Session(program) => (&*program.targets, Some(Arc::clone(&program.resolver))),
            Action::Http(_) | Action::Amqp(_) | Action::Queue(_) | Action::Servo(_) => (&[][..], None),
        };
        let targets = targets.iter().map(|target| Arc::clone(&target.upstream));
        Routing { upstreams: std::iter::once(Arc::clone(&self.upstream)).chain(targets).collect(), resolver }
    }

    /// Whether somebody accepts connections at the target: one address must. Blocks for `patience` at the longest, or a
    /// little more.
    ///
    /// # Errors
    /// All that were tried, with what the system said of each.
    pub fn reach(&self, patience: Duration) -> Result<(), String> {
        let hosts = self.upstream.now();
        match crate::connect::reach(&hosts.used().map(|host| &**host).collect::<Vec<_>>(), patience) {
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

/// What of a group follows the routing table while it runs.
#[derive(Debug, Clone)]
pub struct Routing {
    upstreams: Vec<Arc<Upstream>>,
    /// What makes targets of what becomes known while sessions run.
    resolver: Option<Arc<Resolver>>,
}

impl Routing {
    /// Goes by a route from now on, where its service is one of the group's targets. May block on DNS. `environment` is
    /// that of [`plan_group`].
    ///
    /// # Errors
    /// The route has no address that can be used, or one that this node may not be aimed at: the group goes on as it
    /// did.
    pub fn reroute(
        &self,
        route: &Route,
        policy: &TargetPolicy,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), PlanError> {
        let filled = environment::fill_in_route(route, environment)?;
        let masked = |error| filled.masked(error);
        for upstream in &self.upstreams {
            upstream.reroute(&filled.route, policy).map_err(masked)?;
        }
        if let Some(resolver) = &self.resolver {
            resolver.reroute(&filled.route).map_err(masked)?;
        }
        Ok(())
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
    let (action, upstream) = planned.map_err(|error| filled.masked(error))?;
    let group = &filled.group;
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
        upstream,
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
    let (action, upstream) = planned.map_err(|error| filled.masked(error))?;
    let group = &filled.group;
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
        load: Load::Closed(ClosedLoad {
            group: group.name.clone(),
            users: 1,
            users_limit: 1,
            amendments: Vec::new(),
            iterations: Some(1),
            duration_ns: None,
            think_ns: 0,
            backoff,
        }),
        max_in_flight: 1,
        max_users: None,
        timeout_ns: group.timeout.0.max(1),
        upstream,
        steps: StepTable::apart(program::step_names(group, part)),
        warm_up_ns: 0,
        meters: Vec::new(),
        action,
    }))
}

/// What sessions do, and what stands behind the group's target.
fn plan_program(
    path: &str,
    filled: &environment::FilledIn<'_>,
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
    part: Part,
) -> Result<(Action, Arc<Upstream>), PlanError> {
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
    let upstream = program.targets.first().map(|target| Arc::clone(&target.upstream)).unwrap_or_default();
    Ok((Action::Session(Box::new(program)), upstream))
}

/// What an iteration does, and what stands behind the target that it does it to.
fn plan_action(
    path: &str,
    filled: &environment::FilledIn<'_>,
    is_static: bool,
    input: &GroupInput<'_>,
    policy: &TargetPolicy,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Action, Arc<Upstream>), PlanError> {
    let group = &filled.group;
    if group.engine == EngineKind::Queue {
        // Reached over the bus, which is not a target: no address, and no policy to ask.
        return Ok((Action::Queue(plan_queue(path, group)?), Arc::default()));
    }
    if group.engine == EngineKind::Servo && group.target.starts_with("nats://") {
        return Ok((Action::Servo(servo::plan_servo(path, group, None)?), Arc::default()));
    }
    let steps = group.filled_static_steps().filter(|_| is_static);
    if group.engine == EngineKind::Http && steps.is_none() {
        return plan_program(path, filled, input, policy, environment, Part::Load);
    }
    let field = format!("{path}.target");
    let target = target::parse(&field, &group.target)?;
    let upstream = Upstream::of(&field, &target, &filled.services, &filled.routes, policy)?;
    let action = match group.engine {
        EngineKind::Amqp => Action::Amqp(amqp::plan_amqp(path, group, target)?),
        EngineKind::Servo => Action::Servo(servo::plan_servo(path, group, Some(&target))?),
        EngineKind::Http | EngineKind::Queue => {
            Action::Http(request::plan_http(path, group, steps.unwrap_or_default(), &target)?)
        }
    };
    Ok((action, Arc::new(upstream)))
}

fn plan_load(path: &str, group: &Group, iterations: Option<u64>, input: &GroupInput<'_>) -> Result<Load, PlanError> {
    if let Some(users) = group.users {
        return Ok(Load::Closed(ClosedLoad {
            group: group.name.clone(),
            users,
            users_limit: group.users_limit(),
            amendments: input.spec.amendments.clone(),
            iterations,
            duration_ns: group.duration.map(|duration| duration.0),
            think_ns: group.think_time.0,
            backoff: load::Backoff { first_ns: group.backoff.first.0.max(1), max_ns: group.backoff.max.0.max(1) },
        }));
    }
    let field = match (&group.pattern, group.arrivals.recorded()) {
        (Some(_), _) => "pattern",
        (None, Some(_)) => "arrivals",
        (None, None) if group.stages.is_empty() => "rate",
        (None, None) => "stages",
    };
    let refused = |source| PlanError::Profile { field: format!("{path}.{field}"), source };
    let schedule = schedule_of(input.spec, input.group, group, input.nodes).map_err(refused)?;
    let schedule = schedule.at_most(iterations.unwrap_or(u64::MAX));
    let is_counted = iterations.is_some() || group.ends_with_its_arrivals();
    let end_ns = (!is_counted).then(|| schedule.end_ns());
    let basis = Basis::of(input.spec, input.group, group, input.nodes).map_err(refused)?;
    Ok(Load::Open { schedule: Box::new(schedule), basis, end_ns })
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
