//! AMQP 0-9-1 by lapin: messages published with confirms, and queues consumed beside them for the whole run.
//!
//! An iteration is its `publish` steps, in order. A step is *sent* when its message is written to the connection (so a
//! broker that stops reading shows as *blocked*), and answered when the broker confirms it: *service* is confirm −
//! written, *response* confirm − planned. A message that cannot be routed or is not accepted fails as `refused`; what
//! is in flight when the connection ends fails as `closed`; what is unconfirmed at the end is censored.
//!
//! A `consume` step is no part of the iteration. It counts what it receives of this run, from whichever node, each
//! message once as planned, sent and succeeded: *response* is receipt − planned instant of the iteration that
//! published it, *service* receipt − handed to the publisher's connection. The nodes of a run share its time within
//! the error of their clocks, and so do these two. Everything else in the queue is acknowledged and not counted. A
//! consumer that cannot be started, or ends, counts as one failure of its step and starts again. After its last confirm
//! a node goes on consuming until it has received as many of its own messages as were confirmed to it, or until the
//! drain is over: with several nodes on one queue that is the rule, since they receive each other's.
//!
//! One thread has a runtime of its own, one connection for all its publishing steps with a channel for each, and one
//! for each consuming step. lapin adds a thread for each connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::types::ShortString;
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::clock::monotonic_ns;
use crate::dispatch::{Dispatcher, Iteration};
use crate::flights::Flights;
use crate::plan::{Action, AmqpPlan, GroupPlan, Picker};
use crate::run::EngineError;
use crate::trouble::Trouble;
use crate::wake::Bell;

mod connection;
mod consume;
mod message;
mod publish;
mod runtime;

pub(crate) use connection::{Access, login};

use publish::State;

/// How long a broker is given to take leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the threads of a group on this node know together.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Tells this node's messages from others'.
    publisher: u64,
    next_message: AtomicU64,
    confirmed: AtomicU64,
    received: AtomicU64,
}

impl Tally {
    fn new() -> Self {
        Self {
            publisher: fastrand::u64(..),
            next_message: AtomicU64::new(1),
            confirmed: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    fn is_received(&self) -> bool {
        self.received.load(Ordering::Relaxed) >= self.confirmed.load(Ordering::Relaxed)
    }
}

/// What the threads of a group need to reach the broker.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    access: Arc<Access>,
    tally: Arc<Tally>,
}

/// Reads authorities and credentials once for a group.
pub(crate) fn setup(plan: &GroupPlan, amqp: &AmqpPlan) -> Result<Setup, EngineError> {
    let access = Access::new(plan, amqp).map_err(|problem| EngineError::Tls { group: plan.group, problem })?;
    Ok(Setup { access: Arc::new(access), tally: Arc::new(Tally::new()) })
}

/// What the tasks of a thread share.
struct Shared {
    flights: Flights,
    plan: Arc<GroupPlan>,
    setup: Setup,
    /// Of this run, in every message.
    run: String,
    /// Of each step; `None` for those that consume.
    publishes: Vec<Option<Publish>>,
    in_flight_max: usize,
    state: RefCell<State>,
    /// An attempt to connect has ended.
    opened: Notify,
    picker: RefCell<Picker>,
}

/// What a step publishes.
struct Publish {
    exchange: ShortString,
    routing_key: ShortString,
    body: Vec<u8>,
    persistent: bool,
    declare: bool,
}

/// Runs a thread's share to the end.
pub(crate) fn run(dispatcher: Dispatcher, plan: Arc<GroupPlan>, setup: Setup, bell: Arc<Bell>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return dispatcher.close_unstarted("start a runtime", &error),
    };
    let Some(publishes) = publishes(&plan) else {
        return dispatcher.close_failed("a name is longer than 255 bytes".to_owned(), monotonic_ns());
    };
    let shared = Rc::new(Shared {
        in_flight_max: dispatcher.in_flight_max(),
        picker: RefCell::new(Picker::new(&plan, dispatcher.first_shard())),
        flights: Flights::new(dispatcher),
        setup,
        run: format!("{:016x}", plan.run_key),
        publishes,
        plan,
        state: RefCell::new(State::default()),
        opened: Notify::new(),
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, offer(Rc::clone(&shared), bell));
    shared.flights.close(outcome);
    local.block_on(&runtime, async {
        let _ = tokio::time::timeout(GOODBYE, shared.close()).await;
    });
}

fn amqp(plan: &GroupPlan) -> Option<&AmqpPlan> {
    match &plan.action {
        Action::Amqp(amqp) => Some(amqp),
        Action::Http(_) | Action::Queue(_) | Action::Servo(_) => None,
    }
}

fn publishes(plan: &GroupPlan) -> Option<Vec<Option<Publish>>> {
    let one = |step: &nuncius_schemas::spec::Step| {
        let Some(publish) = &step.publish else { return Some(None) };
        Some(Some(Publish {
            exchange: ShortString::try_new(publish.exchange.as_str()).ok()?,
            routing_key: ShortString::try_new(publish.routing_key.as_str()).ok()?,
            body: publish.body.clone().into_bytes(),
            persistent: publish.persistent,
            declare: publish.declare,
        }))
    };
    amqp(plan)?.steps.iter().map(one).collect()
}

async fn offer(shared: Rc<Shared>, bell: Arc<Bell>) -> std::io::Result<()> {
    let steps = amqp(&shared.plan).map(|amqp| amqp.steps.as_slice()).unwrap_or_default();
    let mut consumes = false;
    for (step, consume) in (0u16..).zip(steps).filter_map(|(step, planned)| Some((step, planned.consume.clone()?))) {
        consumes = true;
        tokio::task::spawn_local(consume::consume(Rc::clone(&shared), step, consume));
    }
    let ahead = Rc::clone(&shared);
    // Who needs the connection is told why there is none.
    tokio::task::spawn_local(async move { drop(ahead.publisher().await) });
    let launch = |flight, iteration| {
        tokio::task::spawn_local(fly(Rc::clone(&shared), flight, iteration));
    };
    shared.flights.offer(bell, || consumes && !shared.setup.tally.is_received(), launch).await
}

/// One iteration, to its end.
async fn fly(shared: Rc<Shared>, flight: u64, mut iteration: Iteration) {
    shared.flights.begun(flight, &mut iteration);
    loop {
        let published = match timeout(shared.timeout(), shared.publisher()).await {
            Ok(Ok(publisher)) => shared.publish(flight, &mut iteration, &publisher).await,
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(Trouble::target(FailureKind::Timeout, "no connection within the timeout")),
        };
        if let Err(trouble) = published {
            return shared.flights.failed(flight, iteration, trouble);
        }
        shared.setup.tally.confirmed.fetch_add(1, Ordering::Relaxed);
        match shared.flights.answered(flight, iteration, 0, true, monotonic_ns()) {
            Some(next) => iteration = next,
            None => return,
        }
        shared.flights.permit(flight, &mut iteration).await;
    }
}

impl Shared {
    fn timeout(&self) -> Duration {
        Duration::from_nanos(self.plan.timeout_ns)
    }

    /// The host of the thread's next connection.
    fn next_host(&self) -> usize {
        self.picker.borrow_mut().next_ahead()
    }

    async fn close(&self) {
        let state = self.state.replace(State::default());
        if let State::Up(publisher) = state {
            publisher.close().await;
        }
    }
}
