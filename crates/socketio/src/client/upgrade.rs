//! From long-polling to a WebSocket: `2probe`, `3probe`, the end of polling, `5`.

use super::happened::Happened;
use super::{Carrier, Client};
use crate::engine_io::{self, Packet, Wire};
use crate::error::ProtocolError;
use crate::version::Transport;

const PROBE: &str = "probe";

impl Client {
    /// Whether a poll is to be under way: long-polling waits for the server with one GET after the other.
    pub const fn may_poll(&self) -> bool {
        match self.carrier {
            Carrier::Polling | Carrier::Probing => !self.is_closed(),
            Carrier::Pausing | Carrier::Websocket => false,
        }
    }

    /// Begins the upgrade: the first message of a WebSocket that was opened for this session. Its answer goes to
    /// [`Client::on_text`]; [`Happened::ProbeAnswered`] or [`Happened::ProbeFailed`] follows. Polling goes on.
    ///
    /// # Errors
    /// There is no session, it is on a WebSocket already or about to be, or its server offers none; nothing has
    /// changed.
    pub fn probe(&mut self) -> Result<Wire, ProtocolError> {
        self.check_open()?;
        if self.carrier != Carrier::Polling {
            return Err(ProtocolError::order("the session is on a WebSocket already, or about to be"));
        }
        let upgrades = self.handshake.as_ref().map(|handshake| handshake.upgrades.as_slice()).unwrap_or_default();
        if !upgrades.contains(&Transport::Websocket) {
            return Err(ProtocolError::order("the server offers no upgrade to a WebSocket"));
        }
        self.carrier = Carrier::Probing;
        Ok(engine_io::encode_frame(self.version, &Packet::Ping(PROBE.into())))
    }

    /// The WebSocket that was probed answered.
    pub(super) fn on_probe(&mut self, packet: Result<Packet<'_>, ProtocolError>, happened: &mut Vec<Happened>) {
        let error = match packet {
            Ok(Packet::Pong(text)) if text == PROBE => {
                self.carrier = Carrier::Pausing;
                happened.push(Happened::ProbeAnswered);
                return;
            }
            Ok(_) => ProtocolError::order("something else than `3probe` answered a probe"),
            Err(error) => error,
        };
        self.carrier = Carrier::Polling;
        happened.push(Happened::ProbeFailed(error));
    }

    /// Ends polling: no poll and no POST is under way any more. The WebSocket carries the session from here on;
    /// [`Client::next_frame`] begins with what tells the server.
    ///
    /// # Errors
    /// The WebSocket has not answered, or the session is over; nothing has changed.
    pub fn upgrade(&mut self) -> Result<(), ProtocolError> {
        if self.is_closed() {
            return Err(ProtocolError::Closed);
        }
        match self.carrier {
            Carrier::Pausing => {
                self.carrier = Carrier::Websocket;
                self.queue.push_first(Packet::Upgrade);
                Ok(())
            }
            Carrier::Polling | Carrier::Probing | Carrier::Websocket => {
                Err(ProtocolError::order("no WebSocket has answered a probe"))
            }
        }
    }

    /// Gives an upgrade up, as when the WebSocket closed: the session goes on over long-polling.
    pub fn abandon_upgrade(&mut self) {
        match self.carrier {
            Carrier::Probing | Carrier::Pausing => self.carrier = Carrier::Polling,
            Carrier::Polling | Carrier::Websocket => {}
        }
    }
}
