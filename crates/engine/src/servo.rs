//! Servos: thousands of emulated clients of the OCO servo protocol on one thread, each in its cycle of measurements and
//! adjustments.
//!
//! Every event is a step: *lag* is how late the loop took it after its planned instant (or after the answer it had to
//! wait for), *blocked* the wait from then to its being written, for a connection or for that answer, *service* done
//! − sent and *response* done − planned. A completed cycle is an `iteration` that succeeded, one that an error or a
//! crash broke has failed, and one that the end interrupted is censored. The last report says how many servos completed
//! how many cycles.
//!
//! At the end of the time every servo that the service may know says goodbye; the answer it waits for comes first.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_load::closed::users_of;
use tokio::task::LocalSet;

use crate::book::Book;
use crate::clock::monotonic_ns;
use crate::control::Control;
use crate::dispatch::Share;
use crate::plan::{Action, GroupPlan, ServoPlan};
use crate::run::EngineOptions;
use crate::sink::{EngineMessage, FinishReason};
use crate::wake::Bell;

mod body;
mod draw;
mod driver;
mod http;
mod ledger;
mod nats;
mod script;
mod transport;

use driver::{Driver, Limits};
use http::Http;
use ledger::Ledger;
use nats::Nats;
use script::Rules;
use transport::Transport;

/// How long a connection to NATS may take to be made, and to take leave.
const CONNECT: Duration = Duration::from_secs(10);
const LEAVE: Duration = Duration::from_millis(500);

/// Runs a thread's share to the end.
pub(crate) fn run(
    plan: &GroupPlan,
    share: Share,
    options: EngineOptions,
    (control, sink): (Arc<Control>, SyncSender<EngineMessage>),
    bus: Option<&Bus>,
    bell: &Bell,
) {
    let book = Book::new(plan.group, share.thread, plan.recorders(), options.trace_slowest, sink);
    let fail = |book: Book, reason: String| book.close(monotonic_ns(), FinishReason::Failed(reason), 0);
    let Action::Servo(servo) = &plan.action else { return fail(book, "the group has no servos".to_owned()) };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return book.close_unstarted("start a runtime", &error),
    };
    let numbers: Vec<u32> = users_of(&share.shards, servo.users).collect();
    let local = LocalSet::new();
    let timeout = Duration::from_nanos(plan.timeout_ns);
    let transport = match local.block_on(&runtime, open(plan, servo, bus, numbers.len())) {
        Ok(transport) => transport,
        Err(reason) => return fail(book, reason),
    };
    let ledger = Ledger::new(book, plan.group, plan.run_key, plan.trace_id, options);
    let rules = Rules { seed: options.seed, group: u32::from(plan.group), options: servo.options.clone() };
    let limits = Limits { timeout, joins_at_ns: plan.joins_at_ns, options };
    let mut driver = Driver::new(servo, rules, numbers, ledger, transport, control, limits);
    let outcome = local.block_on(&runtime, driver.drive(bell));
    local.block_on(&runtime, driver.leave_bus(LEAVE));
    // Tasks of censored events go with the set.
    drop(local);
    driver.close(outcome);
}

async fn open(plan: &GroupPlan, servo: &ServoPlan, bus: Option<&Bus>, servos: usize) -> Result<Transport, String> {
    if !servo.is_bus {
        return Ok(Transport::Http(Box::new(Http::new(servo, plan, servos))));
    }
    let Some(bus) = bus else { return Err("servos over the bus need a connection to NATS".to_owned()) };
    let name = format!("load {}", plan.name);
    match tokio::time::timeout(CONNECT, bus.another(&name)).await {
        Ok(Ok(own)) => {
            Ok(Transport::Nats(Nats::new(own, &servo.options.account, Duration::from_nanos(plan.timeout_ns))))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection to NATS within {CONNECT:?}")),
    }
}
