//! Starting the threads of a group.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nuncius_bus::Bus;
use nuncius_load::ShardSet;
use nuncius_schemas::fault::GeneratorFault;

use crate::control::Control;
use crate::error::EngineError;
use crate::http::{general, plain};
use crate::options::EngineOptions;
use crate::pace::{Frame, Pace, Share};
use crate::plan::{Action, GroupPlan, Load};
use crate::record::Recorder;
use crate::sink::EngineMessage;
use crate::tls::{self, Tls};
use crate::wake::Waker;
use crate::{amqp, queue, servo, session};

/// Most connections that a thread opens before the start.
const CONNECTIONS_AHEAD_MAX: usize = 4_096;

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

/// What the threads of a group have in common, made once for all of them.
#[derive(Clone)]
enum Means {
    Plain,
    General(Option<Tls>),
    Amqp(amqp::Setup),
    Queue(Bus),
    /// Over the bus, or over HTTP.
    Servo(Option<Bus>),
    /// With what its jobs go over, if it has any.
    Session(Option<Bus>),
}

impl Means {
    fn of(plan: &GroupPlan, bus: Option<&Bus>) -> Result<Self, EngineError> {
        let bus = || bus.cloned().ok_or(EngineError::NoBus { group: plan.group });
        Ok(match &plan.action {
            Action::Http(http) if http.secure => {
                let tls = tls::setup(http.tls.as_ref(), &http.server_name, Some("http/1.1"));
                Self::General(Some(tls.map_err(|problem| EngineError::Tls { group: plan.group, problem })?))
            }
            Action::Http(http) if http.general || !plain::is_available() => Self::General(None),
            Action::Http(_) => Self::Plain,
            Action::Amqp(amqp) => Self::Amqp(amqp::setup(plan, amqp)?),
            Action::Queue(_) => Self::Queue(bus()?),
            Action::Servo(servo) => Self::Servo(if servo.is_bus { Some(bus()?) } else { None }),
            Action::Session(program) if program.queues.is_empty() => Self::Session(None),
            Action::Session(_) => Self::Session(Some(bus()?)),
        })
    }
}

/// What one thread runs, with what only it has.
enum Engine {
    Plain { pace: Pace, ahead: usize },
    General { pace: Pace, tls: Option<Tls>, ahead: usize },
    Amqp { pace: Pace, setup: amqp::Setup },
    Queue { pace: Pace, bus: Bus },
    Servo { frame: Frame, share: Share, bus: Option<Bus> },
    Session { pace: Pace, thread: usize, ahead: usize, bus: Option<Bus> },
}

impl Engine {
    fn new(means: &Means, plan: &GroupPlan, share: Share, options: EngineOptions, control: &Arc<Control>) -> Self {
        let pace = |share| Pace::new(plan, share, options, Arc::clone(control));
        match means.clone() {
            Means::Plain => {
                let pace = pace(share);
                Self::Plain { ahead: connections_ahead(plan, &pace), pace }
            }
            Means::General(tls) => {
                let pace = pace(share);
                Self::General { ahead: connections_ahead(plan, &pace), pace, tls }
            }
            Means::Amqp(setup) => Self::Amqp { pace: pace(share), setup },
            Means::Queue(bus) => Self::Queue { pace: pace(share), bus },
            Means::Session(bus) => {
                let thread = share.thread.saturating_sub(plan.first_thread);
                let pace = pace(share);
                Self::Session { ahead: connections_ahead(plan, &pace), pace, thread, bus }
            }
            Means::Servo(bus) => {
                Self::Servo { frame: Frame::new(Arc::clone(control), options, plan.joins_at_ns), share, bus }
            }
        }
    }

    /// To its end.
    fn run(self, recorder: Recorder, plan: Arc<GroupPlan>, options: EngineOptions, waker: Arc<Waker>) {
        match self {
            Self::Plain { pace, ahead } => plain::run(pace, recorder, plan, waker, ahead),
            Self::General { pace, tls, ahead } => general::run(pace, recorder, plan, tls, waker, ahead),
            Self::Amqp { pace, setup } => amqp::run(pace, recorder, plan, setup, waker),
            Self::Queue { pace, bus } => queue::run(pace, recorder, plan, &bus, waker),
            Self::Session { pace, thread, ahead, bus } => {
                session::run((pace, recorder), plan, thread, waker, (ahead, bus));
            }
            Self::Servo { frame, share, bus } => {
                servo::run(&plan, &share, options, (frame, recorder), bus.as_ref(), &waker);
            }
        }
    }
}

