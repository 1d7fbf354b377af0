//! What the stub does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::service_time::ServiceTime;

/// The longest body that a request may have, in bytes; a longer one is answered 413.
pub const MAX_REQUEST_BODY_BYTES: u64 = 10 * 1024 * 1024;
/// The longest body that the stub answers with, in bytes.
pub const MAX_ANSWER_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What the stub does.
#[derive(Debug, Clone, PartialEq)]
pub struct StubConfig {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// How long a request is served.
    pub service_time: ServiceTime,
    /// Seed of service times and errors.
    pub seed: u64,
    /// Requests served at a time; `None` is no limit.
    pub concurrency: Option<u32>,
    /// Requests that may wait for a slot; one more is answered 503 at once. `None` is the limit of 2^20.
    pub queue: Option<u32>,
    /// Share of requests answered 500 after their service time, 0 to 1.
    pub error_rate: f64,
    /// When to stand still.
    pub freeze: Vec<Freeze>,
    /// Length of an answer's body in bytes.
    pub body_bytes: usize,
    /// Connections held at a time; one more is closed at once.
    pub max_connections: u32,
    /// How long a client may take over the head of a request, and again over its body. A stalled head is cut off after
    /// at most a second more, a stalled body answered 408.
    pub read_timeout: Duration,
    /// Names of hosts that are meant by requests that change it ([`nuncius_serve::sites`]).
    pub allowed_hosts: Vec<String>,
}

impl Default for StubConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            service_time: ServiceTime::default(),
            seed: 0,
            concurrency: None,
            queue: None,
            error_rate: 0.0,
            freeze: Vec::new(),
            body_bytes: 3,
            max_connections: 16_384,
            read_timeout: Duration::from_secs(30),
            allowed_hosts: Vec::new(),
        }
    }
}

/// A planned standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Since the start of the stub.
    pub after: Duration,
    /// How long; `None` is for good.
    pub duration: Option<Duration>,
}
