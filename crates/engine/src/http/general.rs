//! The general engine: HTTP/1.1 on tokio, with TLS by rustls. Slower than the plain engine, the same in what it counts
//! and in how it reads answers.
//!
//! One thread with a runtime of its own: a task that takes what is due, and one task for each iteration under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::http::client::{Answer, Client, Ending, connect};
use crate::http::reuse::Reuse;
use crate::in_flight::{ExchangeId, InFlight, Iteration};
use crate::pace::Pace;
use crate::plan::{Action, Followed, GroupPlan, HttpPlan, Picker, RequestPlan, TRACEPARENT_BYTES};
use crate::record::Recorder;
use crate::sequence::Sequence;
use crate::tls::Tls;
use crate::wake::Waker;

/// What the tasks of a thread share.
struct Shared {
    in_flight: InFlight,
    sequence: Sequence,
    plan: Arc<GroupPlan>,
    tls: Option<Tls>,
    picker: RefCell<Picker>,
    upstream: RefCell<Followed>,
    /// Of each host; the one used last is used first.
    idle: RefCell<Vec<Vec<Client>>>,
    idle_max: usize,
    /// Of each host.
    reuse: RefCell<Vec<Reuse>>,
}

/// Runs a thread's share to the end.
pub(crate) fn run(
    pace: Pace,
    recorder: Recorder,
    plan: Arc<GroupPlan>,
    tls: Option<Tls>,
    waker: Arc<Waker>,
    ahead: usize,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return pace.close_broken(recorder, "start a runtime", &error, monotonic_ns()),
    };
    let upstream = Followed::new(&plan.upstream);
    let hosts = upstream.hosts().len();
    let shared = Rc::new(Shared {
        idle_max: pace.in_flight_max(),
        picker: RefCell::new(plan.picker(pace.first_shard())),
        in_flight: InFlight::new(pace, recorder),
        sequence: plan.sequence(),
        tls,
        idle: RefCell::new((0..hosts).map(|_| Vec::new()).collect()),
        reuse: RefCell::new(vec![Reuse::default(); hosts]),
        upstream: RefCell::new(upstream),
        plan,
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, offer(Rc::clone(&shared), waker, ahead));
    shared.in_flight.close(outcome);
}

fn http(plan: &GroupPlan) -> Option<&HttpPlan> {
    match &plan.action {
        Action::Http(http) => Some(http),
        Action::Amqp(_) | Action::Queue(_) | Action::Servo(_) | Action::Session(_) => None,
    }
}

async fn offer(shared: Rc<Shared>, waker: Arc<Waker>, ahead: usize) -> std::io::Result<()> {
    for _ in 0..ahead {
        let host = shared.picker.borrow_mut().next_ahead();
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            if let Ok(client) = shared.open(host).await {
                shared.rest(client);
            }
        });
    }
    let launch = |iteration| {
        tokio::task::spawn_local(run_iteration(Rc::clone(&shared), iteration));
    };
    shared.in_flight.offer(waker, || false, launch).await
}

