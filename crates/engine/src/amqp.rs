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
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::types::ShortString;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::error::EngineError;
use crate::failure::Failure;
use crate::in_flight::{InFlight, Iteration};
use crate::pace::Pace;
use crate::plan::amqp::login;
use crate::plan::{Action, AmqpPlan, GroupPlan};
use crate::record::Recorder;
use crate::tls;
use crate::wake::Waker;

mod connection;
mod consume;
mod message;
mod publish;
mod shared;

pub(crate) use connection::{Access, failure_of, open};
pub(crate) use nuncius_amqp::{Link, describe, reply};
pub(crate) use publish::declare;
pub(crate) use shared::Setup;
use shared::{Publish, Shared, State, Tally};

/// How long a broker is given to take leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// Reads authorities and credentials once for a group.
pub(crate) fn setup(plan: &GroupPlan, amqp: &AmqpPlan) -> Result<Setup, EngineError> {
    let refused = |problem| EngineError::Tls { group: plan.group, problem };
    let tls = match amqp.secure {
        true => Some(tls::setup(amqp.tls.as_ref(), &amqp.server_name, None).map_err(refused)?),
        false => None,
    };
    let uri = login(amqp).map_err(refused)?;
    let access = Access::of((uri, Arc::clone(&plan.upstream), tls), plan.timeout_ns, &plan.name);
    Ok(Setup { access: Arc::new(access), tally: Arc::new(Tally::new()) })
}

/// Runs a thread's share to the end.
pub(crate) fn run(pace: Pace, recorder: Recorder, plan: Arc<GroupPlan>, setup: Setup, waker: Arc<Waker>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return pace.close_broken(recorder, "start a runtime", &error, monotonic_ns()),
    };
    let Some(publishes) = publishes(&plan) else {
        return pace.close_failed(recorder, "a name is longer than 255 bytes".to_owned(), monotonic_ns());
    };
    let shared = Rc::new(Shared {
        in_flight_max: pace.in_flight_max(),
        picker: RefCell::new(plan.picker(pace.first_shard())),
        in_flight: InFlight::new(pace, recorder),
        sequence: plan.sequence(),
        setup,
        run: format!("{:016x}", plan.run_key),
        publishes,
        plan,
        state: RefCell::new(State::default()),
        opened: Notify::new(),
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, offer(Rc::clone(&shared), waker));
    shared.in_flight.close(outcome);
    local.block_on(&runtime, async {
        let _ = tokio::time::timeout(GOODBYE, shared.close()).await;
    });
}

fn amqp(plan: &GroupPlan) -> Option<&AmqpPlan> {
    match &plan.action {
        Action::Amqp(amqp) => Some(amqp),
        Action::Http(_) | Action::Queue(_) | Action::Servo(_) | Action::Session(_) => None,
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

async fn offer(shared: Rc<Shared>, waker: Arc<Waker>) -> std::io::Result<()> {
    let steps = amqp(&shared.plan).map(|amqp| amqp.steps.as_slice()).unwrap_or_default();
    let mut consumes = false;
    for (step, consume) in (0u16..).zip(steps).filter_map(|(step, planned)| Some((step, planned.consume.clone()?))) {
        consumes = true;
        tokio::task::spawn_local(consume::consume(Rc::clone(&shared), step, consume));
    }
    let ahead = Rc::clone(&shared);
    // Who needs the connection is told why there is none.
    tokio::task::spawn_local(async move { drop(ahead.publisher().await) });
    let launch = |iteration| {
        tokio::task::spawn_local(run_iteration(Rc::clone(&shared), iteration));
    };
    shared.in_flight.offer(waker, || consumes && !shared.setup.tally.is_received(), launch).await
}

/// One iteration, to its end.
async fn run_iteration(shared: Rc<Shared>, iteration: Iteration) {
    let in_flight = &shared.in_flight;
    in_flight.begun(iteration);
    let (mut step, mut exchange) = (shared.plan.entry(), in_flight.enter(iteration));
    loop {
        let published = match timeout(shared.timeout(), shared.publisher()).await {
            Ok(Ok(publisher)) => shared.publish(iteration, (step, exchange), &publisher).await,
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::new(FailureKind::Timeout, "no connection within the timeout")),
        };
        if let Err(failure) = published {
            return in_flight.broken((iteration, exchange), failure);
        }
        shared.setup.tally.confirmed.fetch_add(1, Ordering::Relaxed);
        match in_flight.answered((iteration, exchange), &shared.sequence, 0, true, monotonic_ns()) {
            Some(next) => (step, exchange) = next,
            None => return,
        }
        in_flight.permit(exchange).await;
    }
}
