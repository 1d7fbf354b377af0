//! Starting the threads of a group.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nuncius_load::ShardSet;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::spec::RecordsMode;

use nuncius_bus::Bus;

use crate::control::Control;
use crate::dispatch::{Dispatcher, Share};
use crate::http::{general, plain};
use crate::plan::{Action, GroupPlan, Load};
use crate::sink::{EngineMessage, FinishReason};
use crate::wake::Bell;
use crate::{amqp, queue, servo, tls};

/// Most connections that a thread opens before the start.
const CONNECTIONS_AHEAD_MAX: usize = 4_096;

/// What all groups of an experiment share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineOptions {
    /// Which requests leave a row.
    pub records: RecordsMode,
    /// Share of the iterations that carry a sampled trace, 0 to 1.
    pub trace_ratio: f64,
    /// How many of the slowest requests of each second and step are told.
    pub trace_slowest: usize,
    /// Seed of sampling and of identifiers.
    pub seed: u64,
    /// How long after the end of the schedule answers are waited for, in nanoseconds.
    pub drain_ns: u64,
    /// How long a group stands at its horizon until it ends, in nanoseconds; or until its schedule does.
    pub orphan_limit_ns: u64,
}

impl EngineOptions {
    /// Why a group ended that stood for that long.
    pub(crate) fn orphan_reason(&self) -> FinishReason {
        let limit = nuncius_schemas::units::HumanDuration(self.orphan_limit_ns);
        FinishReason::Failed(format!("stopped: nobody had moved its horizon for {limit} (--orphan-limit)"))
    }
}

/// Why threads could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system gave no thread or descriptor.
    #[error("cannot start an engine thread for group `{group}`: {advice} ({source})")]
    Start {
        /// Group.
        group: String,
        /// What was missing, and what to do about it.
        advice: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Jobs cannot be submitted, nor servos heard over the bus, without a connection.
    #[error("groups[{group}].engine: it needs a connection to NATS, and this node has none")]
    NoBus {
        /// Group.
        group: u16,
    },
    /// TLS cannot be set up.
    #[error("groups[{group}].{problem}")]
    Tls {
        /// Group.
        group: u16,
        /// Which field of the group, and why.
        problem: String,
    },
}

/// A running engine thread.
#[derive(Debug)]
pub struct EngineThread {
    /// Group.
    pub group: u16,
    /// Thread of the group.
    pub thread: usize,
    /// As the kernel knows it: `/proc/self/task/<thread_id>/schedstat`.
    pub thread_id: i32,
    /// Ends after the thread's [`EngineMessage::Finished`].
    pub handle: JoinHandle<()>,
}

