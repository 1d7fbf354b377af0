//! What a client sends.

use super::happened::AnswerTo;
use super::namespaces::{Namespaces, Standing};
use super::queue::Queue;
use super::{Carrier, Client, Session};
use crate::engine_io::{Handshake, Packet, Wire};
use crate::error::{ProtocolError, shown};
use crate::limits::Limits;
use crate::socket_io::{self, Arguments, Connect, DEFAULT_NAMESPACE};
use crate::version::{Transport, Version};

impl Client {
    /// A connection whose WebSocket has just been opened.
    pub fn over_websocket(version: Version, limits: Limits) -> Self {
        Self::over(Carrier::Websocket, version, limits)
    }

    /// A connection whose first poll is about to be sent.
    pub fn over_polling(version: Version, limits: Limits) -> Self {
        Self::over(Carrier::Polling, version, limits)
    }

    fn over(carrier: Carrier, version: Version, limits: Limits) -> Self {
        Self {
            version,
            limits,
            session: Session::Opening,
            handshake: None,
            carrier,
            namespaces: Namespaces::default(),
            waiting: None,
            queue: Queue::default(),
        }
    }

    /// Asks to be connected to a namespace: [`Happened::Connected`] or [`Happened::ConnectRefused`] follows. With
    /// protocol 4 `/` is connected without being asked for; asking changes nothing.
    ///
    /// [`Happened::Connected`]: super::Happened::Connected
    /// [`Happened::ConnectRefused`]: super::Happened::ConnectRefused
    ///
    /// # Errors
    /// There is no session yet or any more, the namespace is connected already, or it cannot be asked for in this way;
    /// nothing has changed.
    pub fn connect(&mut self, namespace: &str, connect: &Connect) -> Result<(), ProtocolError> {
        self.check_open()?;
        let version = self.version;
        if version == Version::Eio3 && connect.payload.is_some() {
            return Err(ProtocolError::NotInVersion { what: "has no auth: use the query of a namespace", version });
        }
        let standing = self.namespaces.standing(namespace);
        if version == Version::Eio3 && namespace == DEFAULT_NAMESPACE {
            return match (standing, &connect.query) {
                (_, Some(_)) => {
                    let what = "has no query of the namespace `/`: put it into the URL";
                    Err(ProtocolError::NotInVersion { what, version })
                }
                (Standing::Connecting | Standing::Connected, None) => Ok(()),
                (Standing::Unknown, None) => Err(ProtocolError::order(
                    "the namespace `/` ended, which a connection of Socket.IO 4 has once: open another connection",
                )),
            };
        }
        if standing != Standing::Unknown {
            return Err(ProtocolError::order("the namespace is connected already, or about to be"));
        }
        let packets = socket_io::encode_connect(version, namespace, connect, &self.limits)?;
        self.namespaces.begin(namespace, &self.limits)?;
        let pushed = self.queue.push(packets, &self.limits);
        if pushed.is_err() {
            self.namespaces.end(namespace);
        }
        pushed
    }

    /// Sends an event.
    ///
    /// # Errors
    /// The namespace is not connected, the name is one that clients keep for themselves, the packet is larger than
    /// the limits allow, or too many wait to be sent; nothing has changed.
    pub fn emit(&mut self, namespace: &str, name: &str, arguments: &Arguments) -> Result<(), ProtocolError> {
        let packets = self.event(namespace, name, arguments, None)?;
        self.queue.push(packets, &self.limits)
    }

    /// Sends an event and waits for its ack: [`Happened::Acknowledged`](super::Happened::Acknowledged) with the number
    /// that this gives. Whoever waits no longer calls [`Client::forget_ack`].
    ///
    /// # Errors
    /// As [`Client::emit`], or too many acks are awaited.
    pub fn emit_with_ack(&mut self, namespace: &str, name: &str, arguments: &Arguments) -> Result<u64, ProtocolError> {
        let id = self.namespaces.next_ack(&self.limits)?;
        let packets = self.event(namespace, name, arguments, Some(id))?;
        self.queue.push(packets, &self.limits)?;
        self.namespaces.await_ack(namespace);
        Ok(id)
    }

