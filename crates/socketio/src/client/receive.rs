//! What arrives: packets of Engine.IO.

use bytes::Bytes;

use super::happened::{CloseReason, Happened};
use super::heartbeat::Heartbeat;
use super::{Carrier, Client, Session};
use crate::engine_io::{self, Packet, Packets};
use crate::error::ProtocolError;
use crate::socket_io::{self, Decoded};
use crate::version::Version;

type Outcome = Result<(), ProtocolError>;

impl Client {
    /// A text message of the WebSocket came. What it brings about is added to `happened`.
    ///
    /// # Errors
    /// The server broke the protocol or a limit; the connection is over. Or there is no WebSocket, which changes
    /// nothing.
    pub fn on_text(&mut self, now_ns: u64, text: &str, happened: &mut Vec<Happened>) -> Outcome {
        if self.is_closed() {
            return Ok(());
        }
        match self.carrier {
            Carrier::Websocket => {
                let packet = engine_io::decode_text(self.version, text, &self.limits);
                let outcome = packet.and_then(|packet| self.receive(now_ns, packet, happened));
                outcome.map_err(|error| self.fail(error))
            }
            Carrier::Probing => {
                let packet = engine_io::decode_text(self.version, text, &self.limits);
                self.on_probe(packet, happened);
                Ok(())
            }
            Carrier::Pausing => refuse(BEFORE_UPGRADE, happened),
            Carrier::Polling => Err(NO_WEBSOCKET),
        }
    }

    /// A binary message of the WebSocket came.
    ///
    /// # Errors
    /// As [`Client::on_text`].
    pub fn on_binary(&mut self, now_ns: u64, data: Bytes, happened: &mut Vec<Happened>) -> Outcome {
        if self.is_closed() {
            return Ok(());
        }
        match self.carrier {
            Carrier::Websocket => {
                let packet = engine_io::decode_binary(self.version, data, &self.limits);
                let outcome = packet.and_then(|packet| self.receive(now_ns, packet, happened));
                outcome.map_err(|error| self.fail(error))
            }
            Carrier::Probing => {
                let packet = engine_io::decode_binary(self.version, data, &self.limits);
                self.on_probe(packet, happened);
                Ok(())
            }
            Carrier::Pausing => refuse(BEFORE_UPGRADE, happened),
            Carrier::Polling => Err(NO_WEBSOCKET),
        }
    }

    /// The body of a poll came, of another type than `application/octet-stream`.
    ///
    /// # Errors
    /// The server broke the protocol or a limit; the connection is over. What happened before it is told. Or there is
    /// a WebSocket, which changes nothing.
    pub fn on_text_payload(&mut self, now_ns: u64, body: &str, happened: &mut Vec<Happened>) -> Outcome {
        let limits = self.limits;
        self.on_payload(now_ns, |version| engine_io::decode_text_payload(version, body, &limits), happened)
    }

    /// The body of a poll came, of type `application/octet-stream`.
    ///
    /// # Errors
    /// As [`Client::on_text_payload`].
    pub fn on_binary_payload(&mut self, now_ns: u64, body: &Bytes, happened: &mut Vec<Happened>) -> Outcome {
        let limits = self.limits;
        self.on_payload(now_ns, |version| engine_io::decode_binary_payload(version, body, &limits), happened)
    }

    fn on_payload<'a>(
        &mut self,
        now_ns: u64,
        decode: impl FnOnce(Version) -> Result<Packets<'a>, ProtocolError>,
        happened: &mut Vec<Happened>,
    ) -> Outcome {
        if self.is_closed() {
            return Ok(());
        }
        match self.carrier {
            Carrier::Polling | Carrier::Probing | Carrier::Pausing => {}
            Carrier::Websocket => {
                return Err(ProtocolError::WrongTransport { what: "a poll ended, and the session is on a WebSocket" });
            }
        }
        let packets = decode(self.version).map_err(|error| self.fail(error))?;
        for packet in packets {
            let outcome = packet.and_then(|packet| self.receive(now_ns, packet, happened));
            outcome.map_err(|error| self.fail(error))?;
            if self.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn receive(&mut self, now_ns: u64, packet: Packet<'_>, happened: &mut Vec<Happened>) -> Outcome {
        let Session::Open(heartbeat) = &mut self.session else {
            return self.open(now_ns, packet, happened);
        };
        heartbeat.heard(now_ns);
        match (packet, self.version) {
            (Packet::Open(_), _) => Err(ProtocolError::order("a second handshake of Engine.IO came")),
            (Packet::Close, _) => {
                self.end(CloseReason::Server, happened);
                Ok(())
            }
            (Packet::Ping(_), Version::Eio4) => {
                heartbeat.pinged(now_ns);
                self.queue.push_heartbeat(Packet::Pong("".into()));
                Ok(())
            }
            (Packet::Pong(_), Version::Eio3) => {
                heartbeat.ponged(now_ns);
                Ok(())
            }
            (Packet::Ping(_) | Packet::Pong(_), _) => {
                refuse("a heartbeat came in the wrong direction: the server pings in Engine.IO 4 alone", happened)
            }
            (Packet::Upgrade, _) => refuse("an UPGRADE packet came from the server: clients send it", happened),
            (Packet::Noop, _) => Ok(()),
            (Packet::Text(text), _) => self.on_message(&text, happened),
            (Packet::Binary(data), _) => self.on_attachment(data, happened),
        }
    }

    /// The first packet.
    fn open(&mut self, now_ns: u64, packet: Packet<'_>, happened: &mut Vec<Happened>) -> Outcome {
        match packet {
            Packet::Open(handshake) => {
                self.session = Session::Open(Heartbeat::new(self.version, &handshake, now_ns));
                self.handshake = Some(handshake.clone());
                happened.push(Happened::Opened(handshake));
                self.begin_default()
            }
            Packet::Close => {
                self.end(CloseReason::Server, happened);
                Ok(())
            }
            Packet::Ping(_)
            | Packet::Pong(_)
            | Packet::Text(_)
            | Packet::Binary(_)
            | Packet::Upgrade
            | Packet::Noop => Err(ProtocolError::order("a packet came before the handshake of Engine.IO")),
        }
    }

    fn on_message(&mut self, text: &str, happened: &mut Vec<Happened>) -> Outcome {
        if self.waiting.is_some() {
            return Err(ProtocolError::order("a text came while attachments of a packet were to come"));
        }
        let decoded = socket_io::decode(self.version, text, &self.limits)?;
        self.on_decoded(decoded, happened)
    }

    fn on_attachment(&mut self, data: Bytes, happened: &mut Vec<Happened>) -> Outcome {
        let Some(waiting) = self.waiting.take() else {
            return Err(ProtocolError::order("binary data came that is no attachment of a packet"));
        };
        let decoded = waiting.attach(data, &self.limits)?;
        self.on_decoded(decoded, happened)
    }

    fn on_decoded(&mut self, decoded: Decoded, happened: &mut Vec<Happened>) -> Outcome {
        match decoded {
            Decoded::Whole(packet) => self.deliver(packet, happened),
            Decoded::Waiting(waiting) => {
                self.waiting = Some(waiting);
                Ok(())
            }
        }
    }
}

const BEFORE_UPGRADE: &str = "a message came over a WebSocket before the upgrade to it";
const NO_WEBSOCKET: ProtocolError =
    ProtocolError::WrongTransport { what: "a message of a WebSocket came, and the session is on long-polling" };

fn refuse(what: &'static str, happened: &mut Vec<Happened>) -> Outcome {
    happened.push(Happened::Refused(ProtocolError::order(what)));
    Ok(())
}
