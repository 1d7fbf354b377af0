//! Events over HTTP/1.1: a POST on a connection that is kept open, of a pool that the servos of a thread share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::servo::ServoConnections;
use tokio::sync::Semaphore;

use super::order::{Order, Reply};
use crate::failure::Failure;
use crate::http::client::{Client, Ending, connect};
use crate::plan::{Followed, GroupPlan, Hosts, ServoPlan};

/// Most connections of a thread whose servos share them.
pub(super) const POOL_CONNECTIONS: usize = 64;
/// Longest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// The connections of a thread.
pub(super) struct Http {
    upstream: RefCell<Followed>,
    /// Events sent, which tells the host of the next one where servos share connections.
    events: Cell<u64>,
    permits: Semaphore,
    is_per_servo: bool,
    /// At rest, of each host; the one used last is used first.
    idle: RefCell<HashMap<usize, Vec<Client>>>,
    /// At rest, each of its servo.
    own: RefCell<HashMap<u32, Client>>,
    /// Everything of a head that is the same in all.
    prefix: String,
    fields: String,
}

impl Http {
    pub(super) fn new(plan: &ServoPlan, group: &GroupPlan, servos: usize) -> Self {
        let is_per_servo = plan.options.connections == ServoConnections::PerServo;
        let mut fields = String::new();
        for (name, value) in &plan.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        Self {
            upstream: RefCell::new(Followed::new(&group.upstream)),
            events: Cell::new(0),
            permits: Semaphore::new(if is_per_servo { servos.max(1) } else { POOL_CONNECTIONS }),
            is_per_servo,
            idle: RefCell::default(),
            own: RefCell::new(HashMap::new()),
            prefix: plan.path.clone(),
            fields,
        }
    }

    /// Writes an event and reads its answer: status and body. `sent` is told once all of it is written.
    pub(super) async fn exchange(&self, order: &Order, sent: impl Fn()) -> Result<Reply, Failure> {
        let closed = |problem: &str| Failure::new(FailureKind::Closed, problem);
        let _permit = self.permits.acquire().await.map_err(|_| closed("the pool of connections is closed"))?;
        let hosts = self.hosts();
        let host = self.host_of(&hosts, order.servo);
        let request = self.request(order);
        let mut retried = 0;
        loop {
            let mut connection = match self.take(order.servo, host) {
                Some(connection) => connection,
                None => open(&hosts, host).await?,
            };
            if order.drops {
                let written = connection.send(request.as_bytes()).await;
                written.map_err(|error| Failure::of_error(FailureKind::Closed, "write", &error))?;
                sent();
                return Err(closed("closed on purpose, before the answer"));
            }
            let mut body = Vec::new();
            let collect = |bytes: &[u8]| {
                let room = (ANSWER_MAX_BYTES + 1).saturating_sub(body.len()).min(bytes.len());
                body.extend_from_slice(bytes.get(..room).unwrap_or_default());
            };
            match connection.exchange(request.as_bytes(), false, &sent, collect).await {
                Ok(_) if body.len() > ANSWER_MAX_BYTES => {
                    let problem = format!("the answer has more than {ANSWER_MAX_BYTES} bytes");
                    return Err(Failure::Failed(FailureKind::Protocol, problem));
                }
                Ok(answer) => {
                    let (written_bytes, read_bytes) = (connection.written_bytes, connection.read_bytes);
                    if answer.keeps {
                        self.rest(order.servo, connection);
                    }
                    return Ok(Reply { status: answer.status, body, written_bytes, read_bytes, retried });
                }
                // An event is not the same twice: only what the service cannot have seen is sent again.
                Err(Ending::Unseen(_)) if connection.is_reused && retried == 0 => retried = 1,
                Err(
                    Ending::Unseen(failure)
                    | Ending::Cut(failure)
                    | Ending::Unanswered(failure)
                    | Ending::Failed(failure),
                ) => {
                    return Err(failure);
                }
            }
        }
    }

    /// What stands behind the target now. Connections at rest to a host that is out of the route are closed.
    fn hosts(&self) -> Arc<Hosts> {
        let mut upstream = self.upstream.borrow_mut();
        if upstream.look() {
            self.idle.borrow_mut().retain(|host, _| upstream.hosts().is_used(*host));
        }
        Arc::clone(upstream.hosts())
    }

    /// A servo with a connection of its own stays with its host as long as that is in the route; the events of the
    /// others are shared over all.
    fn host_of(&self, hosts: &Hosts, servo: u32) -> usize {
        if self.is_per_servo {
            return match self.own.borrow().get(&servo) {
                Some(own) if hosts.is_used(own.host) => own.host,
                Some(_) | None => hosts.spread.host(u64::from(servo)),
            };
        }
        let event = self.events.get();
        self.events.set(event.wrapping_add(1));
        hosts.spread.host(event)
    }

    fn take(&self, servo: u32, host: usize) -> Option<Client> {
        loop {
            let mut connection = match self.is_per_servo {
                true => self.own.borrow_mut().remove(&servo),
                false => self.idle.borrow_mut().get_mut(&host).and_then(Vec::pop),
            }?;
            if connection.host == host && connection.is_open(monotonic_ns()) {
                return Some(connection);
            }
        }
    }

    fn rest(&self, servo: u32, mut connection: Client) {
        connection.rest(monotonic_ns());
        if !self.hosts().is_used(connection.host) {
            return;
        }
        match self.is_per_servo {
            true => drop(self.own.borrow_mut().insert(servo, connection)),
            false => self.idle.borrow_mut().entry(connection.host).or_default().push(connection),
        }
    }

    fn request(&self, order: &Order) -> String {
        let trace = order.traceparent.as_ref().map_or(String::new(), |value| format!("traceparent: {value}\r\n"));
        format!(
            "POST {}{}/servo HTTP/1.1\r\n{}{trace}Content-Length: {}\r\n\r\n{}",
            self.prefix,
            order.app,
            self.fields,
            order.body.len(),
            order.body
        )
    }
}

async fn open(hosts: &Hosts, index: usize) -> Result<Client, Failure> {
    let Some(host) = hosts.get(index) else { return Err(Failure::new(FailureKind::Resolve, "no address")) };
    connect(host, index, None).await
}
