//! From a group of a specification to what a node does: names resolved, policy kept, requests rendered.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nuncius_load::{ProfileError, RateProfile, Schedule, ShardSet};
use nuncius_schemas::route::Route;
use nuncius_schemas::spec::{EngineKind, ExperimentSpec, Group, JobStep, Stage, Step};
use nuncius_schemas::units::Rate;
use nuncius_schemas::variable::VariableError;

use crate::feed::Backoff;
use crate::policy::TargetPolicy;

mod environment;
mod lookup;
mod request;
mod servo;
mod spread;
mod target;

pub(crate) use request::{HttpPlan, TRACEPARENT_BYTES, traceparent, write_traceparent};
pub(crate) use servo::ServoPlan;
pub(crate) use spread::{Picker, Spread};
pub(crate) use target::Host;

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
}

/// Why a group cannot be run on this node. Never shows the value of an environment variable.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is no such group.
    #[error("groups[{0}]: there is no such group")]
    NoGroup(u16),
    /// A field that does not make sense.
    #[error("{field}: {problem}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The host is neither a known service nor an address.
    #[error(
        "{field}: no service is named `{service}`: add it to `services` or to the routing table, or write an address with its port"
    )]
    UnknownService {
        /// Path of the field.
        field: String,
        /// The name.
        service: String,
    },
    /// The host has no address.
    #[error("{field}: `{host}` has no address: {reason}")]
    Resolve {
        /// Path of the field.
        field: String,
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// A variable cannot be filled in.
    #[error("{field}: {problem}")]
    Environment {
        /// Path of the field.
        field: String,
        /// Which variable, and what to do.
        problem: VariableError,
    },
    /// The node may not be aimed at this.
    #[error("target `{host}` ({address}) is not allowed on this node: start it with --allow-target to permit it")]
    Forbidden {
        /// As in the target.
        host: String,
        /// What it stands for.
        address: SocketAddr,
    },
    /// An entry of the allow-list is none.
    #[error("--allow-target `{entry}`: {problem}")]
    Policy {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The rate makes no schedule.
    #[error("{field}: {source}")]
    Profile {
        /// Path of the field.
        field: String,
        /// Why.
        source: ProfileError,
    },
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
    pub(crate) timeout_ns: u64,
    pub(crate) hosts: Arc<[Host]>,
    /// How requests are shared over the hosts.
    pub(crate) spread: Spread,
    pub(crate) step_names: Vec<String>,
    pub(crate) action: Action,
}

/// How load is offered.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// `end_ns` is when the profile ends (run time); absent when the number of iterations ends it.
    Open {
        schedule: Box<Schedule>,
        end_ns: Option<u64>,
    },
    Closed {
        users: u32,
        iterations: Option<u64>,
        duration_ns: Option<u64>,
        think_ns: u64,
        backoff: Backoff,
    },
}

/// What an iteration does.
#[derive(Debug)]
pub(crate) enum Action {
    Http(HttpPlan),
    Amqp(AmqpPlan),
    Queue(QueuePlan),
    Servo(ServoPlan),
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

/// An AMQP group with its environment resolved.
#[derive(Debug)]
pub(crate) struct AmqpPlan {
    /// `amqps`.
    pub(crate) secure: bool,
    /// `user:password` of the target, as written.
    pub(crate) credentials: Option<String>,
    /// Path of the target without its first slash, as written (percent-encoded).
    pub(crate) vhost: String,
    /// What to do.
    pub(crate) steps: Vec<Step>,
    /// How the broker is checked.
    pub(crate) tls: Option<nuncius_schemas::spec::TlsOptions>,
    /// The name a TLS broker must have.
    pub(crate) server_name: String,
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
        &self.step_names
    }

    /// The steps that an iteration takes, in order: all but those that consume, which go on beside it for the whole
    /// run.
    pub(crate) fn iteration_path(&self) -> Vec<u16> {
        let steps = u16::try_from(self.step_names.len()).unwrap_or(u16::MAX);
        let takes = |step: &u16| match &self.action {
            Action::Http(_) | Action::Queue(_) | Action::Servo(_) => true,
            Action::Amqp(amqp) => amqp.steps.get(usize::from(*step)).is_some_and(|step| step.publish.is_some()),
        };
        (0..steps).filter(takes).collect()
    }

