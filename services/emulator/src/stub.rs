//! The stub: an HTTP/1.1 target with a known queue, known service times and known failures.
//!
//! Every request waits for one of `concurrency` slots, oldest first, holds it for a service time drawn from (seed,
//! number of the request), and is answered. The queue is reckoned, not acted out: a request's start and end are fixed
//! when it arrives (Kiefer and Wolfowitz 1955), so that the lateness of one wake-up never adds to the next, and a slot
//! is held for its time even when the client hangs up. While the stub is frozen its clock stands.
//!
//! | path | what it does |
//! |---|---|
//! | `/status/NNN` | as any other, answered with that status (200 to 599); never one of the seeded errors |
//! | `/delay/250ms` | as any other, with that much more service time |
//! | `GET /.stub/stats` | [`StubStats`] as JSON; answered even while frozen |
//! | `POST /.stub/freeze?for=2s` | freezes; without `for` until thawed |
//! | `POST /.stub/thaw` | thaws |
//! | any other, any method | 200 `ok`, 500 for the seeded share, 503 at once when the waiting room is full |

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod answer;
mod counters;
mod freeze;
mod line;
mod server;
mod service_time;
#[cfg(test)]
mod tests;

pub use counters::StubStats;
pub use freeze::Freeze;
pub use service_time::{ServiceTime, ServiceTimeError};

/// The longest body that a request may have, in bytes; a longer one is answered 413.
pub const MAX_REQUEST_BODY_BYTES: u64 = 10 * 1024 * 1024;
/// The longest body that the stub answers with, in bytes.
pub const MAX_ANSWER_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Connections that wait to be accepted; the kernel may allow fewer (net.core.somaxconn).
const BACKLOG: u32 = 4096;

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

/// Why there is no stub.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// The address is taken or not this machine's.
    #[error("the stub cannot listen on {address}: {source}; choose another address, or port 0 for any free port")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting that cannot be meant.
    #[error("stub setting {setting}: {problem}")]
    Setting {
        /// Its name in [`StubConfig`].
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The kernel gave no timer.
    #[error("the stub has no timer: {0}; the limit of open files may be too low (ulimit -n)")]
    Timer(std::io::Error),
    /// Called outside a runtime.
    #[error("the stub runs on the tokio runtime it is started in, and there is none")]
    NoRuntime,
    /// The stub's own task ended before it was told to.
    #[error("the stub ended by itself: {0}")]
    Ended(String),
}

/// A stub that runs. Dropping the handle leaves it running until its token is cancelled.
#[derive(Debug)]
pub struct StubHandle {
    local_addr: SocketAddr,
    stub: Arc<answer::Stub>,
    task: JoinHandle<Result<(), StubError>>,
}

impl StubHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What it has done so far.
    pub fn stats(&self) -> StubStats {
        self.stub.stats()
    }

    /// Stands still for `duration` from now, or until thawed. A stub that stands already stands for the longer of the
    /// two.
    pub fn freeze(&self, duration: Option<Duration>) {
        self.stub.freeze_for(duration);
    }

    /// Runs on: what came in meanwhile is served oldest first.
    pub fn thaw(&self) {
        self.stub.thaw();
    }

    /// Waits until the stub has been shut down and its connections are closed.
    ///
    /// # Errors
    /// When it ended without having been told to.
    pub async fn wait(self) -> Result<(), StubError> {
        self.task.await.map_err(|error| StubError::Ended(error.to_string()))?
    }
}

/// Starts a stub on the current tokio runtime; when this returns it listens. Cancelling `shutdown` closes the listener
/// and every connection at once, answered or not.
///
/// # Errors
/// [`StubError::Listen`] when the address is taken, [`StubError::Setting`] when a setting is out of its range.
pub fn start(config: StubConfig, shutdown: CancellationToken) -> Result<StubHandle, StubError> {
    check(&config)?;
    tokio::runtime::Handle::try_current().map_err(|_| StubError::NoRuntime)?;
    let address = config.listen;
    let listener = listen(address).map_err(|source| StubError::Listen { address, source })?;
    let local_addr = listener.local_addr().map_err(|source| StubError::Listen { address, source })?;
    let stub = Arc::new(answer::Stub::new(config).map_err(StubError::Timer)?);
    let (reported, name) = (Arc::clone(&stub), name_of(local_addr));
    let reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        counters::add_metrics(families, &name, &reported.stats());
    });
    let serving = server::serve(listener, Arc::clone(&stub), shutdown);
    let task = tokio::spawn(async move {
        let served = serving.await;
        drop(reporting);
        served
    });
    Ok(StubHandle { local_addr, stub, task })
}

/// Starts a stub and waits until it is shut down.
///
/// # Errors
/// Those of [`start`] and [`StubHandle::wait`].
pub async fn run(config: StubConfig, shutdown: CancellationToken) -> Result<(), StubError> {
    let handle = start(config, shutdown)?;
    tracing::info!(address = %handle.local_addr(), "stub listens");
    handle.wait().await
}

/// What its metrics call it: a stub is on no registry.
fn name_of(address: SocketAddr) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", address.port())
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn check(config: &StubConfig) -> Result<(), StubError> {
    let wrong = |setting, problem: String| Err(StubError::Setting { setting, problem });
    if !(0.0..=1.0).contains(&config.error_rate) {
        return wrong("error_rate", format!("{} is no share; write 0 to 1", config.error_rate));
    }
    if config.concurrency == Some(0) {
        return wrong("concurrency", "0 would never answer; leave it out for no limit".to_owned());
    }
    if config.queue.is_some() && config.concurrency.is_none() {
        return wrong("queue", "nobody waits without a limit of concurrency; set one".to_owned());
    }
    if config.body_bytes > MAX_ANSWER_BODY_BYTES {
        return wrong("body_bytes", format!("{} is above the limit of {MAX_ANSWER_BODY_BYTES}", config.body_bytes));
    }
    if config.max_connections == 0 {
        return wrong("max_connections", "0 would accept nobody".to_owned());
    }
    if config.read_timeout.is_zero() {
        return wrong("read_timeout", "0 would cut everybody off".to_owned());
    }
    Ok(())
}