/// One iteration, to its end.
async fn run_iteration(shared: Rc<Shared>, iteration: Iteration) {
    let in_flight = &shared.in_flight;
    in_flight.begun(iteration);
    shared.follow_route();
    let host = shared.picker.borrow_mut().pick(iteration.index);
    let mut client = shared.take_idle(host);
    let (mut step, mut exchange) = (shared.plan.entry(), in_flight.enter(iteration));
    let mut is_resent = false;
    loop {
        let Some(request) = http(&shared.plan).and_then(|http| http.requests.get(usize::from(step))) else {
            let failure = Failure::new(FailureKind::Protocol, "no such step");
            return in_flight.broken((iteration, exchange), failure);
        };
        shared.reaches(exchange, host);
        let mut open = match client.take() {
            Some(client) => client,
            None => match shared.open(host).await {
                Ok(client) => client,
                Err(failure) => return in_flight.broken((iteration, exchange), failure),
            },
        };
        let result = shared.exchange(exchange, request, &mut open).await;
        let now_ns = monotonic_ns();
        match result {
            Ok(Answer { status, keeps }) => {
                let keeps = shared.keeps(&open, keeps);
                let expected = request.expected.contains(status);
                let next = in_flight.answered((iteration, exchange), &shared.sequence, status, expected, now_ns);
                match next {
                    Some(next) => {
                        (step, exchange) = next;
                        is_resent = false;
                        client = keeps.then_some(open);
                        in_flight.permit(exchange).await;
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
                let failure = match ending {
                    Ending::Unseen(failure) | Ending::Cut(failure) | Ending::Unanswered(failure) => {
                        // It was closed while it was idle, and our request met that on its way.
                        if open.is_reused && !is_resent && (is_unseen || request.idempotent) {
                            is_resent = true;
                            in_flight.retry(exchange).await;
                            continue;
                        }
                        failure
                    }
                    Ending::Failed(failure) => failure,
                };
                return in_flight.broken((iteration, exchange), failure);
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

    /// Goes by what stands behind the target now. Connections to a host that is out of the route are closed.
    fn follow_route(&self) {
        let mut upstream = self.upstream.borrow_mut();
        if !upstream.look() {
            return;
        }
        let hosts = upstream.hosts();
        self.picker.borrow_mut().follow(&hosts.spread);
        self.reuse.borrow_mut().resize(hosts.len(), Reuse::default());
        let mut idle = self.idle.borrow_mut();
        idle.resize_with(hosts.len(), Vec::new);
        idle.iter_mut().enumerate().filter(|(index, _)| !hosts.is_used(*index)).for_each(|(_, idle)| idle.clear());
    }

    /// Tells which host an exchange goes to, where hosts are told apart.
    fn reaches(&self, exchange: ExchangeId, host: usize) {
        let upstream = self.upstream.borrow();
        if upstream.hosts().are_told()
            && let Some(host) = upstream.hosts().get(host)
        {
            self.in_flight.reaches(exchange, host.address);
        }
    }

    fn rest(&self, mut client: Client) {
        if !self.upstream.borrow().hosts().is_used(client.host) {
            return;
        }
        client.rest(monotonic_ns());
        let mut idle = self.idle.borrow_mut();
        if let Some(idle) = idle.get_mut(client.host).filter(|idle| idle.len() < self.idle_max) {
            idle.push(client);
        }
    }

    async fn open(&self, host: usize) -> Result<Client, Failure> {
        let target = self.upstream.borrow().hosts().get(host).cloned();
        let Some(target) = target else { return Err(Failure::new(FailureKind::Resolve, "no address")) };
        match timeout(self.timeout(), connect(&target, host, self.tls.as_ref())).await {
            Ok(result) => result,
            Err(_) => {
                let sample = format!("connect {}: no answer within the timeout", target.address);
                Err(Failure::Failed(FailureKind::Timeout, sample))
            }
        }
    }

    /// Sends the step's request and reads its answer.
    async fn exchange(
        &self,
        exchange: ExchangeId,
        request: &RequestPlan,
        client: &mut Client,
    ) -> Result<Answer, Ending> {
        let sampled = self.in_flight.trace_of(exchange).map(|value| {
            let mut sampled = request.sampled.clone();
            if let Some(room) = sampled.get_mut(request.trace_at..request.trace_at + TRACEPARENT_BYTES) {
                room.copy_from_slice(value.as_bytes());
            }
            sampled
        });
        self.in_flight.sent(exchange);
        let bytes = sampled.as_deref().unwrap_or(&request.plain);
        let answered = timeout(self.timeout(), client.exchange(bytes, request.is_head, || {}, |_| {})).await;
        self.in_flight.count_at(exchange, |recorder, place| {
            recorder.written(place, client.written_bytes);
            recorder.read(place, client.read_bytes);
        });
        answered.unwrap_or_else(|_| {
            let sample = format!("{}: no complete answer within the timeout", client.address);
            Err(Ending::Failed(Failure::Failed(FailureKind::Timeout, sample)))
        })
    }
}
