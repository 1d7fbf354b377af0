//! Heartbeats: who sends them, and when a silence has been too long.
//!
//! As clients of socket.io do it. In revision 4 the server pings and a client counts from ping to ping: whatever else
//! comes is no sign of life. In revision 3 the client pings, first one interval after the handshake and then one after
//! each pong; a ping is to be answered within the timeout, and any packet is a sign of life for an interval and a
//! timeout. An interval of nothing is a millisecond, as timers of JavaScript have it.

use crate::engine_io::Handshake;
use crate::version::Version;

const INTERVAL_LEAST_NS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Heartbeat {
    version: Version,
    interval_ns: u64,
    timeout_ns: u64,
    /// When to ping: revision 3, and not while a pong is awaited.
    next_ping_ns: Option<u64>,
    /// From when on the connection is dead.
    dead_ns: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Heartbeat {
    pub(super) const fn new(version: Version, handshake: &Handshake, now_ns: u64) -> Self {
        let interval_ns = match handshake.ping_interval_ns() {
            0 => INTERVAL_LEAST_NS,
            interval_ns => interval_ns,
        };
        let timeout_ns = handshake.ping_timeout_ns();
        let next_ping_ns = match version {
            Version::Eio3 => Some(now_ns.saturating_add(interval_ns)),
            Version::Eio4 => None,
        };
        let mut heartbeat = Self { version, interval_ns, timeout_ns, next_ping_ns, dead_ns: 0 };
        heartbeat.is_alive(now_ns);
        heartbeat
    }

    const fn is_alive(&mut self, now_ns: u64) {
        self.dead_ns = now_ns.saturating_add(self.interval_ns).saturating_add(self.timeout_ns);
    }

    /// Any packet came.
    pub(super) const fn heard(&mut self, now_ns: u64) {
        match self.version {
            Version::Eio3 => self.is_alive(now_ns),
            Version::Eio4 => {}
        }
    }

    /// The server's ping came, of revision 4.
    pub(super) const fn pinged(&mut self, now_ns: u64) {
        self.is_alive(now_ns);
    }

    /// The server's pong came, of revision 3.
    pub(super) const fn ponged(&mut self, now_ns: u64) {
        self.next_ping_ns = Some(now_ns.saturating_add(self.interval_ns));
    }

    /// What is to be done; a ping is sent when this says so.
    pub(super) const fn due(&mut self, now_ns: u64) -> Due {
        match self.next_ping_ns {
            // First, as late as it may be: a caller that slept has not heard the server either.
            Some(ping_ns) if ping_ns <= now_ns => {
                self.next_ping_ns = None;
                self.dead_ns = now_ns.saturating_add(self.timeout_ns);
                Due::Ping
            }
            Some(_) | None if self.dead_ns <= now_ns => Due::Dead,
            Some(_) | None => Due::Nothing,
        }
    }

    pub(super) const fn next_ping_ns(&self) -> Option<u64> {
        self.next_ping_ns
    }

    pub(super) const fn dead_ns(&self) -> u64 {
        self.dead_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn handshake(ping_interval_ms: u64, ping_timeout_ms: u64) -> Handshake {
        let upgrades = Vec::new();
        Handshake { session_id: "s".to_owned(), upgrades, ping_interval_ms, ping_timeout_ms, max_payload_bytes: None }
    }

    #[test]
    fn in_revision_4_only_a_ping_of_the_server_keeps_the_connection_alive() {
        let mut heartbeat = Heartbeat::new(Version::Eio4, &handshake(25_000, 5_000), 7);
        assert_eq!((heartbeat.next_ping_ns(), heartbeat.dead_ns()), (None, 7 + 30_000 * MS));
        heartbeat.heard(20_000 * MS);
        assert_eq!(heartbeat.due(6 + 30_000 * MS), Due::Nothing);
        assert_eq!(heartbeat.due(7 + 30_000 * MS), Due::Dead);
        heartbeat.pinged(25_000 * MS);
        assert_eq!(heartbeat.dead_ns(), 55_000 * MS);
    }

    #[test]
    fn in_revision_3_the_client_pings_and_a_pong_must_come_within_the_timeout() {
        let mut heartbeat = Heartbeat::new(Version::Eio3, &handshake(25_000, 5_000), 0);
        assert_eq!((heartbeat.next_ping_ns(), heartbeat.dead_ns()), (Some(25_000 * MS), 30_000 * MS));
        assert_eq!(heartbeat.due(25_000 * MS - 1), Due::Nothing);
        assert_eq!(heartbeat.due(25_001 * MS), Due::Ping);
        // Once, and no further one before its pong.
        assert_eq!((heartbeat.due(25_001 * MS), heartbeat.next_ping_ns()), (Due::Nothing, None));
        assert_eq!(heartbeat.dead_ns(), 30_001 * MS);
        heartbeat.heard(26_000 * MS);
        heartbeat.ponged(26_000 * MS);
        assert_eq!((heartbeat.next_ping_ns(), heartbeat.dead_ns()), (Some(51_000 * MS), 56_000 * MS));
        assert_eq!(heartbeat.due(51_000 * MS), Due::Ping);
        assert_eq!(heartbeat.due(56_000 * MS), Due::Dead);
    }

    #[test]
    fn an_interval_of_nothing_is_a_millisecond() {
        let mut heartbeat = Heartbeat::new(Version::Eio3, &handshake(0, 5), 7);
        assert_eq!((heartbeat.next_ping_ns(), heartbeat.dead_ns()), (Some(7 + MS), 7 + 6 * MS));
        assert_eq!(
            (heartbeat.due(7), heartbeat.due(7 + MS), heartbeat.due(7 + MS)),
            (Due::Nothing, Due::Ping, Due::Nothing)
        );
    }

    #[test]
    fn intervals_that_no_clock_holds_never_end() {
        let mut heartbeat = Heartbeat::new(Version::Eio3, &handshake(u64::MAX, u64::MAX), 1);
        assert_eq!((heartbeat.next_ping_ns(), heartbeat.due(u64::MAX - 1)), (Some(u64::MAX), Due::Nothing));
    }
}
