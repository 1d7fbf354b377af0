//! Connections of Socket.IO: one session of Engine.IO over a WebSocket or over long-polling, and what came on it.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_socketio::engine_io::Wire;
use nuncius_socketio::socket_io::{Arguments, Connect};
use nuncius_socketio::{Client, CloseReason, Happened, Limits, Version};
use serde_json::Value;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::Message;

use crate::failure::Failure;
use crate::inbox::Traffic;
use crate::socket::Socket;

mod polling;
mod read;

pub(crate) use polling::{Polling, Route};

use read::{Read, failure_of};

/// Most events that are kept until somebody waits for them; of more the oldest are passed over.
const EVENTS_MAX: usize = 256;
/// The same in bytes of JSON, about.
const EVENTS_MAX_BYTES: usize = 1024 * 1024;

/// An event that came.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The list of its arguments, as JSON.
    pub(crate) arguments: Vec<u8>,
    /// When it was read, on CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// What carries a session.
pub(crate) enum Carrier {
    Websocket(Box<Socket>),
    Polling(Box<Polling>),
}

/// How far the connection to a namespace is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Asked,
    Connected,
    Refused,
}

/// A connection.
pub(crate) struct SocketIo {
    client: Client,
    carrier: Carrier,
    /// When it was opened, on CLOCK_MONOTONIC.
    pub(crate) opened_ns: u64,
    is_open: bool,
    namespaces: HashMap<String, Standing>,
    /// Acknowledgements that have come, by namespace and number.
    acknowledged: HashMap<(String, u64), Event>,
    events: VecDeque<Event>,
    events_bytes: usize,
    end: Option<Failure>,
    received: Traffic,
    deadline: Pin<Box<Sleep>>,
    deadline_ns: Option<u64>,
    /// How many are about to take events.
    takers: u32,
    /// Whom to wake when something has happened: branches of one session may wait at once.
    waiting: Vec<Waker>,
}

impl SocketIo {
    /// A session that is about to begin on a carrier.
    pub(crate) fn new(carrier: Carrier, version: Version, message_max_bytes: usize) -> Self {
        let limits = Limits {
            packet_bytes: message_max_bytes,
            attachment_bytes: message_max_bytes,
            payload_bytes: message_max_bytes,
            ..Limits::default()
        };
        let client = match &carrier {
            Carrier::Websocket(_) => Client::over_websocket(version, limits),
            Carrier::Polling(_) => Client::over_polling(version, limits),
        };
        Self {
            client,
            carrier,
            opened_ns: monotonic_ns(),
            is_open: false,
            namespaces: HashMap::new(),
            acknowledged: HashMap::new(),
            events: VecDeque::new(),
            events_bytes: 0,
            end: None,
            received: Traffic::default(),
            deadline: Box::pin(tokio::time::sleep(Duration::ZERO)),
            deadline_ns: None,
            takers: 0,
            waiting: Vec::new(),
        }
    }