/// Starts the threads of a group. They connect ahead of need and wait for [`Control::start`]; each ends with
/// [`EngineMessage::Finished`].
///
/// `sink` should have room for a few seconds of all threads: when it is full, seconds are folded and rows dropped (and
/// counted). When its receiver is dropped, the threads end. Groups of jobs make connections of their own to the servers
/// of `bus`.
///
/// # Errors
/// When TLS cannot be set up, the group needs a bus and there is none, or the system gives no thread or descriptor.
pub fn spawn_group(
    plan: GroupPlan,
    options: EngineOptions,
    control: Arc<Control>,
    sink: SyncSender<EngineMessage>,
    bus: Option<&Bus>,
) -> Result<Vec<EngineThread>, EngineError> {
    let plan = Arc::new(plan);
    let means = Means::of(&plan, bus)?;
    let start_error = |source| {
        let advice = GeneratorFault::of_spawn(&source).advice();
        EngineError::Start { group: plan.name.clone(), advice, source }
    };
    let mut threads = Vec::with_capacity(plan.threads);
    for share in shares(&plan) {
        let waker = Arc::new(Waker::new().map_err(start_error)?);
        let (group, thread) = (plan.group, share.thread);
        let recorder = Recorder::new(&plan, thread, options, sink.clone());
        let engine = Engine::new(&means, &plan, share, options, &control);
        control.listen(Arc::clone(&waker));
        let (its_plan, its_control, its_waker) = (Arc::clone(&plan), Arc::clone(&control), Arc::clone(&waker));
        let (told, identity) = mpsc::sync_channel(1);
        let body = move || {
            let _ = told.send(rustix::thread::gettid().as_raw_nonzero().get());
            // The default lets the kernel wake a sleeper 50 µs late; no harm where this is refused.
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            engine.run(recorder, its_plan, options, Arc::clone(&its_waker));
            its_control.forget(&its_waker);
        };
        match std::thread::Builder::new().name(format!("load-{group}-{thread}")).spawn(body) {
            Ok(handle) => {
                let thread_id = identity.recv().unwrap_or(0);
                threads.push(EngineThread { group, thread, thread_id, handle });
            }
            Err(source) => {
                control.forget(&waker);
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
        Load::Closed(_) => plan.threads.max(1),
    };
    (0..threads)
        .map(|thread| {
            let own = plan.shards.iter().enumerate().filter(|(position, _)| position % threads == thread);
            let in_flight_max = all / threads + usize::from(thread < all % threads);
            let shards = ShardSet::of(plan.shards.shards(), own.map(|(_, shard)| shard));
            let thread = plan.first_thread + thread;
            let users_max = plan.max_users.map_or(usize::MAX, |all| users_of(all, &shards));
            Share { thread, shards, in_flight_max: in_flight_max.max(1), users_max }
        })
        .collect()
}

/// How many of all users may be under way on these shards: each shard has its place in the row of all, so that those
/// of all nodes add up; at least one.
fn users_of(all: u32, shards: &ShardSet) -> usize {
    let (all, count) = (u64::from(all), u64::from(shards.shards().max(1)));
    let of_shard = |shard: u32| (u64::from(shard) + 1) * all / count - u64::from(shard) * all / count;
    let own: u64 = shards.iter().map(of_shard).sum();
    usize::try_from(own).unwrap_or(usize::MAX).max(1)
}

/// How many connections to open before the start: what 50 ms of the first second's load need, or one for each user.
fn connections_ahead(plan: &GroupPlan, pace: &Pace) -> usize {
    let most = pace.in_flight_max();
    match &plan.load {
        Load::Closed(_) => pace.members().min(CONNECTIONS_AHEAD_MAX),
        Load::Open { schedule, .. } => {
            let from_ns = plan.joins_at_ns.unwrap_or(0);
            let first_second = schedule.profile().expected_arrivals(from_ns, from_ns.saturating_add(1_000_000_000));
            let own = first_second * plan.shards.share();
            // A float becomes the nearest integer there is; it is small after `min` anyway.
            ((own / plan.threads as f64 * 0.05).ceil() as usize + 2).min(most).min(64)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_users_of_all_nodes_add_up_whoever_has_which_shards(all in 1u32..100_000, cut in 1u32..255) {
            let of = |shards: std::ops::Range<u32>| users_of(all, &ShardSet::of(256, shards)) as u64;
            let sum = of(0..cut) + of(cut..256);
            prop_assert!(sum == u64::from(all) || sum == u64::from(all) + 1 && all < 256);
        }
    }
}
