//! The load of a session: groups are planned and their threads started, at the start and when shards of a lost node are
//! taken over.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_bundle::Held;
use nuncius_bus::Bus;
use nuncius_engine::{Caps, Control, EngineMessage, EngineOptions, GroupInput, GroupPlan, plan_group, spawn_group};
use nuncius_jobs::Queues;
use nuncius_schemas::node::{GivenVariables, GroupAssignment, Prepare, RefusalCode, Reroute, Take};
use nuncius_schemas::spec::ExperimentSpec;

use crate::bundles::{ObtainError, obtain};
use crate::caps::{self, Asked, CapError};
use crate::config::ClientConfig;
use crate::recorded::ArrivalsError;
use crate::roster::{Hold, Roster};
use crate::routes::Routes;

/// How long a target has to accept a connection before load is offered.
const TARGET_PATIENCE: Duration = Duration::from_secs(3);

/// Why a node will not take part, or not take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("{0}")]
    Plan(#[from] nuncius_engine::PlanError),
    #[error("{0}")]
    Engine(#[from] nuncius_engine::EngineError),
    #[error("{0}")]
    Cap(#[from] CapError),
    #[error("groups[{group}].target: it does not accept connections: {problem}{advice}")]
    Unreachable { group: u16, problem: String, advice: String },
    #[error("groups[{group}].target: {problem}")]
    Queue { group: u16, problem: String },
    #[error("the run's thread could not be started: {0}")]
    Thread(String),
    #[error("groups[{0}].iterations: shards of users with a number of iterations cannot be taken over")]
    Counted(u16),
    #[error(transparent)]
    Bundle(#[from] BundleMissing),
    #[error(transparent)]
    Arrivals(#[from] ArrivalsError),
    #[error("its part of the experiment has ended")]
    Ended,
    #[error("getting ready failed in this node's own program: see its log")]
    Program,
}

/// What an experiment needs is not on this host.
#[derive(Debug, thiserror::Error)]
#[error("bundle: {bundle}: {problem}")]
pub(crate) struct BundleMissing {
    bundle: String,
    pub(crate) problem: ObtainError,
}

impl PrepareError {
    /// What the daemon goes by.
    pub(crate) fn code(&self) -> RefusalCode {
        match self {
            Self::Bundle(missing) => missing.problem.code(),
            Self::Engine(nuncius_engine::EngineError::Start { .. }) | Self::Thread(_) | Self::Program => {
                RefusalCode::System
            }
            Self::Engine(nuncius_engine::EngineError::NoBus { .. } | nuncius_engine::EngineError::Tls { .. })
            | Self::Plan(_)
            | Self::Cap(_)
            | Self::Unreachable { .. }
            | Self::Queue { .. }
            | Self::Arrivals(_)
            | Self::Counted(_) => RefusalCode::Unfit,
            Self::Ended => RefusalCode::Unknown,
        }
    }
}

/// What threads of a session are started with, whenever that is.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) prepare: Arc<Prepare>,
    pub(crate) trace_id: u128,
    pub(crate) config: ClientConfig,
    pub(crate) bus: Bus,
    pub(crate) control: Arc<Control>,
    pub(crate) sink: SyncSender<EngineMessage>,
    pub(crate) roster: Arc<Roster>,
    /// What the experiment needs: it stays on this host for as long as this lives.
    pub(crate) bundle: Option<Arc<Held>>,
    pub(crate) routes: Arc<Routes>,
    /// Shards that were taken over, or are being.
    pub(crate) taken: Arc<Mutex<Vec<Take>>>,
}

impl Engines {
    /// Plans, checks and starts everything that was assigned at first; blocking, since name resolution and connection
    /// checks are.
    pub(crate) fn prepare(&self) -> Result<(), PrepareError> {
        let prepare = &self.prepare;
        caps::check(prepare, &self.config.capacity)?;
        let hold = self.roster.hold().ok_or(PrepareError::Ended)?;
        let mut plans = Vec::new();
        for assignment in &prepare.assignments {
            let plan = self.plan(&prepare.spec, assignment)?;
            check_reachable(prepare, assignment.group, &plan)?;
            check_queue(assignment.group, &plan, &self.bus)?;
            plans.push(plan);
        }
        let _ = hold.numbers(self.config.threads);
        self.spawn(plans, &self.control, &hold).inspect_err(|_| self.control.abandon())
    }

    /// The same for shards of another node. The target is not looked at: a measurement is under way.
    pub(crate) fn take(&self, take: &Take) -> Result<(), PrepareError> {
        let hold = self.roster.hold().filter(|_| self.control.stop_at().is_none()).ok_or(PrepareError::Ended)?;
        self.note(take)?;
        let outcome = self.take_noted(take, &hold);
        if outcome.is_err() {
            self.taken().retain(|known| known.number != take.number);
        }
        outcome
    }

    /// Counts it against the node's caps, with all that came before, or refuses it.
    fn note(&self, take: &Take) -> Result<(), PrepareError> {
        let mut taken = self.taken();
        let own = self.prepare.assignments.iter().map(|assignment| Asked { assignment, joins_at_ns: None });
        let added = taken.iter().chain([take]).flat_map(|take| {
            let joins_at_ns = Some(take.from_ns);
            take.assignments.iter().map(move |assignment| Asked { assignment, joins_at_ns })
        });
        let asked: Vec<Asked<'_>> = own.chain(added).collect();
        caps::check_all(&self.prepare.spec, &asked, &self.config.capacity)?;
        taken.push(take.clone());
        Ok(())
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Take>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_noted(&self, take: &Take, hold: &Hold) -> Result<(), PrepareError> {
        let mut plans = Vec::new();
        let amended = ExperimentSpec { amendments: take.amendments.clone(), ..self.prepare.spec.clone() };
        for assignment in &take.assignments {
            let group = self.prepare.spec.groups.get(usize::from(assignment.group));
            let group = group.ok_or(CapError::NoGroup(assignment.group))?;
            if group.users.is_some() && group.iterations.is_some() {
                return Err(PrepareError::Counted(assignment.group));
            }
            let max_in_flight = caps::in_flight_of_taken(assignment, &caps::shards_of(assignment)?, group);
            let first_thread = hold.numbers(self.config.threads);
            plans.push(self.plan(&amended, assignment)?.joining(take.from_ns, first_thread, max_in_flight));
        }
        // All of them, or none: what is refused here may be another node's a moment later.
        let control = self.control.another();
        self.spawn(plans, &control, hold).inspect_err(|_| control.abandon())?;
        self.control.adopt(control);
        Ok(())
    }

    /// Goes by other routes from the next request on. Blocks where a name has to be looked up.
    pub(crate) fn reroute(&self, change: &Reroute) -> Result<(), PrepareError> {
        let environment = |name: &str| self.config.environment.get(name).cloned();
        Ok(self.routes.change(change, (&self.config.policy, &environment))?)
    }

    fn plan(&self, spec: &ExperimentSpec, assignment: &GroupAssignment) -> Result<GroupPlan, PrepareError> {
        let environment = |name: &str| self.config.environment.get(name).cloned();
        let input = GroupInput {
            spec,
            group: assignment.group,
            shards: caps::shards_of(assignment)?,
            nodes: assignment.nodes,
            routes: &self.routes.now(),
            run_key: self.prepare.run_key,
            trace_id: self.trace_id,
            threads: self.config.threads,
            bundle: self.bundle.as_deref().map(Held::path),
            variables: self.prepare.variables_of(assignment.group).map(GivenVariables::map),
        };
        Ok(plan_group(&input, &self.config.policy, &environment)?)
    }

    fn spawn(&self, plans: Vec<GroupPlan>, control: &Arc<Control>, hold: &Hold) -> Result<(), PrepareError> {
        let spec = &self.prepare.spec;
        let options = options_of(spec, &self.config);
        let environment = |name: &str| self.config.environment.get(name).cloned();
        let planned = plans.iter().map(GroupPlan::routing).collect();
        self.routes.follow(planned, (&self.config.policy, &environment))?;
        for plan in plans {
            hold.add(spawn_group(plan, options, Arc::clone(control), self.sink.clone(), Some(&self.bus))?);
        }
        Ok(())
    }
}

/// How engines of an experiment run on this node.
pub(crate) fn options_of(spec: &ExperimentSpec, config: &ClientConfig) -> EngineOptions {
    EngineOptions {
        records: spec.records,
        trace_ratio: spec.trace_ratio,
        trace_slowest: spec.trace_slowest as usize,
        seed: spec.seed,
        drain_ns: spec.drain.0,
        orphan_limit_ns: u64::try_from(config.orphan_limit.as_nanos()).unwrap_or(u64::MAX),
    }
}

/// What engines are told to do with, under the caps of this node.
pub(crate) fn control_of(config: &ClientConfig) -> Arc<Control> {
    Control::with_caps(Caps::new(config.capacity.max_rate_per_second, config.capacity.max_duration_seconds))
}

/// Has the bundle of an experiment be on this host, if it has one. Blocks, like everything here.
pub(crate) fn bundle_of(
    spec: &ExperimentSpec,
    config: &ClientConfig,
    bus: &Bus,
) -> Result<Option<Arc<Held>>, BundleMissing> {
    let Some(wanted) = &spec.bundle else { return Ok(None) };
    let obtained = match &config.bundles {
        Some(settings) => tokio::runtime::Handle::current().block_on(obtain(bus, wanted, settings)),
        None => Err(ObtainError::NoPlace),
    };
    let held = obtained.map_err(|problem| BundleMissing { bundle: wanted.shown(), problem })?;
    Ok(Some(Arc::new(held)))
}

/// So is a queue that is not there. Blocks, like everything here.
fn check_queue(group: u16, plan: &GroupPlan, bus: &Bus) -> Result<(), PrepareError> {
    let Some(queue) = plan.queue() else { return Ok(()) };
    let found = tokio::runtime::Handle::current().block_on(async { Queues::open(bus).await?.get(queue).await });
    found.map(drop).map_err(|error| PrepareError::Queue { group, problem: error.to_string() })
}

/// A target that nobody answers at is a mistake in the experiment, not a measurement: one address must accept.
fn check_reachable(prepare: &Prepare, group: u16, plan: &GroupPlan) -> Result<(), PrepareError> {
    plan.reach(TARGET_PATIENCE).map_err(|problem| {
        let advice = match prepare.route_of(group) {
            Some(route) => format!(
                " (service `{}` in the routing table{}: see `nuncius route ls`)",
                route.service,
                route.owner.as_deref().map(|owner| format!(", kept there by {owner}")).unwrap_or_default()
            ),
            None => String::new(),
        };
        PrepareError::Unreachable { group, problem, advice }
    })
}
