//! One experiment on this node: from "get ready" to the last delta.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_bus::clock::monotonic_ns;
use nuncius_engine::{Caps, Control, EngineMessage, EngineOptions, GroupInput, GroupPlan, plan_group, spawn_group};
use nuncius_jobs::Queues;
use nuncius_load::shard::ShardSet;
use nuncius_schemas::node::{Capacity, Prepare, RefusalCode, Start};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::caps::{self, CapError};
use crate::collector::{CollectorInput, collect};
use crate::config::ClientConfig;
use crate::health::HealthMeter;
use crate::heartbeat::Heartbeat;
use crate::reporter::{ReporterInput, report};

/// Messages of engine threads that may wait for the collector.
const ENGINE_QUEUE: usize = 256;
/// Seconds and batches of records that may wait for the reporter.
const REPORT_QUEUE: usize = 64;
/// How long a target has to accept a connection before load is offered.
const TARGET_PATIENCE: Duration = Duration::from_secs(3);

/// Why a node will not take part.
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
}

impl PrepareError {
    /// What the daemon goes by.
    pub(crate) const fn code(&self) -> RefusalCode {
        match self {
            Self::Engine(nuncius_engine::EngineError::Start { .. }) | Self::Thread(_) => RefusalCode::System,
            Self::Engine(nuncius_engine::EngineError::NoBus { .. } | nuncius_engine::EngineError::Tls { .. })
            | Self::Plan(_)
            | Self::Cap(_)
            | Self::Unreachable { .. }
            | Self::Queue { .. } => RefusalCode::Unfit,
        }
    }
}

/// Why a session does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("already started at another instant")]
    OtherInstant,
    #[error("the start instant passed {0:?} ago")]
    Late(Duration),
}

impl StartError {
    /// What the daemon goes by.
    pub(crate) const fn code(&self) -> RefusalCode {
        match self {
            Self::OtherInstant => RefusalCode::Stale,
            Self::Late(_) => RefusalCode::Late,
        }
    }
}

/// An attempt of an experiment that this node works for. Dropped before its start, it ends and says nothing to anybody.
pub(crate) struct Session {
    pub(crate) experiment: String,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    pub(crate) prepared_at_ns: u64,
    pub(crate) started: bool,
    control: Arc<Control>,
    start_at_ns: Arc<OnceLock<u64>>,
    start_unix_ns: Arc<OnceLock<u64>>,
    /// Span of the start on this node: sampled requests hang under it.
    parent_span_id: Arc<OnceLock<u64>>,
    /// Why the node itself ends its part early.
    leaving: Arc<OnceLock<String>>,
    /// Ends when the last delta has been stored.
    pub(crate) reporter: JoinHandle<()>,
}

