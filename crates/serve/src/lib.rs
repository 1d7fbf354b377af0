//! The HTTP faces of services: one loop that accepts, with everything bounded that a stranger can send or hold.
//!
//! What a path means is the service's. This crate must never answer for it, never hold a connection for ever, and never
//! let one peer's silence stand in another's way.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use activity::Activity;
use watched::Watched;

mod activity;
pub mod sites;
pub mod watched;

/// What a handler gives.
pub type Answer = Response<Full<Bytes>>;

/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The smallest buffer that hyper takes, in bytes.
const BUFFER_MIN_BYTES: usize = 8192;
/// What is sent where no connection is free.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 46\r\n\r\nERROR: more connections than connections_max.\n";

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Longest head of a request, in bytes; [`head_bytes`] tells handlers, who answer 431 beyond it.
    pub header_max_bytes: usize,
    /// Longest body, in bytes; the handler heeds it.
    pub body_max_bytes: usize,
    /// How long the head may take, and again the body.
    pub read_timeout: Duration,
    /// How long a connection may be silent between two requests. None counts that silence as part of the next head.
    /// With a time of its own, a head that stalls is cut off after `read_timeout` to twice that, and so is a connection
    /// that has never asked anything.
    pub idle_timeout: Option<Duration>,
    /// How long a peer may not take what is written to it. None waits as long as the connection is kept. Heeded where
    /// there is an `idle_timeout`, within `read_timeout`.
    pub write_timeout: Option<Duration>,
    /// How long a connection may be kept, whatever it does.
    pub connection_timeout: Duration,
    /// Connections held at a time; one more is answered 503 at once.
    pub connections_max: usize,
    /// Names of hosts that are meant, for [`sites::foreign`].
    pub allowed_hosts: Vec<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_max_bytes: 4096,
            body_max_bytes: 4096,
            read_timeout: Duration::from_secs(1),
            idle_timeout: None,
            write_timeout: None,
            connection_timeout: Duration::from_secs(60),
            connections_max: 256,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Why there is no face.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not this machine's, or not an address.
    #[error("{what} cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// What should have listened.
        what: &'static str,
        /// Where.
        address: String,
        /// The flag that says where.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes an address, host and port.
///
/// # Errors
/// [`ServeError::Listen`] with the address and the flag.
pub async fn listen(what: &'static str, address: &str, flag: &'static str) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Listen { what, address: address.to_owned(), flag, source })
}

/// Answers requests with `handler` until `shutdown`; answers that were begun then have [`HttpLimits::read_timeout`] to
/// end. `refused` is called for what no handler sees: connections too many, and what is no HTTP.
pub async fn serve<H, F, R, B>(
    listener: TcpListener,
    limits: HttpLimits,
    shutdown: CancellationToken,
    handler: H,
    refused: R,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    R: Fn() + Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    // Dropped with this future, which ends every connection.
    let mut connections = JoinSet::new();
    let mut has_warned = false;
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < limits.connections_max => {
                    is_failing = false;
                    let (handler, refused) = (handler.clone(), refused.clone());
                    connections.spawn(talk(stream, peer, limits.clone(), shutdown.clone(), handler, refused));
                }
                Ok((stream, _)) => {
                    refused();
                    turn_away(stream);
                    if !has_warned {
                        let connections_max = limits.connections_max;
                        tracing::warn!(connections_max, "connections beyond connections_max are refused");
                    }
                    has_warned = true;
                }
                Err(error) => {
                    // Once for a time of it: out of descriptors it comes a hundred times a second.
                    if !is_failing {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    is_failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.read_timeout, ended).await.is_err() {
        tracing::debug!("connections were cut off");
    }
}

/// Says that there is no room, if that can be said at once.
fn turn_away(stream: TcpStream) {
    if let Err(error) = stream.into_std().and_then(|mut stream| stream.write_all(BUSY)) {
        tracing::debug!(%error, "a connection too many was closed without a word");
    }
}

async fn talk<H, F, R, B>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: HttpLimits,
    shutdown: CancellationToken,
    handler: H,
    refused: R,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send,
    F: Future<Output = Response<B>> + Send,
    R: Fn() + Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let activity = limits.idle_timeout.map(|idle| Activity::new(idle, limits.write_timeout));
    let heard = activity.clone();
    let watched = Watched::new(stream, move || {
        if let Some(activity) = &heard {
            activity.has_read();
        }
    })
    .telling_writes(activity.clone());
    let told = activity.clone();
    let service = service_fn(move |request| {
        if let Some(activity) = &told {
            activity.answering();
        }
        let answer = handler(request, peer);
        let told = told.clone();
        async move {
            let answer = answer.await;
            if let Some(activity) = &told {
                activity.waiting();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper would count the silence between requests too.
        .header_read_timeout(activity.is_none().then_some(limits.read_timeout))
        // Heads between the limit and this are the handler's to refuse, with the limit's name.
        .max_buf_size(limits.header_max_bytes.max(BUFFER_MIN_BYTES))
        .serve_connection(watched, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = activity::stalled(activity.as_deref(), limits.read_timeout) => Ok(()),
        () = async { tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(limits.connection_timeout) => {}
        } } => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.read_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended");
        if error.is_parse() {
            // Answered by hyper, with 400 or 431.
            refused();
        }
    }
}

/// The length of a head as it is written, in bytes.
pub fn head_bytes(head: &Parts) -> usize {
    const LINE_EXTRA: usize = "  HTTP/1.1\r\n\r\n".len();
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + ": \r\n".len() + value.len());
    let uri_bytes = match (head.uri.scheme(), head.uri.authority(), head.uri.path_and_query()) {
        (None, None, Some(path_and_query)) => path_and_query.as_str().len(),
        _ => head.uri.to_string().len(),
    };
    head.method.as_str().len() + uri_bytes + LINE_EXTRA + fields.sum::<usize>()
}

/// A text that no cache keeps and no browser takes for something else.
pub fn answer(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
