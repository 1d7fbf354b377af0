//! Steps over WebSocket: what a user opens, sends, waits for and closes.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, Request};
use nuncius_clock::monotonic_ns;
use nuncius_scenario::draw::Draws;
use nuncius_scenario::{Answer, Body};
use nuncius_schemas::metric::FailureKind;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::channels::Taking;
use super::counting::{add, parted};
use super::shared::Buffers;
use super::state::{Ready, Session, Stop};
use crate::failure::Failure;
use crate::http::outgoing::Outgoing;
use crate::in_flight::ExchangeId;
use crate::inbox::Incoming;
use crate::program::machine::Cursor;
use crate::program::message::{MessagePlan, WsDoes, WsPlan};
use crate::program::request::HttpAction;
use crate::program::taking::CheckPlan;
use crate::socket::{self, Limits, Opened, Socket};

/// Status of an answer that opens a WebSocket (RFC 9110, 15.2.2).
const SWITCHING_PROTOCOLS: u16 = 101;

impl Session<'_> {
    /// Does a step over WebSocket; when it ended.
    pub(super) async fn ws(
        &self,
        plan: &WsPlan,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        match &plan.does {
            WsDoes::Connect(request, offered) => {
                let mut buffers = self.shared.take_buffers();
                let offered = offered.as_deref();
                let opening = self.ws_connect(plan, (request, offered), (cursor, &mut draws), ready, &mut buffers);
                // Large, and seldom: not part of what every message takes.
                let opened = Box::pin(opening).await;
                self.shared.give_back(buffers);
                opened
            }
            WsDoes::Send(message, wait) => {
                let message = self.ws_message(message, cursor, &mut draws);
                let message = message.map_err(|failure| self.fail_at(plan.step, ready, failure))?;
                let length_bytes = message.len() as u64;
                let (exchange, sent_ns) = self.begin(plan.step, ready).await;
                let patience = Duration::from_nanos(plan.timeout_ns);
                let exchanged = {
                    // In its place: it is large, and would be copied once more.
                    let exchanging = pin!(async {
                        self.ws_write(plan.channel, message).await?;
                        self.in_flight().count_at(exchange, |recorder, place| recorder.written(place, length_bytes));
                        add(self.shared, self.iteration, self.shared.meters.ws.sent, 1);
                        match wait {
                            Some(wait) => self.ws_receive(plan.channel, wait, cursor, &mut draws).await.map(Some),
                            None => Ok(None),
                        }
                    });
                    timeout(patience, exchanging).await
                };
                let ended = exchanged.unwrap_or_else(|_| Err(too_late(wait.is_some())));
                self.ws_ended(plan, (exchange, sent_ns), ended, cursor, &mut draws)
            }
            WsDoes::Wait(wait) => {
                let exchange = self.open(plan.step, ready);
                let sent_ns = self.in_flight().sent(exchange);
                let patience = Duration::from_nanos(plan.timeout_ns);
                let received = timeout(patience, self.ws_receive(plan.channel, wait, cursor, &mut draws)).await;
                let ended = received.map_or_else(|_| Err(too_late(true)), |received| received.map(Some));
                self.ws_ended(plan, (exchange, sent_ns), ended, cursor, &mut draws)
            }
            WsDoes::Close(code) => {
                let (exchange, _) = self.begin(plan.step, ready).await;
                let patience = Duration::from_nanos(plan.timeout_ns);
                let closed = timeout(patience, self.ws_close(plan.channel, *code)).await;
                let closed = closed.unwrap_or_else(|_| {
                    Err(Failure::new(FailureKind::Timeout, "the peer has not closed within the timeout"))
                });
                if let Some(socket) = self.user.channels.take_socket(plan.channel) {
                    parted(self.shared, self.iteration, socket);
                }
                closed.map_err(|failure| self.end(exchange, plan.step, failure, monotonic_ns()))?;
                let now_ns = monotonic_ns();
                self.in_flight().succeeded(exchange, 0, now_ns);
                Ok(now_ns)
            }
        }
    }

    /// Opens a connection under a name. The step takes from the first packet to the answer.
    async fn ws_connect(
        &self,
        plan: &WsPlan,
        (request, offered): (&HttpAction, Option<&str>),
        (cursor, draws): (&mut Cursor, &mut Draws),
        ready: Ready,
        buffers: &mut Buffers,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        let (exchange, destination) = self.prepare(request, cursor, draws, ready, buffers).await?;
        let failed = |failure: Failure| self.end(exchange, step, failure, monotonic_ns());
        let number = self.shared.resolve(destination, FailureKind::Template).await.map_err(failed)?;
        let Some(target) = self.shared.target(number) else {
            return Err(failed(Failure::new(FailureKind::Resolve, "no such target")));
        };
        self.add_cookies(&target, &mut buffers.outgoing);
        let trace = self.in_flight().trace_of(exchange);
        let path = buffers.outgoing.path().to_owned();
        let upgrade = upgrade((&path, &buffers.outgoing), &target.authority, offered, trace.as_deref());
        let upgrade = upgrade.map_err(failed)?;
        let hosts = self.shared.hosts(number).unwrap_or_default();
        let Some(host) = hosts.get(hosts.spread.host(self.position)) else {
            return Err(failed(Failure::new(FailureKind::Resolve, "no address")));
        };
        if hosts.are_told() {
            self.in_flight().reaches(exchange, host.address);
        }
        self.permit(exchange).await;
        let sent_ns = self.in_flight().sent(exchange);
        let limits = Limits { message_max_bytes: self.program.body_max_bytes };
        let patience = Duration::from_nanos(plan.timeout_ns);
        // Large, and seldom: not part of what every session takes.
        let opening = Box::pin(socket::open(host, target.tls.as_ref(), upgrade, limits));
        let opened = match timeout(patience, opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let text = format!("{}: the upgrade was not answered within the timeout", host.address);
                Err((Failure::new(FailureKind::Timeout, text), None))
            }
        };
        let at_ns = monotonic_ns();
        let (socket, Opened { status, headers }) = match opened {
            Ok(opened) => opened,
            Err((failure, None)) => return Err(self.end(exchange, step, failure, at_ns)),
            Err((failure, Some(Opened { status, headers }))) => {
                self.keep_cookies_of(&target, buffers.outgoing.path(), &headers);
                return Err(self.refuse(exchange, step, (status, at_ns), failure));
            }
        };
        self.keep_cookies_of(&target, buffers.outgoing.path(), &headers);
        if let Some(before) = self.user.channels.put_socket(plan.channel, step, socket) {
            parted(self.shared, self.iteration, before);
        }
        if !plan.taking.is_nothing() {
            let jar = self.user.jar.borrow();
            let service_ns = at_ns.saturating_sub(sent_ns);
            let answer = Answer { status, headers: &headers, body: &Body::new(&[]), service_ns, jar: Some(&jar) };
            if let Err(failure) = self.take((step, &plan.taking), cursor, draws, &answer, true) {
                return Err(self.refuse(exchange, step, (status, at_ns), failure));
            }
        }
        self.in_flight().succeeded(exchange, SWITCHING_PROTOCOLS, at_ns);
        Ok(at_ns)
    }

    /// Makes a message.
    fn ws_message(&self, plan: &MessagePlan, cursor: &mut Cursor, draws: &mut Draws) -> Result<Message, Failure> {
        let template = |error: nuncius_scenario::TemplateError| Failure::new(FailureKind::Template, error.to_string());
        self.with_scope(cursor, |scope| match plan {
            MessagePlan::Text(text) => text.text(scope, draws).map(Message::text).map_err(template),
            MessagePlan::Json(json) => {
                let mut bytes = Vec::new();
                json.write_json(scope, draws, &mut bytes).map_err(template)?;
                Ok(Message::text(String::from_utf8(bytes).unwrap_or_default()))
            }
            MessagePlan::Binary(text) => {
                let text = text.text(scope, draws).map_err(template)?;
                let problem = || Failure::new(FailureKind::Template, "binary: what is to be sent is no base64");
                let bytes = nuncius_scenario::decode_base64(&text).ok_or_else(problem)?;
                Ok(Message::binary(Bytes::from(bytes)))
            }
        })
    }

    /// Writes a message on a connection.
    async fn ws_write(&self, channel: u16, message: Message) -> Result<(), Failure> {
        self.user.channels.with_socket(channel, |socket| socket.send(message)).unwrap_or_else(|| Err(not_open()))?;
        self.ws_until(channel, Socket::flush).await?
    }

    /// Waits until `ready` says so of a connection.
    async fn ws_until<T>(
        &self,
        channel: u16,
        mut ready: impl FnMut(&mut Socket, &mut Context<'_>) -> Poll<T> + Unpin,
    ) -> Result<T, Failure> {
        socket::until(|context| {
            let polled = self.user.channels.with_socket(channel, |socket| ready(socket, context));
            polled.map_or_else(|| Poll::Ready(Err(not_open())), |polled| polled.map(Ok))
        })
        .await
    }

    /// Waits for a message of which all of this holds; others are passed over.
    async fn ws_receive(
        &self,
        channel: u16,
        wait: &[CheckPlan],
        cursor: &mut Cursor,
        draws: &mut Draws,
    ) -> Result<Incoming, Failure> {
        let expect = |is_expected| self.user.channels.with_socket(channel, |socket| socket.inbox.expect(is_expected));
        let _taking = Taking::begin(expect);
        loop {
            let incoming = self
                .ws_until(channel, |socket, context| {
                    if let Some(incoming) = socket.inbox.next() {
                        return Poll::Ready(Ok(incoming));
                    }
                    socket.pump(context, self.program.body_max_bytes);
                    if let Some(incoming) = socket.inbox.next() {
                        return Poll::Ready(Ok(incoming));
                    }
                    if let Some(end) = socket.end() {
                        return Poll::Ready(Err(end.failure(socket.address)));
                    }
                    socket.inbox.wait(context);
                    Poll::Pending
                })
                .await??;
            if self.is_wanted(wait, (&incoming.bytes, &HeaderMap::new()), (cursor, draws))? {
                return Ok(incoming);
            }
        }
    }

    /// Closes a connection: says so, and waits until the peer has said so, too.
    async fn ws_close(&self, channel: u16, code: u16) -> Result<(), Failure> {
        let is_over = self.user.channels.with_socket(channel, |socket| match socket.end() {
            Some(end) => Err(end.failure(socket.address)),
            None => socket.say_close(code),
        });
        is_over.unwrap_or_else(|| Err(not_open()))?;
        self.ws_until(channel, |socket, context| {
            let _ = socket.flush(context);
            socket.pump(context, self.program.body_max_bytes);
            while socket.inbox.next().is_some() {}
            match socket.end() {
                Some(socket::End::Closed(_)) => Poll::Ready(Ok(())),
                Some(end @ socket::End::Broken(_)) => Poll::Ready(Err(end.failure(socket.address))),
                None => {
                    socket.inbox.wait(context);
                    Poll::Pending
                }
            }
        })
        .await?
    }

    /// What a step that has sent or waited came to.
    fn ws_ended(
        &self,
        plan: &WsPlan,
        (exchange, sent_ns): (ExchangeId, u64),
        ended: Result<Option<Incoming>, Failure>,
        cursor: &mut Cursor,
        draws: &mut Draws,
    ) -> Result<u64, Stop> {
        let incoming = ended.map_err(|failure| self.end(exchange, plan.step, failure, monotonic_ns()))?;
        // What came before it was waited for took no time.
        let at_ns = incoming.as_ref().map_or_else(monotonic_ns, |incoming| incoming.at_ns.max(sent_ns));
        if let Some(incoming) = incoming.filter(|_| !plan.taking.is_nothing()) {
            let service_ns = at_ns.saturating_sub(sent_ns);
            let message = (&*incoming.bytes, &HeaderMap::new(), service_ns);
            self.take_message((plan.step, &plan.taking), message, (cursor, draws))
                .map_err(|failure| self.refuse(exchange, plan.step, (0, at_ns), failure))?;
        }
        self.in_flight().succeeded(exchange, 0, at_ns);
        Ok(at_ns)
    }
}