    /// Reads what is there, answers heartbeats, writes what waits. Whoever waits is woken.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>, message_max_bytes: usize) {
        if self.end.is_some() || !self.has_room() {
            return;
        }
        let mut happened = Vec::new();
        loop {
            let read = match &mut self.carrier {
                Carrier::Websocket(socket) => {
                    read_socket(socket, &mut self.client, context, &mut happened, message_max_bytes)
                }
                Carrier::Polling(polling) => polling.pump(context, &mut self.client, &mut happened),
            };
            self.beat(context, &mut happened);
            self.received.bytes += read.bytes;
            let has_happened = !happened.is_empty();
            happened.drain(..).for_each(|happened| self.take(happened));
            if let Some(failure) = read.failure {
                self.fail(failure);
            }
            self.write(context);
            // What was written just now may be answered at once over polling.
            if !has_happened || self.end.is_some() {
                break;
            }
        }
    }

    /// Lets the core know what time it is, and is called again when that matters.
    fn beat(&mut self, context: &mut Context<'_>, happened: &mut Vec<Happened>) {
        loop {
            let now_ns = monotonic_ns();
            self.client.on_time(now_ns, happened);
            let Some(due_ns) = self.client.next_deadline_ns() else { return };
            if self.deadline_ns != Some(due_ns) {
                self.deadline_ns = Some(due_ns);
                let after = Duration::from_nanos(due_ns.saturating_sub(now_ns)).max(Duration::from_millis(1));
                self.deadline.as_mut().reset(Instant::now() + after);
            }
            match self.deadline.as_mut().poll(context) {
                Poll::Pending => return,
                Poll::Ready(()) => self.deadline_ns = None,
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) {
        if let Carrier::Websocket(socket) = &mut self.carrier {
            let mut written = Ok(());
            while let (Ok(()), Some(frame)) = (&written, self.client.next_frame()) {
                written = socket.send(match frame {
                    Wire::Text(text) => Message::text(text),
                    Wire::Binary(bytes) => Message::binary(bytes),
                });
            }
            let flushed = match written {
                Ok(()) => match socket.flush(context) {
                    Poll::Ready(flushed) => flushed,
                    Poll::Pending => Ok(()),
                },
                Err(failure) => Err(failure),
            };
            if let Err(failure) = flushed {
                self.fail(failure);
            }
        }
    }

    fn take(&mut self, happened: Happened) {
        let at_ns = monotonic_ns();
        match happened {
            Happened::Opened(_) => self.is_open = true,
            Happened::Connected { namespace, .. } => drop(self.namespaces.insert(namespace, Standing::Connected)),
            Happened::ConnectRefused { namespace, .. } => drop(self.namespaces.insert(namespace, Standing::Refused)),
            Happened::Event { namespace, name, arguments, answer } => {
                // Whoever wants an answer gets one, as a listener without a word to say would give it.
                if let Some(answer) = answer {
                    let _ = self.client.answer(answer, &Arguments::default());
                }
                self.received.messages += 1;
                let event = Event { namespace, name, arguments: as_json(arguments), at_ns };
                self.events_bytes += event.arguments.len();
                self.events.push_back(event);
                // What somebody takes one by one is not passed over: what is read at once is bounded by a buffer.
                while self.takers == 0
                    && (self.events.len() > EVENTS_MAX || self.events_bytes > EVENTS_MAX_BYTES && self.events.len() > 1)
                {
                    self.remove(0);
                }
            }
            Happened::Acknowledged { namespace, id, arguments } => {
                self.received.messages += 1;
                let event =
                    Event { namespace: namespace.clone(), name: String::new(), arguments: as_json(arguments), at_ns };
                self.acknowledged.insert((namespace, id), event);
            }
            Happened::Disconnected { namespace, .. } => drop(self.namespaces.remove(&namespace)),
            Happened::Closed(CloseReason::Server) => {
                self.fail(Failure::new(FailureKind::Closed, "the server has closed the session"));
            }
            Happened::Closed(CloseReason::HeartbeatMissed) => {
                self.fail(Failure::new(FailureKind::Closed, "no heartbeat came in time"));
            }
            // It changed nothing, and clients of socket.io go on.
            Happened::Error { .. } | Happened::Refused(_) | Happened::ProbeAnswered | Happened::ProbeFailed(_) => {}
        }
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn fail(&mut self, failure: Failure) {
        self.end.get_or_insert(failure);
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn remove(&mut self, at: usize) -> Option<Event> {
        let event = self.events.remove(at)?;
        self.events_bytes -= event.arguments.len();
        Some(event)
    }

    /// Somebody is about to take events (`true`), or is no longer.
    pub(crate) fn expect(&mut self, is_expected: bool) {
        self.takers = if is_expected { self.takers.saturating_add(1) } else { self.takers.saturating_sub(1) };
    }

    /// Whether more is to be read now.
    fn has_room(&self) -> bool {
        self.takers == 0 || self.events.len() < EVENTS_MAX && self.events_bytes < EVENTS_MAX_BYTES
    }

    /// The session has begun.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether nothing comes any more.
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Why nothing comes any more, if that is so.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.end.clone().map_or(Ok(()), Err)
    }

    /// Asks to be connected to a namespace, unless it is.
    pub(crate) fn connect(&mut self, namespace: &str, connect: &Connect) -> Result<(), Failure> {
        if self.namespaces.get(namespace) == Some(&Standing::Connected) {
            return Ok(());
        }
        self.client.connect(namespace, connect).map_err(|error| failure_of(&error))?;
        self.namespaces.insert(namespace.to_owned(), Standing::Asked);
        Ok(())
    }

    /// Whether the server has connected it to a namespace; `None` until it has said so.
    pub(crate) fn is_connected(&self, namespace: &str) -> Option<bool> {
        match self.namespaces.get(namespace)? {
            Standing::Asked => None,
            Standing::Connected => Some(true),
            Standing::Refused => Some(false),
        }
    }

    /// Sends an event; the number of its acknowledgement, where one is wanted.
    pub(crate) fn emit(
        &mut self,
        namespace: &str,
        name: &str,
        arguments: &Arguments,
        acknowledged: bool,
    ) -> Result<Option<u64>, Failure> {
        self.check()?;
        let sent = match acknowledged {
            true => self.client.emit_with_ack(namespace, name, arguments).map(Some),
            false => self.client.emit(namespace, name, arguments).map(|()| None),
        };
        sent.map_err(|error| failure_of(&error))
    }

    /// The acknowledgement of this number, once it has come.
    pub(crate) fn take_acknowledgement(&mut self, namespace: &str, id: u64) -> Option<Event> {
        self.acknowledged.remove(&(namespace.to_owned(), id))
    }

    /// Waits no longer for an acknowledgement.
    pub(crate) fn forget(&mut self, namespace: &str, id: u64) {
        self.client.forget_ack(namespace, id);
    }

    /// The event of this name that came first; the others stay.
    pub(crate) fn take_event(&mut self, namespace: &str, name: &str) -> Option<Event> {
        let at = self.events.iter().position(|event| event.name == name && event.namespace == namespace)?;
        self.remove(at)
    }

    /// Leaves a namespace.
    pub(crate) fn disconnect(&mut self, namespace: &str) -> Result<(), Failure> {
        self.client.disconnect(namespace).map_err(|error| failure_of(&error))?;
        self.namespaces.remove(namespace);
        if self.namespaces.is_empty() {
            self.client.close();
        }
        Ok(())
    }

    /// Whether it is connected to any namespace.
    pub(crate) fn has_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// Whether all that was to be sent has been given to the carrier.
    pub(crate) fn is_written(&self) -> bool {
        self.client.queued_packets() == 0
            && match &self.carrier {
                Carrier::Websocket(_) => true,
                Carrier::Polling(polling) => !polling.is_posting(),
            }
    }

    /// Whom to wake once something has happened.
    pub(crate) fn wait(&mut self, context: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
    }

    /// What came since somebody asked last.
    pub(crate) fn take_received(&mut self) -> Traffic {
        std::mem::take(&mut self.received)
    }

    /// Says goodbye as far as that needs no waiting: the session is over.
    pub(crate) fn part(mut self) {
        if self.end.is_none() {
            self.client.close();
            self.write(&mut Context::from_waker(Waker::noop()));
        }
        match self.carrier {
            Carrier::Websocket(socket) => socket.part(),
            Carrier::Polling(_) => {}
        }
    }
}

fn read_socket(
    socket: &mut Socket,
    client: &mut Client,
    context: &mut Context<'_>,
    happened: &mut Vec<Happened>,
    message_max_bytes: usize,
) -> Read {
    socket.pump(context, message_max_bytes);
    let mut read = Read { bytes: socket.inbox.take_received().bytes, failure: None };
    while let (None, Some(incoming)) = (&read.failure, socket.inbox.next()) {
        let taken = match (incoming.is_text, std::str::from_utf8(&incoming.bytes)) {
            (true, Ok(text)) => client.on_text(incoming.at_ns, text, happened),
            (true, Err(_)) | (false, _) => client.on_binary(incoming.at_ns, incoming.bytes, happened),
        };
        read.failure = taken.err().map(|error| failure_of(&error));
    }
    if read.failure.is_none() {
        read.failure = socket.end().map(|end| end.failure(socket.address));
    }
    read
}

/// The list of arguments; attachments as their places.
fn as_json(arguments: Arguments) -> Vec<u8> {
    Value::Array(arguments.values).to_string().into_bytes()
}