/// Plans, checks and spawns everything; blocking, since name resolution and connection checks are.
pub(crate) fn plan_groups(
    prepare: &Prepare,
    config: &ClientConfig,
    trace_id: u128,
    bus: &Bus,
) -> Result<Vec<GroupPlan>, PrepareError> {
    let environment = |name: &str| config.environment.get(name).cloned();
    caps::check(prepare, &config.capacity)?;
    let mut plans = Vec::new();
    for assignment in &prepare.assignments {
        let plan = plan_group(
            &GroupInput {
                spec: &prepare.spec,
                group: assignment.group,
                shards: ShardSet::of_assignment(assignment)
                    .map_err(|source| CapError::Shards { group: assignment.group, source })?,
                nodes: assignment.nodes,
                routes: &prepare.routes,
                run_key: prepare.run_key,
                trace_id,
                threads: config.threads,
            },
            &config.policy,
            &environment,
        )?;
        check_reachable(prepare, assignment.group, &plan)?;
        check_queue(assignment.group, &plan, bus)?;
        plans.push(plan);
    }
    Ok(plans)
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

impl Session {
    /// Spawns the engine threads (which wait for the start), the collector and the reporter. Blocks until the threads
    /// are there; within a runtime, on a thread that may block.
    pub(crate) fn spawn(
        prepare: &Prepare,
        plans: Vec<GroupPlan>,
        capacity: &Capacity,
        bus: &Bus,
        node: &str,
        epoch: u64,
    ) -> Result<Self, PrepareError> {
        let heartbeat = Heartbeat::start().map_err(|error| PrepareError::Thread(error.to_string()))?;
        let caps = Caps::new(capacity.max_rate_per_second, capacity.max_duration_seconds);
        let control = Control::with_caps(caps);
        let (sink, messages) = sync_channel::<EngineMessage>(ENGINE_QUEUE);
        let options = EngineOptions {
            records: prepare.spec.records,
            trace_ratio: prepare.spec.trace_ratio,
            seed: prepare.spec.seed,
            drain_ns: prepare.spec.drain.0,
        };
        let mut threads = Vec::new();
        for plan in plans {
            match spawn_group(plan, options, Arc::clone(&control), sink.clone(), Some(bus)) {
                Ok(spawned) => threads.extend(spawned),
                Err(error) => {
                    control.abandon();
                    return Err(error.into());
                }
            }
        }
        drop(sink);
        let start_at_ns = Arc::new(OnceLock::new());
        let start_unix_ns = Arc::new(OnceLock::new());
        let parent_span_id = Arc::new(OnceLock::new());
        let leaving = Arc::new(OnceLock::new());
        let (collected_sender, collected) = mpsc::channel(REPORT_QUEUE);
        let events_bus = bus.clone();
        let input = CollectorInput {
            messages,
            threads: threads.len(),
            meter: HealthMeter::new(threads.iter().map(|thread| thread.thread_id).collect()),
            heartbeat,
            start_at_ns: Arc::clone(&start_at_ns),
            slow_consumers: Box::new(move || {
                events_bus.events().slow_consumer.load(std::sync::atomic::Ordering::Relaxed)
            }),
        };
        std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || collect(input, &collected_sender))
            .map_err(|error| PrepareError::Thread(error.to_string()))?;
        let reporter = tokio::spawn(report(ReporterInput {
            bus: bus.clone(),
            experiment: prepare.experiment.clone(),
            node: node.to_owned(),
            epoch,
            attempt: prepare.attempt,
            spec: prepare.spec.clone(),
            start_unix_ns: Arc::clone(&start_unix_ns),
            parent_span_id: Arc::clone(&parent_span_id),
            leaving: Arc::clone(&leaving),
            collected,
        }));
        Ok(Self {
            experiment: prepare.experiment.clone(),
            token: prepare.token,
            attempt: prepare.attempt,
            prepared_at_ns: monotonic_ns(),
            started: false,
            control,
            start_at_ns,
            start_unix_ns,
            parent_span_id,
            leaving,
            reporter,
        })
    }

    /// Sets the run's instant zero; refuses one that has passed.
    pub(crate) fn start(&mut self, start: &Start, span_id: u64) -> Result<(), StartError> {
        let now = monotonic_ns();
        if self.started {
            // The daemon asks again when the answer was lost: the same start is the same start.
            return if self.start_at_ns.get() == Some(&start.start_at_ns) {
                Ok(())
            } else {
                Err(StartError::OtherInstant)
            };
        }
        if start.start_at_ns <= now {
            return Err(StartError::Late(Duration::from_nanos(now - start.start_at_ns)));
        }
        let _ = self.parent_span_id.set(span_id);
        let _ = self.start_unix_ns.set(start.start_unix_ns);
        let _ = self.start_at_ns.set(start.start_at_ns);
        self.control.start(start.start_at_ns, start.horizon_ns);
        self.started = true;
        Ok(())
    }

    pub(crate) fn extend(&self, horizon_ns: u64) {
        self.control.extend(horizon_ns);
    }

    /// As [`Session::stop`], by the node's own will: the last delta says why, so that what is missing then is not taken
    /// for measured.
    pub(crate) fn leave(&self, drain_ns: u64, reason: &str) {
        let _ = self.leaving.set(reason.to_owned());
        self.stop(drain_ns);
    }

    /// Offers nothing more; a session that never started ends at once.
    pub(crate) fn stop(&self, drain_ns: u64) {
        if self.started {
            self.control.stop(drain_ns);
        } else {
            self.control.abandon();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.started {
            self.control.abandon();
        }
    }
}
