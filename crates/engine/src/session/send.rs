//! One request to a target and its answer, over whichever version of HTTP; once more where a server had closed the
//! connection without having seen it.

use std::time::Duration;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::spec::Connections;
use tokio::time::timeout;

use super::pool::Key;
use super::pool::http1::Http1Pool;
use super::pool::http2::Http2Pool;
use super::shared::{Buffers, Pool};
use super::state::Session;
use crate::failure::Failure;
use crate::host::Host;
use crate::http::client::{self, Answer, Client, Ending};
use crate::http::http2::{self, Http2};
use crate::http::received::Wanted;
use crate::in_flight::ExchangeId;
use crate::program::target::TargetPlan;

/// What is sent, beside the request itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) exchange: ExchangeId,
    /// The step that is sent by it; none where it only has to come before one.
    pub(super) step: Option<u16>,
    /// Number of the target, and the target.
    pub(super) target: (u32, &'a TargetPlan),
    pub(super) timeout_ns: u64,
    pub(super) wanted: Wanted,
}

impl Session<'_> {
    /// Sends the request in the buffers, and keeps of its answer what is wanted there. What waits for a connection is
    /// blocked: that has no timeout. Gives the instant at which the request that was answered was written.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn send(&self, sending: Sending<'_>, buffers: &mut Buffers) -> Result<u64, Failure> {
        let (number, _) = sending.target;
        let hosts = self.shared.hosts(number).unwrap_or_default();
        let host = hosts.spread.host(self.position);
        let host_number = u32::try_from(host).unwrap_or(u32::MAX);
        let owner = self.shared.owner(&self.user, self.program, number, host_number);
        let key = Key { target: number, host: host_number, owner };
        let Some(host) = hosts.get(host) else { return Err(Failure::new(FailureKind::Resolve, "no address")) };
        if sending.step.is_some() && hosts.are_told() {
            self.in_flight().reaches(sending.exchange, host.address);
        }
        let is_idempotent =
            matches!(buffers.outgoing.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        let trace = sending.step.and_then(|_| self.in_flight().trace_of(sending.exchange));
        let trace = trace.as_deref();
        let sent_ns = match &self.shared.pool {
            Pool::Http1(pool) => self.send_http1(sending, pool, (key, host), (is_idempotent, trace), buffers).await,
            Pool::Http2(pool) => self.send_http2(sending, pool, (key, host), (is_idempotent, trace), buffers).await,
        }?;
        buffers.received.decode(sending.wanted)?;
        Ok(sent_ns)
    }

    fn count_bytes(&self, step: Option<u16>, written_bytes: u64, read_bytes: u64) {
        let Some(step) = step else { return };
        self.in_flight().count(self.iteration, step, |recorder, place| {
            recorder.written(place, written_bytes);
            recorder.read(place, read_bytes);
        });
    }

    async fn send_http1(
        &self,
        sending: Sending<'_>,
        pool: &Http1Pool,
        (key, host): (Key, &Host),
        (is_idempotent, trace): (bool, Option<&str>),
        buffers: &mut Buffers,
    ) -> Result<u64, Failure> {
        let Sending { exchange, step, target: (_, target), timeout_ns, wanted } = sending;
        let patience = Duration::from_nanos(timeout_ns);
        let closes = self.program.connections == Connections::PerRequest;
        let is_head = buffers.outgoing.method() == "HEAD";
        let mut lease = pool.lease(key).await;
        let mut is_resent = false;
        loop {
            // Others at rest may have been closed together with the one that was: the second time is on a new one.
            let client = if !is_resent && lease.take(monotonic_ns()) {
                lease.client()
            } else {
                lease.opening();
                // Large, and seldom: not part of what every session takes.
                let opened = Box::pin(open(target, host, key.host as usize, patience)).await?;
                lease.opened(opened);
                lease.client()
            };
            let Some(client) = client else { return Err(Failure::new(FailureKind::Connect, "no connection")) };
            let sent_ns = if step.is_some() { self.in_flight().sent(exchange) } else { monotonic_ns() };
            buffers.received.clear();
            let Buffers { outgoing, received } = &mut *buffers;
            let request = outgoing.http1(&target.authority, closes, trace);
            let exchanged = client.exchange_parts(request, is_head, || {}, |part| received.take(part, wanted));
            let ended = timeout(patience, exchanged).await;
            let (address, is_reused) = (client.address, client.is_reused);
            let (written_bytes, read_bytes) = (client.written_bytes, client.read_bytes);
            self.count_bytes(step, written_bytes, read_bytes);
            match ended {
                Ok(Ok(Answer { keeps, .. })) => {
                    lease.answered(keeps && !closes && self.shared.is_used(key), monotonic_ns());
                    return Ok(sent_ns);
                }
                Ok(Err(ending)) => {
                    let is_unseen = matches!(ending, Ending::Unseen(_));
                    if is_reused && (is_unseen || matches!(ending, Ending::Cut(_))) {
                        lease.cut();
                    }
                    match ending {
                        // It was closed while it was idle, and our request met that on its way.
                        Ending::Unseen(_) | Ending::Cut(_) | Ending::Unanswered(_)
                            if is_reused && !is_resent && (is_unseen || is_idempotent) =>
                        {
                            is_resent = true;
                            self.in_flight().retry(exchange).await;
                        }
                        Ending::Unseen(failure)
                        | Ending::Cut(failure)
                        | Ending::Unanswered(failure)
                        | Ending::Failed(failure) => return Err(failure),
                    }
                }
                Err(_) => {
                    let text = format!("{address}: no complete answer within the timeout");
                    return Err(Failure::new(FailureKind::Timeout, text));
                }
            }
        }
    }

    async fn send_http2(
        &self,
        sending: Sending<'_>,
        pool: &Http2Pool,
        (key, host): (Key, &Host),
        (is_idempotent, trace): (bool, Option<&str>),
        buffers: &mut Buffers,
    ) -> Result<u64, Failure> {
        let Sending { exchange, step, target: (_, target), timeout_ns, wanted } = sending;
        let patience = Duration::from_nanos(timeout_ns);
        let mut is_resent = false;
        loop {
            let stream = pool.stream(key, || Box::pin(open_http2(target, host, patience))).await?;
            let sent_ns = if step.is_some() { self.in_flight().sent(exchange) } else { monotonic_ns() };
            buffers.received.clear();
            let Buffers { outgoing, received } = &mut *buffers;
            let request = outgoing
                .http2(target.scheme(), &target.authority, trace)
                .map_err(|error| Failure::new(FailureKind::Template, error.to_string()))?;
            let exchanged = Box::pin(stream.http2().exchange(request, wanted, received));
            let ended = timeout(patience, exchanged).await;
            let (written_bytes, read_bytes) = stream.http2().take_traffic();
            self.count_bytes(step, written_bytes, read_bytes);
            if self.program.connections == Connections::PerRequest || !self.shared.is_used(key) {
                stream.leave();
            }
            match ended {
                Ok(Ok(())) => return Ok(sent_ns),
                Ok(Err(ending)) => {
                    let is_unseen = matches!(ending, Ending::Unseen(_));
                    if stream.http2().is_leaving() {
                        // There is another, or there will be.
                        stream.leave();
                    }
                    match ending {
                        Ending::Unseen(_) | Ending::Cut(_) | Ending::Unanswered(_)
                            if !is_resent && (is_unseen || is_idempotent && stream.is_reused) =>
                        {
                            is_resent = true;
                            drop(stream);
                            self.in_flight().retry(exchange).await;
                        }
                        Ending::Unseen(failure)
                        | Ending::Cut(failure)
                        | Ending::Unanswered(failure)
                        | Ending::Failed(failure) => return Err(failure),
                    }
                }
                Err(_) => {
                    let address = stream.http2().address;
                    let text = format!("{address}: no complete answer within the timeout");
                    return Err(Failure::new(FailureKind::Timeout, text));
                }
            }
        }
    }
}

pub(super) async fn open(
    target: &TargetPlan,
    host: &Host,
    number: usize,
    patience: Duration,
) -> Result<Client, Failure> {
    match timeout(patience, client::connect(host, number, target.tls.as_ref())).await {
        Ok(opened) => opened,
        Err(_) => Err(no_connection(host)),
    }
}

pub(super) async fn open_http2(target: &TargetPlan, host: &Host, patience: Duration) -> Result<Http2, Failure> {
    match timeout(patience, http2::connect(host, target.tls.as_ref())).await {
        Ok(opened) => opened,
        Err(_) => Err(no_connection(host)),
    }
}

fn no_connection(host: &Host) -> Failure {
    Failure::new(FailureKind::Timeout, format!("connect {}: no answer within the timeout", host.address))
}
