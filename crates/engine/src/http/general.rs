//! The general engine: HTTP/1.1 by hyper on tokio, with TLS by rustls. Slower than the plain engine by a third or more, the same in
//! what it counts; it allocates for each request.
//!
//! One thread with a runtime of its own: a task that takes what is due, and one task for each iteration under way.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::http::request;
use hyper::http::{HeaderName, HeaderValue, Method, Uri};
use hyper::{Request, Response, body::Incoming};
use nuncius_schemas::metric::FailureKind;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::clock::monotonic_ns;
use crate::dispatch::{Dispatcher, Iteration};
use crate::flights::Flights;
use crate::plan::{Action, GroupPlan, HttpPlan, Picker, RequestPlan};
use crate::trouble::Trouble;
use crate::wake::Bell;

mod stream;
pub(crate) mod timer;

pub(crate) use stream::{Tls, tls_config};

use stream::{Client, connect};

/// What the tasks of a thread share.
struct Shared {
    flights: Flights,
    plan: Arc<GroupPlan>,
    templates: Vec<request::Parts>,
    tls: Option<Tls>,
    picker: RefCell<Picker>,
    /// Of each host; the one used last is used first.
    idle: RefCell<Vec<Vec<Client>>>,
    idle_max: usize,
}

/// Runs a thread's share to the end.
pub(crate) fn run(dispatcher: Dispatcher, plan: Arc<GroupPlan>, tls: Option<Tls>, bell: Arc<Bell>, ahead: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, templates) = match (runtime, templates(&plan)) {
        (Ok(runtime), Ok(templates)) => (runtime, templates),
        (Err(error), _) => return dispatcher.close_failed(format!("cannot start a runtime: {error}"), monotonic_ns()),
        (_, Err(error)) => return dispatcher.close_failed(format!("a request is not HTTP: {error}"), monotonic_ns()),
    };
    let shared = Rc::new(Shared {
        idle_max: dispatcher.in_flight_max(),
        picker: RefCell::new(Picker::new(&plan, dispatcher.first_shard())),
        flights: Flights::new(dispatcher),
        templates,
        tls,
        idle: RefCell::new(plan.hosts.iter().map(|_| Vec::new()).collect()),
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

/// The heads of the group's requests.
fn templates(plan: &GroupPlan) -> Result<Vec<request::Parts>, hyper::http::Error> {
    let requests: &[RequestPlan] = http(plan).map(|http| http.requests.as_slice()).unwrap_or_default();
    requests
        .iter()
        .map(|planned| {
            let mut head = Request::new(()).into_parts().0;
            head.method = Method::from_bytes(planned.method.as_bytes())?;
            head.uri = Uri::try_from(planned.path.as_str())?;
            for (name, value) in &planned.headers {
                head.headers
                    .append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value.as_bytes())?);
            }
            if planned.has_body {
                head.headers.insert("content-length", HeaderValue::from(planned.body.len()));
            }
            Ok(head)
        })
        .collect()
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

/// How a request ended without an answer.
enum Ending {
    /// None of it reached the peer.
    Unsent,
    /// The connection ended before any of the answer came.
    Unanswered(Trouble),
    Failed(Trouble),
}

/// One iteration, to its end.
async fn fly(shared: Rc<Shared>, flight: u64, mut iteration: Iteration) {
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
            Ok((status, keeps)) => {
                let expected = request.expected.contains(status);
                let next = shared.flights.answered(flight, iteration, status, expected, now_ns);
                open.is_reused = true;
                client = keeps.then_some(open);
                match next {
                    Some(next) => iteration = next,
                    None => {
                        if let Some(client) = client {
                            shared.rest(client);
                        }
                        return;
                    }
                }
            }
            Err(Ending::Unsent) if open.is_reused && !iteration.is_resent => shared.flights.retried(&mut iteration),
            Err(Ending::Unanswered(_)) if open.is_reused && !iteration.is_resent && request.idempotent => {
                shared.flights.retried(&mut iteration);
            }
            Err(Ending::Unsent) => {
                let sample = "the connection was closed before the request was written";
                return shared.flights.failed(flight, iteration, Trouble::target(FailureKind::Closed, sample));
            }
            Err(Ending::Unanswered(trouble) | Ending::Failed(trouble)) => {
                return shared.flights.failed(flight, iteration, trouble);
            }
        }
    }
}

