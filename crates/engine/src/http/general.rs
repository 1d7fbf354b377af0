//! The general engine: HTTP/1.1 on tokio, with TLS by rustls. Slower than the plain engine, the same in what it counts
//! and in how it reads answers.
//!
//! One thread with a runtime of its own: a task that takes what is due, and one task for each iteration under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncius_schemas::metric::FailureKind;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::clock::monotonic_ns;
use crate::dispatch::{Dispatcher, Iteration};
use crate::flights::Flights;
use crate::http::client::{Answer, Client, Ending, connect};
use crate::http::reuse::Reuse;
use crate::plan::{Action, GroupPlan, HttpPlan, Picker, TRACEPARENT_BYTES};
use crate::tls::Tls;
use crate::trouble::Trouble;
use crate::wake::Bell;

pub(crate) mod timer;

/// What the tasks of a thread share.
struct Shared {
    flights: Flights,
    plan: Arc<GroupPlan>,
    tls: Option<Tls>,
    picker: RefCell<Picker>,
    /// Of each host; the one used last is used first.
    idle: RefCell<Vec<Vec<Client>>>,
    idle_max: usize,
    /// Of each host.
    reuse: RefCell<Vec<Reuse>>,
}

/// Runs a thread's share to the end.
pub(crate) fn run(dispatcher: Dispatcher, plan: Arc<GroupPlan>, tls: Option<Tls>, bell: Arc<Bell>, ahead: usize) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return dispatcher.close_unstarted("start a runtime", &error),
    };
    let shared = Rc::new(Shared {
        idle_max: dispatcher.in_flight_max(),
        picker: RefCell::new(Picker::new(&plan, dispatcher.first_shard())),
        flights: Flights::new(dispatcher),
        tls,
        idle: RefCell::new(plan.hosts.iter().map(|_| Vec::new()).collect()),
        reuse: RefCell::new(vec![Reuse::default(); plan.hosts.len()]),
        plan,
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, offer(Rc::clone(&shared), bell, ahead));
    shared.flights.close(outcome);
}

fn http(plan: &GroupPlan) -> Option<&HttpPlan> {
    match &plan.action {
        Action::Http(http) => Some(http),
        Action::Amqp(_) | Action::Queue(_) | Action::Servo(_) => None,
    }
}

async fn offer(shared: Rc<Shared>, bell: Arc<Bell>, ahead: usize) -> std::io::Result<()> {
    for _ in 0..ahead {
        let host = shared.picker.borrow_mut().next_ahead();
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            if let Ok(client) = shared.open(host).await {
                shared.rest(client);
            }
        });
    }
    let launch = |flight, iteration| {
        tokio::task::spawn_local(fly(Rc::clone(&shared), flight, iteration));
    };
    shared.flights.offer(bell, || false, launch).await
}

/// One iteration, to its end.
async fn fly(shared: Rc<Shared>, flight: u64, mut iteration: Iteration) {
    shared.flights.begun(flight, &mut iteration);
    let host = shared.picker.borrow_mut().pick(iteration.index);
    let mut client = shared.take_idle(host);
    loop {
        let mut open = match client.take() {
            Some(client) => client,
            None => match shared.open(host).await {
                Ok(client) => client,
                Err(trouble) => return shared.flights.failed(flight, iteration, trouble),
            },
        };
        let result = shared.exchange(flight, &mut iteration, &mut open).await;
        let now_ns = monotonic_ns();
        let Some(request) = http(&shared.plan).and_then(|http| http.requests.get(usize::from(iteration.step))) else {
            return;
        };
        match result {
            Ok(Answer { status, keeps }) => {
                let keeps = shared.keeps(&open, keeps);
                let expected = request.expected.contains(status);
                let next = shared.flights.answered(flight, iteration, status, expected, now_ns);
                match next {
                    Some(next) => {
                        iteration = next;
                        client = keeps.then_some(open);
                        shared.flights.permit(flight, &mut iteration).await;
                    }
                    None => {
                        if keeps {
                            shared.rest(open);
                        }
                        return;
                    }
                }
            }
            Err(ending) => {
                let is_unseen = matches!(ending, Ending::Unseen(_));
                if open.is_reused && (is_unseen || matches!(ending, Ending::Cut(_))) {
                    shared.cut(&open);
                }
                let trouble = match ending {
                    Ending::Unseen(trouble) | Ending::Cut(trouble) | Ending::Unanswered(trouble) => {
                        // It was closed while it was idle, and our request met that on its way.
                        if open.is_reused && !iteration.is_resent && (is_unseen || request.idempotent) {
                            shared.flights.retried(flight, &mut iteration).await;
                            continue;
                        }
                        trouble
                    }
                    Ending::Failed(trouble) => trouble,
                };
                return shared.flights.failed(flight, iteration, trouble);
            }
        }
    }
}