fn not_open() -> Failure {
    Failure::new(FailureKind::Closed, "no connection of this name is open: the step that opens it comes before")
}

fn too_late(waits: bool) -> Failure {
    let text = if waits { "no such message within the timeout" } else { "the peer takes nothing within the timeout" };
    Failure::new(FailureKind::Timeout, text)
}

/// The request for an upgrade (RFC 6455, 4.1).
pub(super) fn upgrade(
    (path, outgoing): (&str, &Outgoing),
    authority: &str,
    offered: Option<&str>,
    trace: Option<&str>,
) -> Result<Request<()>, Failure> {
    let unmade = |what: &str| Failure::new(FailureKind::Template, format!("{what}: cannot be sent"));
    // The library asks for the scheme, and sends path and query alone.
    let uri = format!("ws://{authority}{path}");
    let mut request = Request::builder().uri(uri).body(()).map_err(|_| unmade("the path"))?;
    let headers = request.headers_mut();
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::try_from(name).map_err(|_| unmade("a header"))?;
        let value = HeaderValue::try_from(value).map_err(|_| unmade("a header"))?;
        headers.append(name, value);
        Ok::<(), Failure>(())
    };
    for (name, value) in outgoing.fields() {
        add(name, value)?;
    }
    let key = generate_key();
    let own = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    for (name, value) in own.into_iter().chain([("sec-websocket-key", key.as_str())]) {
        add(name, value)?;
    }
    if let Some(trace) = trace {
        add("traceparent", trace)?;
    }
    if let Some(offered) = offered {
        add(SEC_WEBSOCKET_PROTOCOL.as_str(), offered)?;
    }
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::try_from(authority).map_err(|_| unmade("the host"))?);
    }
    Ok(request)
}