    /// How many recorders a report has: one for each step, and one more for the iteration when there are several.
    pub fn recorders(&self) -> usize {
        let steps = self.step_names.len();
        if steps > 1 { steps + 1 } else { steps }
    }

    /// The queue that jobs are submitted to, of a group of jobs.
    pub fn queue(&self) -> Option<&str> {
        match &self.action {
            Action::Queue(queue) => Some(&queue.queue),
            Action::Http(_) | Action::Amqp(_) | Action::Servo(_) => None,
        }
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
    let (action, hosts) = plan_action(&path, &filled, policy).map_err(|error| filled.masked(error))?;
    let group = &filled.group;
    let weights: Vec<u64> = hosts.iter().map(|host| host.weight).collect();
    let spread =
        Spread::new(&weights).map_err(|problem| PlanError::Field { field: format!("{path}.target"), problem })?;
    Ok(GroupPlan {
        group: input.group,
        name: group.name.clone(),
        shards: input.shards.clone(),
        threads: input.threads,
        first_thread: 0,
        joins_at_ns: None,
        run_key: input.run_key,
        trace_id: input.trace_id,
        load: plan_load(&path, group, input)?,
        max_in_flight: group.max_in_flight.max(1),
        timeout_ns: group.timeout.0.max(1),
        hosts: hosts.into(),
        spread,
        step_names: group.step_names(),
        action,
    })
}

/// What an iteration does, and the addresses that it does it to.
fn plan_action(
    path: &str,
    filled: &environment::FilledIn<'_>,
    policy: &TargetPolicy,
) -> Result<(Action, Vec<Host>), PlanError> {
    let group = &filled.group;
    if group.engine == EngineKind::Queue {
        // Reached over the bus, which is not a target: no address, and no policy to ask.
        return Ok((Action::Queue(plan_queue(path, group)?), Vec::new()));
    }
    if group.engine == EngineKind::Servo && group.target.starts_with("nats://") {
        return Ok((Action::Servo(servo::plan_servo(path, group, None)?), Vec::new()));
    }
    let target = target::parse(&format!("{path}.target"), &group.target)?;
    let hosts = target::resolve(&format!("{path}.target"), &target, &filled.services, &filled.routes, policy)?;
    let action = match group.engine {
        EngineKind::Amqp => Action::Amqp(plan_amqp(path, group, target)?),
        EngineKind::Servo => Action::Servo(servo::plan_servo(path, group, Some(&target))?),
        EngineKind::Http | EngineKind::Queue => Action::Http(request::plan_http(path, group, &target)?),
    };
    Ok((action, hosts))
}

fn plan_load(path: &str, group: &Group, input: &GroupInput<'_>) -> Result<Load, PlanError> {
    if let Some(users) = group.users {
        return Ok(Load::Closed {
            users,
            iterations: group.iterations,
            duration_ns: group.duration.map(|duration| duration.0),
            think_ns: group.think_time.0,
            backoff: Backoff { first_ns: group.backoff.first.0.max(1), max_ns: group.backoff.max.0.max(1) },
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
    let end_ns = group.iterations.is_none().then(|| profile.duration_ns());
    let schedule = Schedule::new(profile, group.arrivals, input.spec.seed, u32::from(input.group), group.iterations);
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

fn plan_amqp(path: &str, group: &Group, target: target::Target) -> Result<AmqpPlan, PlanError> {
    let steps = group.steps.clone();
    let named = group.tls.as_ref().and_then(|tls| tls.server_name.clone());
    let plan = AmqpPlan {
        secure: target.secure,
        credentials: target.credentials,
        vhost: target.path.trim_start_matches('/').to_owned(),
        steps,
        tls: group.tls.clone(),
        server_name: named.unwrap_or(target.host),
    };
    let field = || format!("{path}.target");
    if !target.query.is_empty() {
        return Err(PlanError::Field { field: field(), problem: "a broker's address has no query".to_owned() });
    }
    match crate::amqp::login(&plan) {
        Ok(_) => Ok(plan),
        // The problem is told without the text: it holds a password.
        Err(_) => Err(PlanError::Field {
            field: field(),
            problem: "user, password or virtual host are not percent-encoded UTF-8, or longer than 255 bytes"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