/// Starts the threads of a group. They connect ahead of need and wait for [`Control::start`]; each ends with
/// [`EngineMessage::Finished`].
///
/// `sink` should have room for a few seconds of all threads: when it is full, seconds are folded and rows dropped (and
/// counted). When its receiver is dropped, the threads end. Groups of jobs make connections of their own to the servers
/// of `bus`.
pub fn spawn_group(
    plan: GroupPlan,
    options: EngineOptions,
    control: Arc<Control>,
    sink: SyncSender<EngineMessage>,
    bus: Option<&Bus>,
) -> Result<Vec<EngineThread>, EngineError> {
    let plan = Arc::new(plan);
    let is_plain = matches!(&plan.action, Action::Http(http) if !http.secure && !http.general) && plain::is_available();
    let tls = match &plan.action {
        Action::Http(http) if http.secure => Some({
            let tls = tls::setup(http.tls.as_ref(), &http.server_name, Some("http/1.1"));
            tls.map_err(|problem| EngineError::Tls { group: plan.group, problem })?
        }),
        _ => None,
    };
    let broker = match &plan.action {
        Action::Amqp(amqp) => Some(amqp::setup(&plan, amqp)?),
        Action::Http(_) | Action::Queue(_) | Action::Servo(_) => None,
    };
    let bus = match (&plan.action, bus) {
        (Action::Queue(_), Some(bus)) => Some(bus.clone()),
        (Action::Servo(servo), Some(bus)) if servo.is_bus => Some(bus.clone()),
        (Action::Queue(_), None) => return Err(EngineError::NoBus { group: plan.group }),
        (Action::Servo(servo), None) if servo.is_bus => return Err(EngineError::NoBus { group: plan.group }),
        _ => None,
    };
    let start_error = |source| {
        let advice = GeneratorFault::of_spawn(&source).advice();
        EngineError::Start { group: plan.name.clone(), advice, source }
    };
    let mut threads = Vec::with_capacity(plan.threads);
    for share in shares(&plan) {
        let bell = Arc::new(Bell::new().map_err(start_error)?);
        let (group, thread) = (plan.group, share.thread);
        let name = format!("load-{group}-{thread}");
        let dispatcher = Dispatcher::new(&plan, share.clone(), options, Arc::clone(&control), sink.clone());
        let ahead = connections_ahead(&plan, &dispatcher);
        control.listen(Arc::clone(&bell));
        let (thread_plan, thread_control, thread_tls) = (Arc::clone(&plan), Arc::clone(&control), tls.clone());
        let (thread_broker, thread_bus) = (broker.clone(), bus.clone());
        let thread_sink = sink.clone();
        let (told, identity) = mpsc::sync_channel(1);
        let thread_bell = Arc::clone(&bell);
        let body = move || {
            let _ = told.send(rustix::thread::gettid().as_raw_nonzero().get());
            // The default lets the kernel wake a sleeper 50 µs late; no harm where this is refused.
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            if let Action::Servo(_) = &thread_plan.action {
                let caller = (Arc::clone(&thread_control), thread_sink);
                servo::run(&thread_plan, share, options, caller, thread_bus.as_ref(), &thread_bell);
            } else if let Some(bus) = thread_bus {
                queue::run(dispatcher, thread_plan, &bus, Arc::clone(&thread_bell));
            } else if let Some(broker) = thread_broker {
                amqp::run(dispatcher, thread_plan, broker, Arc::clone(&thread_bell));
            } else if is_plain {
                plain::run(dispatcher, thread_plan, Arc::clone(&thread_bell), ahead);
            } else {
                general::run(dispatcher, thread_plan, thread_tls, Arc::clone(&thread_bell), ahead);
            }
            thread_control.forget(&thread_bell);
        };
        let spawned = std::thread::Builder::new().name(name).spawn(body);
        match spawned {
            Ok(handle) => {
                let thread_id = identity.recv().unwrap_or(0);
                threads.push(EngineThread { group, thread, thread_id, handle });
            }
            Err(source) => {
                control.forget(&bell);
                // Those that run already wait for a start that will not come.
                control.abandon();
                return Err(start_error(source));
            }
        }
    }
    Ok(threads)
}

/// Splits shards and connections over the threads of a plan.
fn shares(plan: &GroupPlan) -> Vec<Share> {
    let all = usize::try_from(plan.max_in_flight).unwrap_or(usize::MAX).max(1);
    // Each thread needs room for one.
    let threads = match &plan.load {
        Load::Open { .. } => plan.threads.clamp(1, all),
        Load::Closed { .. } => plan.threads.max(1),
    };
    (0..threads)
        .map(|thread| {
            let own = plan.shards.iter().enumerate().filter(|(position, _)| position % threads == thread);
            let in_flight_max = all / threads + usize::from(thread < all % threads);
            let shards = ShardSet::of(plan.shards.shards(), own.map(|(_, shard)| shard));
            let thread = plan.first_thread + thread;
            Share { thread, shards, in_flight_max: in_flight_max.max(1) }
        })
        .collect()
}

/// How many connections to open before the start: what 50 ms of the first second's load need, or one for each user.
fn connections_ahead(plan: &GroupPlan, dispatcher: &Dispatcher) -> usize {
    let most = dispatcher.in_flight_max();
    match &plan.load {
        Load::Closed { .. } => most.min(CONNECTIONS_AHEAD_MAX),
        Load::Open { schedule, .. } => {
            let from_ns = plan.joins_at_ns.unwrap_or(0);
            let first_second = schedule.profile().expected_arrivals(from_ns, from_ns.saturating_add(1_000_000_000));
            let own = first_second * plan.shards.share();
            // A float becomes the nearest integer there is; it is small after `min` anyway.
            ((own / plan.threads as f64 * 0.05).ceil() as usize + 2).min(most).min(64)
        }
    }
}
