//! Packets that wait to be sent.

use std::collections::VecDeque;

use crate::engine_io::{self, Packet, PayloadForm, Wire};
use crate::error::ProtocolError;
use crate::limits::{Limit, Limits};
use crate::version::Version;

#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: VecDeque<Packet<'static>>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Adds packets that belong together: all of them or none.
    pub(super) fn push(&mut self, packets: Vec<Packet<'static>>, limits: &Limits) -> Result<(), ProtocolError> {
        limits.check(Limit::QueuedPackets, self.packets.len().saturating_add(packets.len()))?;
        self.packets.extend(packets);
        Ok(())
    }

    /// Adds a heartbeat, or the answer to one, unless the same waits already: a server cannot make the queue grow.
    pub(super) fn push_heartbeat(&mut self, packet: Packet<'static>) {
        if !self.packets.contains(&packet) {
            self.packets.push_back(packet);
        }
    }

    /// Adds what ends a session, however full it is.
    pub(super) fn push_last(&mut self, packet: Packet<'static>) {
        self.packets.push_back(packet);
    }

    pub(super) fn push_first(&mut self, packet: Packet<'static>) {
        self.packets.push_front(packet);
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }

    pub(super) fn next_frame(&mut self, version: Version) -> Option<Wire> {
        Some(engine_io::encode_frame(version, &self.packets.pop_front()?))
    }

    /// As many as one payload takes.
    pub(super) fn next_payload(
        &mut self,
        version: Version,
        most_bytes: usize,
        limits: &Limits,
    ) -> Result<Option<Wire>, ProtocolError> {
        if self.packets.is_empty() {
            return Ok(None);
        }
        let fit = engine_io::count_within(version, self.packets.iter(), most_bytes);
        let count = fit.min(limits.posted_packets.max(1)).min(self.packets.len());
        let packets: Vec<Packet<'static>> = self.packets.drain(..count).collect();
        // Of texts beyond ASCII servers of Python count characters and those of JavaScript UTF-16 code units, and those
        // of socket.io 1 take them for encoded twice. All read bytes alike.
        let form = if packets.iter().all(is_ascii) { PayloadForm::AsNeeded } else { PayloadForm::Bytes };
        engine_io::encode_payload(version, &packets, form, limits).map(Some)
    }
}

fn is_ascii(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Ping(text) | Packet::Pong(text) | Packet::Text(text) => text.is_ascii(),
        Packet::Open(_) | Packet::Close | Packet::Binary(_) | Packet::Upgrade | Packet::Noop => true,
    }
}