impl Shared {
    fn timeout(&self) -> Duration {
        Duration::from_nanos(self.plan.timeout_ns)
    }

    fn is_per_request(&self) -> bool {
        http(&self.plan).is_some_and(|http| http.per_request)
    }

    /// Whether the connection that has just given an answer may have another request.
    fn keeps(&self, client: &Client, keeps: bool) -> bool {
        let mut reuse = self.reuse.borrow_mut();
        let Some(reuse) = reuse.get_mut(client.host) else { return false };
        reuse.answered(client.served);
        keeps && !self.is_per_request() && reuse.allows(client.served)
    }

    /// The connection was cut under a request, after it had given answers.
    fn cut(&self, client: &Client) {
        if let Some(reuse) = self.reuse.borrow_mut().get_mut(client.host) {
            reuse.cut(client.served);
        }
    }

    fn take_idle(&self, host: usize) -> Option<Client> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(host)?;
        let now_ns = monotonic_ns();
        while let Some(mut client) = idle.pop() {
            if client.is_open(now_ns) {
                return Some(client);
            }
        }
        None
    }

    fn rest(&self, mut client: Client) {
        client.rest(monotonic_ns());
        let mut idle = self.idle.borrow_mut();
        if let Some(idle) = idle.get_mut(client.host).filter(|idle| idle.len() < self.idle_max) {
            idle.push(client);
        }
    }

    async fn open(&self, host: usize) -> Result<Client, Trouble> {
        let target = self.plan.hosts.get(host);
        let Some(target) = target else { return Err(Trouble::target(FailureKind::Resolve, "no address")) };
        match timeout(self.timeout(), connect(target, host, self.tls.as_ref())).await {
            Ok(result) => result,
            Err(_) => {
                let sample = format!("connect {}: no answer within the timeout", target.address);
                Err(Trouble::Target(FailureKind::Timeout, sample))
            }
        }
    }

    /// Sends the step's request and reads its answer.
    async fn exchange(&self, flight: u64, iteration: &mut Iteration, client: &mut Client) -> Result<Answer, Ending> {
        let planned = http(&self.plan).and_then(|http| http.requests.get(usize::from(iteration.step)));
        let Some(planned) = planned else {
            return Err(Ending::Failed(Trouble::target(FailureKind::Protocol, "no such step")));
        };
        let sampled = self.flights.trace_of(iteration).map(|value| {
            let mut request = planned.sampled.clone();
            if let Some(room) = request.get_mut(planned.trace_at..planned.trace_at + TRACEPARENT_BYTES) {
                room.copy_from_slice(value.as_bytes());
            }
            request
        });
        if let Some(dispatcher) = self.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.sent(iteration, monotonic_ns());
        }
        self.flights.note(flight, *iteration);
        let request = sampled.as_deref().unwrap_or(&planned.plain);
        let answered = timeout(self.timeout(), client.exchange(request, planned.is_head, || {}, |_| {})).await;
        if let Some(dispatcher) = self.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.written(iteration.step, client.written_bytes);
            dispatcher.read(iteration.step, client.read_bytes);
        }
        answered.unwrap_or_else(|_| {
            let sample = format!("{}: no complete answer within the timeout", client.address);
            Err(Ending::Failed(Trouble::Target(FailureKind::Timeout, sample)))
        })
    }
}
