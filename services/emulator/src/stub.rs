//! The stub: an HTTP target with a known queue, known service times and known failures. It speaks HTTP/1.1 and, to
//! those who begin with it, HTTP/2 without TLS on the same port (RFC 9113, section 3.3).
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
//! | `POST /login` | JSON with a `token`, and a cookie `sid`; 401 for the password `wrong` |
//! | `/account`, `/private`, `POST /logout` | 401 without a bearer token that the stub gave |
//! | `/session` | 401 without the cookie `sid` |
//! | `/items`, `/items/ID` | JSON: a list, and items 1 to 1000 |
//! | `/cart`, `POST /cart`, `/orders`, `POST /orders`, `/orders/ID` | JSON; what is made has a `Location` |
//! | `POST /oauth/token`, `/oauth2/token` | a token by `client_credentials` or `password` (RFC 6749); `?expires_in=2` |
//! | `/redirect/N` | 302, N times, then as any other; up to 100 |
//! | `/page`, `/page/N`, `POST /form` | HTML with a link and a form; 403 without its hidden field `csrf` |
//! | any other, any method | 200 `ok` |
//!
//! All of them but `/.stub/` are served alike: 500 for the seeded share, 503 at once when the waiting room is full.
//! Whoever asks for gzip gets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod answer;
mod coding;
mod config;
mod counters;
mod error;
mod freeze;
mod line;
mod pages;
mod server;
mod service_time;
mod site;
#[cfg(test)]
mod tests;
mod token;

pub use config::{Freeze, MAX_ANSWER_BODY_BYTES, MAX_REQUEST_BODY_BYTES, StubConfig};
pub use counters::StubStats;
pub use error::StubError;
pub use service_time::{ServiceTime, ServiceTimeError};

/// Connections that wait to be accepted; the kernel may allow fewer (net.core.somaxconn).
const BACKLOG: u32 = 4096;

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