    fn event(
        &self,
        namespace: &str,
        name: &str,
        arguments: &Arguments,
        ack_id: Option<u64>,
    ) -> Result<Vec<Packet<'static>>, ProtocolError> {
        self.check_connected("an event", namespace)?;
        socket_io::check_name(self.version, name)?;
        socket_io::encode_event(self.version, namespace, name, arguments, ack_id, &self.limits)
    }

    /// Answers an event of the server's.
    ///
    /// # Errors
    /// As [`Client::emit`].
    pub fn answer(&mut self, to: AnswerTo, arguments: &Arguments) -> Result<(), ProtocolError> {
        let AnswerTo { namespace, id } = to;
        self.check_connected("an ack", &namespace)?;
        let packets = socket_io::encode_ack(self.version, &namespace, id, arguments, &self.limits)?;
        self.queue.push(packets, &self.limits)
    }

    /// Leaves a namespace. What comes back are the acks that will not come any more.
    ///
    /// # Errors
    /// It is not connected, or too many packets wait to be sent; nothing has changed.
    pub fn disconnect(&mut self, namespace: &str) -> Result<Vec<u64>, ProtocolError> {
        self.check_connected("an end", namespace)?;
        let packets = socket_io::encode_disconnect(self.version, namespace, &self.limits)?;
        self.queue.push(packets, &self.limits)?;
        Ok(self.namespaces.end(namespace))
    }

    /// Waits no longer for an ack; whether it was awaited. One that comes nevertheless is refused.
    pub fn forget_ack(&mut self, namespace: &str, id: u64) -> bool {
        self.namespaces.take_ack(namespace, id)
    }

    pub(super) fn check_open(&self) -> Result<(), ProtocolError> {
        match self.session {
            Session::Open(_) => Ok(()),
            Session::Opening => Err(ProtocolError::order("the handshake of Engine.IO has not come yet")),
            Session::Closed => Err(ProtocolError::Closed),
        }
    }

    fn check_connected(&self, what: &'static str, namespace: &str) -> Result<(), ProtocolError> {
        self.check_open()?;
        match self.namespaces.standing(namespace) {
            Standing::Connected => Ok(()),
            Standing::Connecting | Standing::Unknown => {
                Err(ProtocolError::NotConnected { what, namespace: shown(namespace) })
            }
        }
    }

    /// The next message for the WebSocket, as long as there is one.
    pub fn next_frame(&mut self) -> Option<Wire> {
        match self.carrier {
            Carrier::Websocket => self.queue.next_frame(self.version),
            Carrier::Polling | Carrier::Probing | Carrier::Pausing => None,
        }
    }

    /// The body of the next POST, as long as there is one: as many packets as wait and the server takes at once.
    ///
    /// # Errors
    /// One packet alone is larger than the limit of payloads; it is not sent.
    pub fn next_payload(&mut self) -> Result<Option<Wire>, ProtocolError> {
        match self.carrier {
            Carrier::Polling | Carrier::Probing => {
                let of_server = self.handshake.as_ref().and_then(|handshake| handshake.max_payload_bytes);
                let of_server = of_server.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
                let most_bytes = of_server.min(self.limits.payload_bytes);
                self.queue.next_payload(self.version, most_bytes, &self.limits)
            }
            Carrier::Websocket | Carrier::Pausing => Ok(None),
        }
    }

    /// Which protocols it speaks.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What the server said of the session; nothing before it began.
    pub const fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_ref()
    }

    /// What carries the session.
    pub const fn transport(&self) -> Transport {
        match self.carrier {
            Carrier::Websocket => Transport::Websocket,
            Carrier::Polling | Carrier::Probing | Carrier::Pausing => Transport::Polling,
        }
    }

    /// Acks that are awaited, in all namespaces.
    pub fn acks_outstanding(&self) -> usize {
        self.namespaces.acks_outstanding()
    }

    /// Packets that wait to be sent.
    pub fn queued_packets(&self) -> usize {
        self.queue.len()
    }
}
