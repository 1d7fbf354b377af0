//! One experiment on this node: from "get ready" to the last delta.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_bus::clock::monotonic_ns;
use nuncius_engine::{Control, EngineMessage, EngineOptions, GroupInput, GroupPlan, plan_group, spawn_group};
use nuncius_jobs::Queues;
use nuncius_load::shard::ShardSet;
use nuncius_schemas::node::{Prepare, Start};
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::collector::{CollectorInput, collect};
use crate::config::ClientConfig;
use crate::health::HealthMeter;
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
    #[error("groups[{group}].{field}: {wanted} is over this node's {cap} of {limit} ({flag})")]
    OverCap { group: u16, field: &'static str, wanted: u64, cap: &'static str, limit: u64, flag: &'static str },
    #[error("groups[{group}].target: it does not accept connections: {problem}{advice}")]
    Unreachable { group: u16, problem: String, advice: String },
    #[error("groups[{group}].target: {problem}")]
    Queue { group: u16, problem: String },
    #[error("groups[{0}]: no such group in the specification")]
    NoGroup(u16),
    #[error("the run's thread could not be started: {0}")]
    Thread(String),
}

/// An experiment this node works for.
pub(crate) struct Session {
    pub(crate) experiment: String,
    pub(crate) token: u64,
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
    let mut plans = Vec::new();
    for assignment in &prepare.assignments {
        check_caps(prepare, assignment.group, assignment.shards, assignment.nodes, config)?;
        let plan = plan_group(
            &GroupInput {
                spec: &prepare.spec,
                group: assignment.group,
                shards: ShardSet::from_words(assignment.shards),
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

fn check_caps(
    prepare: &Prepare,
    group: u16,
    shards: [u64; 4],
    nodes: u32,
    config: &ClientConfig,
) -> Result<(), PrepareError> {
    let spec = prepare.spec.groups.get(usize::from(group)).ok_or(PrepareError::NoGroup(group))?;
    let capacity = &config.capacity;
    let share = ShardSet::from_words(shards).len() as f64 / f64::from(nuncius_load::shard::SHARDS);
    let multiplier = if spec.rate_per_node { f64::from(nodes) } else { 1.0 };
    let peak = spec
        .effective_stages()
        .iter()
        .map(|stage| stage.rate.as_per_second().max(stage.to.map_or(0.0, nuncius_schemas::units::Rate::as_per_second)))
        .fold(0.0, f64::max);
    let wanted_rate = (peak * multiplier * share).ceil() as u64;
    if wanted_rate > capacity.max_rate_per_second {
        return Err(PrepareError::OverCap {
            group,
            field: "rate",
            wanted: wanted_rate,
            cap: "share of the rate per second",
            limit: capacity.max_rate_per_second,
            flag: "--max-rate",
        });
    }
    let in_flight = spec.users.unwrap_or(spec.max_in_flight);
    if in_flight > capacity.max_in_flight {
        return Err(PrepareError::OverCap {
            group,
            field: if spec.users.is_some() { "users" } else { "max_in_flight" },
            wanted: u64::from(in_flight),
            cap: "cap on requests in flight",
            limit: u64::from(capacity.max_in_flight),
            flag: "--max-in-flight",
        });
    }
    let seconds = spec.offered_ns().unwrap_or(0) / SECOND_NS;
    if seconds > capacity.max_duration_seconds {
        return Err(PrepareError::OverCap {
            group,
            field: "duration",
            wanted: seconds,
            cap: "longest load in seconds",
            limit: capacity.max_duration_seconds,
            flag: "--max-duration",
        });
    }
    Ok(())
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
    /// Spawns the engine threads (which wait for the start), the collector and the reporter.
    pub(crate) fn spawn(
        prepare: &Prepare,
        plans: Vec<GroupPlan>,
        bus: &Bus,
        node: &str,
        epoch: u64,
    ) -> Result<Self, PrepareError> {
        let control = Control::new();
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
            spec: prepare.spec.clone(),
            start_unix_ns: Arc::clone(&start_unix_ns),
            parent_span_id: Arc::clone(&parent_span_id),
            leaving: Arc::clone(&leaving),
            collected,
        }));
        Ok(Self {
            experiment: prepare.experiment.clone(),
            token: prepare.token,
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
    pub(crate) fn start(&mut self, start: &Start, span_id: u64) -> Result<(), String> {
        let now = monotonic_ns();
        if self.started {
            // The daemon asks again when the answer was lost: the same start is the same start.
            return if self.start_at_ns.get() == Some(&start.start_at_ns) {
                Ok(())
            } else {
                Err("already started at another instant".to_owned())
            };
        }
        if start.start_at_ns <= now {
            let late = Duration::from_nanos(now - start.start_at_ns);
            return Err(format!("the start instant passed {late:?} ago"));
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
