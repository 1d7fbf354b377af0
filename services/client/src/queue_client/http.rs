//! The control page's HTTP server.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /stats`, `/nodes`, `/pods`, `/fails`, `/reqs-per-sec` | reads; also as `/reqs-per-seq` |
//! | `GET /parallel` | the parallelism in force; also as `/parallelism` |
//! | `POST /parallel` with `value=N`, `GET /parallel?value=N` | changes it and resets the statistics; answers what is then in force |
//! | `POST /reset`, `GET /reset` | resets the statistics |
//! | `GET /` | leads to `/stats` |
//!
//! `type=plain`, `json` or `html` chooses how the answer is written. Nobody is asked who he is: listen on loopback or within
//! a cluster. What a browser sends on behalf of another site is refused as far as a browser says so; a page that hides
//! where it comes from and reaches this address without TLS can still make a plain GET, as a script does.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control::Control;

mod form;
mod origin;
mod routes;
#[cfg(test)]
mod tests;

/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The smallest buffer that hyper takes, in bytes.
const BUFFER_MIN_BYTES: usize = 8192;
/// What is sent where no connection is free.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 46\r\n\r\nERROR: more connections than connections_max.\n";

/// What a client of the control page may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Longest head of a request, in bytes; a longer one is answered 431.
    pub header_max_bytes: usize,
    /// Longest body of a POST, in bytes; a longer one is answered 413.
    pub body_max_bytes: usize,
    /// How long the head may take, and again the body. A late head is cut off, a late body answered 408.
    pub read_timeout: Duration,
    /// How long a connection may be kept, whatever it does.
    pub connection_timeout: Duration,
    /// Connections held at a time; one more is answered 503 at once.
    pub connections_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_max_bytes: 4096,
            body_max_bytes: 4096,
            read_timeout: Duration::from_secs(1),
            connection_timeout: Duration::from_secs(60),
            connections_max: 256,
        }
    }
}

/// Why there is no control page.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is taken, not this machine's, or not an address.
    #[error("the control page cannot listen on {address}: {source}; choose another address with --caddr")]
    Listen {
        /// Where it should have listened.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes the address of the control page, host and port.
///
/// # Errors
/// [`HttpError::Listen`] with the address and the flag.
pub async fn listen(address: &str) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address: address.to_owned(), source })
}

/// What every connection shares.
struct Shared {
    control: Arc<Control>,
    limits: HttpLimits,
}

/// Serves the control page until `shutdown`; answers that were begun then have [`HttpLimits::read_timeout`] to end.
pub async fn serve(listener: TcpListener, control: Arc<Control>, limits: HttpLimits, shutdown: CancellationToken) {
    let grace = limits.read_timeout;
    let shared = Arc::new(Shared { control, limits });
    // Dropped with this future, which ends every connection.
    let mut connections = JoinSet::new();
    let mut has_warned = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < shared.limits.connections_max => {
                    connections.spawn(talk(stream, peer, Arc::clone(&shared), shutdown.clone()));
                }
                Ok((stream, _)) => {
                    shared.control.with(|statistics| statistics.count_query(false));
                    refuse(stream);
                    if !has_warned {
                        let connections_max = shared.limits.connections_max;
                        tracing::warn!(connections_max, "the control page refuses connections beyond connections_max");
                    }
                    has_warned = true;
                }
                Err(error) => {
                    tracing::warn!(%error, "the control page could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::debug!("connections of the control page were cut off");
    }
}

/// Says that there is no room, if that can be said at once.
fn refuse(stream: TcpStream) {
    if let Err(error) = stream.into_std().and_then(|mut stream| stream.write_all(BUSY)) {
        tracing::debug!(%error, "a connection too many was closed without a word");
    }
}

async fn talk(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let limits = &shared.limits;
    let service = service_fn(|request| routes::answer(request, peer, &shared));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout)
        // Heads between the limit and this are refused by the routes, with the limit's name.
        .max_buf_size(limits.header_max_bytes.max(BUFFER_MIN_BYTES))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(limits.connection_timeout) => {}
        } } => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.read_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection of the control page ended");
        if error.is_parse() {
            // Answered by hyper, with 400 or 431.
            shared.control.with(|statistics| statistics.count_query(false));
        }
    }
}