impl Shared {
    fn timeout(&self) -> Duration {
        Duration::from_nanos(self.plan.timeout_ns)
    }

    fn take_idle(&self, host: usize) -> Option<Client> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(host)?;
        while let Some(client) = idle.pop() {
            if !client.sender.is_closed() {
                return Some(client);
            }
        }
        None
    }

    fn rest(&self, client: Client) {
        let mut idle = self.idle.borrow_mut();
        if let Some(idle) = idle.get_mut(client.host).filter(|idle| idle.len() < self.idle_max) {
            idle.push(Client { is_reused: true, ..client });
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

    /// Sends the step's request and reads its answer. Returns the status, and whether the connection may be used again.
    async fn exchange(
        &self,
        flight: u64,
        iteration: &mut Iteration,
        client: &mut Client,
    ) -> Result<(u16, bool), Ending> {
        let address = self.plan.hosts.get(client.host).map(|host| host.address.to_string()).unwrap_or_default();
        if client.sender.ready().await.is_err() {
            return Err(Ending::Unsent);
        }
        let request = self.request(iteration).ok_or(Ending::Unsent)?;
        if let Some(dispatcher) = self.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.sent(iteration, monotonic_ns());
        }
        self.flights.note(flight, *iteration);
        let before = client.traffic.get();
        let answer = async {
            let response = client.sender.send_request(request).await?;
            let head = (response.status().as_u16(), keeps_alive(&response));
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, hyper::Error>(head)
        };
        let answered = timeout(self.timeout(), answer).await;
        let after = client.traffic.get();
        if let Some(dispatcher) = self.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.written(iteration.step, after.written - before.written);
            dispatcher.read(iteration.step, after.read - before.read);
        }
        let failed = |kind, sample| Err(Ending::Failed(Trouble::Target(kind, sample)));
        match answered {
            Ok(Ok((101, _))) => {
                let problem = "the peer wants to switch protocols, which was not asked for";
                failed(FailureKind::Protocol, format!("{address}: {problem}"))
            }
            Ok(Ok(head)) => Ok(head),
            Ok(Err(error)) if error.is_canceled() => Err(Ending::Unsent),
            Ok(Err(error)) if is_protocol(&error) => failed(FailureKind::Protocol, format!("{address}: {error}")),
            Ok(Err(error)) => {
                let cause = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
                let trouble = match cause {
                    Some(cause) => Trouble::of_error(FailureKind::Closed, &address, cause),
                    None => Trouble::Target(FailureKind::Closed, format!("{address}: {error}")),
                };
                match trouble {
                    Trouble::Target(FailureKind::Closed, _) if after.read == before.read => {
                        Err(Ending::Unanswered(trouble))
                    }
                    Trouble::Target(..) | Trouble::Generator(_) => Err(Ending::Failed(trouble)),
                }
            }
            Err(_) => failed(FailureKind::Timeout, format!("{address}: no complete answer within the timeout")),
        }
    }

    fn request(&self, iteration: &Iteration) -> Option<Request<Full<Bytes>>> {
        let step = usize::from(iteration.step);
        let planned = http(&self.plan)?.requests.get(step)?;
        let mut head = self.templates.get(step)?.clone();
        if iteration.is_sampled {
            let value = HeaderValue::try_from(self.flights.trace_of(iteration)?).ok()?;
            head.headers.insert("traceparent", value);
        }
        Some(Request::from_parts(head, Full::new(planned.body.clone())))
    }
}

/// Whether the peer keeps the connection open, as far as it says; hyper knows the rest.
fn keeps_alive(response: &Response<Incoming>) -> bool {
    !response.headers().get_all("connection").iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// Whether what came is not HTTP, rather than not all of it.
fn is_protocol(error: &hyper::Error) -> bool {
    if error.is_parse() || error.is_parse_too_large() {
        return true;
    }
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    source
        .is_some_and(|error| matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData))
}
