//! Steps over Socket.IO: what a user connects, emits and waits for.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use nuncius_clock::monotonic_ns;
use nuncius_scenario::draw::Draws;
use nuncius_schemas::flow::SocketIoTransport;
use nuncius_schemas::metric::FailureKind;
use nuncius_socketio::engine_io::session_query;
use nuncius_socketio::socket_io::{Arguments, Connect};
use nuncius_socketio::{Transport, Version};
use serde_json::Value;
use tokio::time::timeout;

use super::channels::{Gone, Taking};
use super::counting::{self, add};
use super::shared::Buffers;
use super::state::{Ready, Session, Stop};
use super::ws::upgrade;
use crate::failure::Failure;
use crate::in_flight::ExchangeId;
use crate::program::machine::Cursor;
use crate::program::socketio::{ArgumentPlan, ConnectPlan, EventPlan, SocketIoDoes, SocketIoPlan, Waits};
use crate::program::target::TargetPlan;
use crate::socket::{self, Limits};
use crate::socketio::{Carrier, Event, Polling, Route, SocketIo};

/// What is to be emitted.
struct Emission {
    event: String,
    arguments: Arguments,
    length_bytes: u64,
}

impl Session<'_> {
    /// Does a step over Socket.IO; when it ended.
    pub(super) async fn socketio(
        &self,
        plan: &SocketIoPlan,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        match &plan.does {
            SocketIoDoes::Connect(connect) => {
                let mut buffers = self.shared.take_buffers();
                let connected = self.io_connect(plan, connect, (cursor, &mut draws), ready, &mut buffers).await;
                self.shared.give_back(buffers);
                connected
            }
            SocketIoDoes::Emit { event, arguments, waits } => {
                let made = self.made(event, cursor, &mut draws).and_then(|event| {
                    let (arguments, length_bytes) = self.io_arguments(arguments, cursor, &mut draws)?;
                    Ok(Emission { event, arguments, length_bytes })
                });
                let emission = made.map_err(|failure| self.fail_at(step, ready, failure))?;
                let (exchange, sent_ns) = self.begin(step, ready).await;
                let ended = self.io_emit(plan, emission, waits, (cursor, &mut draws), exchange).await;
                self.io_ended(plan, (exchange, sent_ns), ended, (cursor, &mut draws))
            }
            SocketIoDoes::Wait(event) => {
                let exchange = self.open(step, ready);
                let sent_ns = self.in_flight().sent(exchange);
                let receiving = self.io_receive(plan, event, (cursor, &mut draws));
                let received = timeout(Duration::from_nanos(plan.timeout_ns), receiving).await;
                let ended = received.unwrap_or_else(|_| Err(too_late("no such event within the timeout")));
                self.io_ended(plan, (exchange, sent_ns), ended.map(Some), (cursor, &mut draws))
            }
            SocketIoDoes::Disconnect => {
                let (exchange, sent_ns) = self.begin(step, ready).await;
                let leaving = self.io_disconnect(plan);
                let left = timeout(Duration::from_nanos(plan.timeout_ns), leaving).await;
                let left = left.unwrap_or_else(|_| Err(too_late("the server takes nothing within the timeout")));
                self.io_ended(plan, (exchange, sent_ns), left.map(|()| None), (cursor, &mut draws))
            }
        }
    }

    /// Opens a connection under a name, unless it is there, and joins a namespace of it.
    async fn io_connect(
        &self,
        plan: &SocketIoPlan,
        connect: &ConnectPlan,
        (cursor, draws): (&mut Cursor, &mut Draws),
        ready: Ready,
        buffers: &mut Buffers,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        let auth = self.io_auth(connect, cursor, draws).map_err(|failure| self.fail_at(step, ready, failure))?;
        let is_there = self.user.channels.with_socketio(plan.channel, |io| !io.has_ended()).unwrap_or(false);
        let (exchange, target) = match is_there {
            true => (self.open(step, ready), None),
            false => {
                let (exchange, destination) = self.prepare(&connect.request, cursor, draws, ready, buffers).await?;
                let failed = |failure: Failure| self.end(exchange, step, failure, monotonic_ns());
                let number = self.shared.resolve(destination, FailureKind::Template).await.map_err(failed)?;
                let target = self.shared.target(number);
                let target = target.ok_or_else(|| failed(Failure::new(FailureKind::Resolve, "no such target")))?;
                self.add_cookies(&target, &mut buffers.outgoing);
                (exchange, Some(target))
            }
        };
        self.permit(exchange).await;
        self.in_flight().sent(exchange);
        // Large, and seldom: not part of what every session takes.
        let connecting = Box::pin(async {
            if let Some(target) = &target {
                let opened = self.io_open(plan, connect, target, exchange, buffers).await?;
                if let Some(before) = self.user.channels.put_socketio(plan.channel, step, opened) {
                    self.io_parted(before);
                }
            }
            self.io_join(plan, &auth, connect.version).await
        });
        let joined = timeout(Duration::from_nanos(plan.timeout_ns), connecting).await;
        let joined = joined.unwrap_or_else(|_| Err(too_late("the server has not connected it within the timeout")));
        joined.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
        let now_ns = monotonic_ns();
        self.in_flight().succeeded(exchange, 0, now_ns);
        Ok(now_ns)
    }

    /// Opens what carries the session, by the first transport that there is.
    async fn io_open(
        &self,
        plan: &SocketIoPlan,
        connect: &ConnectPlan,
        target: &Arc<TargetPlan>,
        exchange: ExchangeId,
        buffers: &mut Buffers,
    ) -> Result<SocketIo, Failure> {
        let hosts = target.upstream.now();
        let index = hosts.spread.host(self.position);
        let host = hosts.get(index).ok_or_else(|| Failure::new(FailureKind::Resolve, "no address"))?;
        let most = self.program.body_max_bytes;
        let mut failure = Failure::new(FailureKind::Connect, "no transport is named");
        for transport in &connect.transports {
            let carrier = match transport {
                SocketIoTransport::Websocket => {
                    let trace = self.in_flight().trace_of(exchange);
                    let query = session_query(connect.version, Transport::Websocket, None);
                    let path = with_query(buffers.outgoing.path(), &query);
                    let request = upgrade((&path, &buffers.outgoing), &target.authority, None, trace.as_deref())?;
                    let limits = Limits { message_max_bytes: most };
                    match socket::open(host, target.tls.as_ref(), request, limits).await {
                        Ok((socket, opened)) => {
                            self.keep_cookies_of(target, &path, &opened.headers);
                            Carrier::Websocket(Box::new(socket))
                        }
                        Err((why @ Failure::Failed(..), _)) => {
                            failure = why;
                            continue;
                        }
                        // It is not the server that is missing something.
                        Err((why @ Failure::Unmade(_), _)) => return Err(why),
                    }
                }
                SocketIoTransport::Polling => {
                    let fields = buffers.outgoing.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
                    Carrier::Polling(Box::new(Polling::new(Route {
                        target: Arc::clone(target),
                        host: index,
                        path: buffers.outgoing.path().to_owned(),
                        fields: fields.collect(),
                        body_max_bytes: most,
                        timeout: Duration::from_nanos(plan.timeout_ns),
                    })))
                }
            };
            return Ok(SocketIo::new(carrier, connect.version, most));
        }
        Err(failure)
    }

    /// Waits for the session, and joins the namespace.
    async fn io_join(&self, plan: &SocketIoPlan, auth: &Connect, version: Version) -> Result<(), Failure> {
        let namespace = &*plan.namespace;
        let mut has_asked = false;
        self.io_until(plan.channel, |io| {
            io.check()?;
            if !io.is_open() {
                return Ok(None);
            }
            // A server of protocol 4 connects the first namespace by itself.
            let connects_by_itself = version == Version::Eio3 && namespace == "/";
            if !has_asked && !connects_by_itself {
                has_asked = true;
                io.connect(namespace, auth)?;
            }
            match io.is_connected(namespace) {
                None => Ok(None),
                Some(true) => Ok(Some(())),
                Some(false) => {
                    let text = format!("the server refused the connection to namespace {namespace}");
                    Err(Failure::new(FailureKind::Refused, text))
                }
            }
        })
        .await
    }

    /// Emits an event, and waits for what it is to wait for.
    async fn io_emit(
        &self,
        plan: &SocketIoPlan,
        emission: Emission,
        waits: &Waits,
        (cursor, draws): (&mut Cursor, &mut Draws),
        exchange: ExchangeId,
    ) -> Result<Option<Event>, Failure> {
        let (channel, namespace) = (plan.channel, &*plan.namespace);
        let Emission { event, arguments, length_bytes } = emission;
        let wants_ack = matches!(waits, Waits::Acknowledgement);
        let emitted = self.user.channels.with_socketio(channel, |io| io.emit(namespace, &event, &arguments, wants_ack));
        let id = emitted.unwrap_or_else(|| Err(not_connected()))?;
        self.in_flight().count_at(exchange, |recorder, place| recorder.written(place, length_bytes));
        add(self.shared, self.iteration, self.shared.meters.socketio.sent, 1);
        let waiting = async {
            match (waits, id) {
                (Waits::Event(event), _) => self.io_receive(plan, event, (cursor, draws)).await.map(Some),
                (Waits::Acknowledgement, Some(id)) => {
                    let acknowledged = self.io_until(channel, |io| match io.take_acknowledgement(namespace, id) {
                        Some(event) => Ok(Some(event)),
                        None => io.check().map(|()| None),
                    });
                    acknowledged.await.map(Some)
                }
                (Waits::Acknowledgement, None) | (Waits::Nothing, _) => {
                    self.io_until(channel, |io| {
                        io.check()?;
                        Ok(io.is_written().then_some(()))
                    })
                    .await?;
                    Ok(None)
                }
            }
        };
        let waited = timeout(Duration::from_nanos(plan.timeout_ns), waiting).await;
        waited.unwrap_or_else(|_| {
            if let Some(id) = id {
                self.user.channels.with_socketio(channel, |io| io.forget(namespace, id));
            }
            Err(too_late(match waits {
                Waits::Nothing => "the server takes nothing within the timeout",
                Waits::Acknowledgement => "no acknowledgement within the timeout",
                Waits::Event(_) => "no such event within the timeout",
            }))
        })
    }

    /// Waits for an event for which all conditions hold; others of its name are passed over.
    async fn io_receive(
        &self,
        plan: &SocketIoPlan,
        event: &EventPlan,
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<Event, Failure> {
        let expect = |is_expected| self.user.channels.with_socketio(plan.channel, |io| io.expect(is_expected));
        let _taking = Taking::begin(expect);
        loop {
            let received = self.io_until(plan.channel, |io| match io.take_event(&plan.namespace, &event.name) {
                Some(event) => Ok(Some(event)),
                None => io.check().map(|()| None),
            });
            let received = received.await?;
            if self.is_wanted(&event.conditions, (&received.arguments, &HeaderMap::new()), (cursor, draws))? {
                return Ok(received);
            }
        }
    }

    async fn io_disconnect(&self, plan: &SocketIoPlan) -> Result<(), Failure> {
        let left = self.user.channels.with_socketio(plan.channel, |io| io.disconnect(&plan.namespace));
        left.unwrap_or_else(|| Err(not_connected()))?;
        self.io_until(plan.channel, |io| Ok((io.is_written() || io.has_ended()).then_some(()))).await?;
        let is_last = self.user.channels.with_socketio(plan.channel, |io| !io.has_namespaces()).unwrap_or(false);
        if is_last && let Some(io) = self.user.channels.take_socketio(plan.channel) {
            self.io_parted(io);
        }
        Ok(())
    }

    /// Waits until `ready` gives something of a connection, which is read meanwhile.
    async fn io_until<T>(
        &self,
        channel: u16,
        mut ready: impl FnMut(&mut SocketIo) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        poll_fn(|context| {
            let polled = self.user.channels.with_socketio(channel, |io| {
                io.pump(context, self.program.body_max_bytes);
                match ready(io) {
                    Ok(Some(value)) => Poll::Ready(Ok(value)),
                    Err(failure) => Poll::Ready(Err(failure)),
                    Ok(None) => {
                        // What was asked for just now is written, and may be answered already.
                        io.pump(context, self.program.body_max_bytes);
                        match ready(io) {
                            Ok(Some(value)) => Poll::Ready(Ok(value)),
                            Err(failure) => Poll::Ready(Err(failure)),
                            Ok(None) => {
                                io.wait(context);
                                Poll::Pending
                            }
                        }
                    }
                }
            });
            polled.unwrap_or_else(|| Poll::Ready(Err(not_connected())))
        })
        .await
    }

    fn io_auth(&self, connect: &ConnectPlan, cursor: &mut Cursor, draws: &mut Draws) -> Result<Connect, Failure> {
        let Some(auth) = &connect.auth else { return Ok(Connect::default()) };
        let template = |error: nuncius_scenario::TemplateError| Failure::new(FailureKind::Template, error.to_string());
        match self.with_scope(cursor, |scope| auth.value(scope, draws)).map_err(template)? {
            Value::Object(payload) => Ok(Connect { payload: Some(payload), query: None }),
            _ => Err(Failure::new(FailureKind::Template, "auth: what proves who connects is a map")),
        }
    }

    fn io_arguments(
        &self,
        plans: &[ArgumentPlan],
        cursor: &mut Cursor,
        draws: &mut Draws,
    ) -> Result<(Arguments, u64), Failure> {
        let mut arguments = Arguments::default();
        let mut length_bytes = 0;
        for plan in plans {
            match plan {
                ArgumentPlan::Json(json) => {
                    let made = self.with_scope(cursor, |scope| json.value(scope, draws));
                    let value = made.map_err(|error| Failure::new(FailureKind::Template, error.to_string()))?;
                    length_bytes += value.as_str().map_or_else(|| value.to_string().len(), str::len) as u64;
                    arguments.values.push(value);
                }
                ArgumentPlan::Binary(text) => {
                    let text = self.made(text, cursor, draws)?;
                    let bytes = nuncius_scenario::decode_base64(&text).ok_or_else(|| {
                        Failure::new(FailureKind::Template, "binary: what is to be sent is no base64")
                    })?;
                    length_bytes += bytes.len() as u64;
                    let place = arguments.attach(bytes.into());
                    arguments.values.push(place);
                }
            }
        }
        Ok((arguments, length_bytes))
    }

    /// What a step that has sent or waited came to.
    fn io_ended(
        &self,
        plan: &SocketIoPlan,
        (exchange, sent_ns): (ExchangeId, u64),
        ended: Result<Option<Event>, Failure>,
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<u64, Stop> {
        let event = ended.map_err(|failure| self.end(exchange, plan.step, failure, monotonic_ns()))?;
        // What came before it was waited for took no time.
        let at_ns = event.as_ref().map_or_else(monotonic_ns, |event| event.at_ns.max(sent_ns));
        if let Some(event) = event.filter(|_| !plan.taking.is_nothing()) {
            let message = (&*event.arguments, &HeaderMap::new(), at_ns.saturating_sub(sent_ns));
            self.take_message((plan.step, &plan.taking), message, (cursor, draws))
                .map_err(|failure| self.refuse(exchange, plan.step, (0, at_ns), failure))?;
        }
        self.in_flight().succeeded(exchange, 0, at_ns);
        Ok(at_ns)
    }

    fn io_parted(&self, io: Gone<SocketIo>) {
        counting::io_parted(self.shared, self.iteration, io);
    }
}

fn with_query(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

fn not_connected() -> Failure {
    Failure::new(FailureKind::Closed, "no connection of this name is open: the step that connects comes before")
}

fn too_late(text: &str) -> Failure {
    Failure::new(FailureKind::Timeout, text)
}
