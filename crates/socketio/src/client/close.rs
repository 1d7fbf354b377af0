//! Ends of a connection, and the time.

use super::happened::{CloseReason, Happened};
use super::heartbeat::Due;
use super::{Carrier, Client, Session};
use crate::engine_io::Packet;
use crate::error::ProtocolError;
use crate::socket_io;

impl Client {
    /// What time it is: sends a heartbeat that is due, and notices that the server is silent for too long.
    pub fn on_time(&mut self, now_ns: u64, happened: &mut Vec<Happened>) {
        let Session::Open(heartbeat) = &mut self.session else { return };
        match heartbeat.due(now_ns) {
            Due::Nothing => {}
            Due::Ping => self.queue.push_heartbeat(Packet::Ping("".into())),
            Due::Dead => self.end(CloseReason::HeartbeatMissed, happened),
        }
    }

    /// When [`Client::on_time`] has something to do; nothing before the handshake and after the end.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let dead_ns = self.dead_ns()?;
        Some(self.next_ping_ns().map_or(dead_ns, |ping_ns| ping_ns.min(dead_ns)))
    }

    /// When this client is to ping: with Engine.IO 3, one interval after the handshake or the last pong.
    pub const fn next_ping_ns(&self) -> Option<u64> {
        match &self.session {
            Session::Open(heartbeat) => heartbeat.next_ping_ns(),
            Session::Opening | Session::Closed => None,
        }
    }

    /// From when on the connection is dead, unless the server shows a sign of life: with Engine.IO 4 a ping, within
    /// interval and timeout; with Engine.IO 3 any packet within the same, and within the timeout after a ping.
    pub const fn dead_ns(&self) -> Option<u64> {
        match &self.session {
            Session::Open(heartbeat) => Some(heartbeat.dead_ns()),
            Session::Opening | Session::Closed => None,
        }
    }

    /// Whether the connection is over. Once [`Client::next_frame`] or [`Client::next_payload`] gives nothing more,
    /// what carries it is to be closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self.session, Session::Closed)
    }

    /// Ends the connection: leaves each namespace and, over long-polling, the session. What waits is still sent;
    /// acks that are awaited will not come any more.
    pub fn close(&mut self) {
        if let Session::Open(_) = self.session {
            for namespace in self.namespaces.names_of_connected() {
                // It was good enough when it was connected.
                let packets = socket_io::encode_disconnect(self.version, &namespace, &self.limits).unwrap_or_default();
                packets.into_iter().for_each(|packet| self.queue.push_last(packet));
            }
            match self.carrier {
                Carrier::Websocket => {}
                Carrier::Polling | Carrier::Probing | Carrier::Pausing => {
                    self.carrier = Carrier::Polling;
                    self.queue.push_last(Packet::Close);
                }
            }
        }
        self.forget();
    }

    /// The connection ended.
    pub(super) fn end(&mut self, reason: CloseReason, happened: &mut Vec<Happened>) {
        self.queue.clear();
        self.forget();
        happened.push(Happened::Closed(reason));
    }

    /// The connection ends with this error.
    pub(super) fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.queue.clear();
        self.forget();
        error
    }

    fn forget(&mut self) {
        self.session = Session::Closed;
        self.namespaces.clear();
        self.waiting = None;
    }
}
