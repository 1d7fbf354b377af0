//! One HTTP/2 connection: by prior knowledge over TCP, or agreed on in TLS (RFC 9113, 3). Many exchanges at a time.

use std::cell::Cell;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use nuncius_schemas::metric::FailureKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::failure::Failure;
use crate::host::Host;
use crate::http::client::Ending;
use crate::http::received::{Received, Wanted};
use crate::http::response::HEAD_MAX_BYTES;
use crate::http::stream::{self, Stream};
use crate::tls::Tls;

/// The protocol's name in TLS (RFC 7301).
pub(crate) const ALPN: &str = "h2";

/// What a server may send of one answer before it is told that some of it was read. Bodies are read as they come.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same of all answers of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Streams at a time until the server has said how many it takes (RFC 9113, 6.5.2 recommends no fewer).
const STREAMS_FIRST: usize = 100;

/// Bytes of HTTP/2 itself that went over a connection, before encryption.
#[derive(Debug, Default)]
struct Traffic {
    written_bytes: Cell<u64>,
    read_bytes: Cell<u64>,
    streams_max: Cell<usize>,
    /// The server takes no more exchanges on it.
    is_leaving: Cell<bool>,
    is_over: Cell<bool>,
}

/// An open connection. It closes when this is dropped and the exchanges on it are over.
pub(crate) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    traffic: Rc<Traffic>,
    /// Whom it is to.
    pub(crate) address: SocketAddr,
}

/// Spawns on the thread's local set.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Opens a connection to a host.
///
/// # Errors
/// No connection, no TLS session, or one whose peer speaks no HTTP/2.
pub(crate) async fn connect(target: &Host, tls: Option<&Tls>) -> Result<Http2, Failure> {
    let (stream, address) = stream::open(target, tls).await?;
    if tls.is_some() && stream.agreed_protocol() != Some(ALPN.as_bytes()) {
        let text = format!("tls {address}: the peer does not offer HTTP/2 (ALPN `{ALPN}`): take `http: 1`");
        return Err(Failure::new(FailureKind::Protocol, text));
    }
    let traffic = Rc::new(Traffic { streams_max: Cell::new(STREAMS_FIRST), ..Traffic::default() });
    let counted = Counted { stream, traffic: Rc::clone(&traffic) };
    let mut builder = Builder::new(Local);
    builder
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_max_send_streams(STREAMS_FIRST)
        .max_header_list_size(HEAD_MAX_BYTES as u32);
    let (sender, connection) = builder
        .handshake::<_, Full<Bytes>>(TokioIo::new(counted))
        .await
        .map_err(|error| trouble(address, &error).unwrap_or_else(|| closed(address)))?;
    let watched = Rc::clone(&traffic);
    tokio::task::spawn_local(async move {
        let mut connection = pin!(connection);
        // Why it ended is told by the exchanges on it.
        let _ = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            watched.streams_max.set(connection.current_max_send_streams());
            polled
        })
        .await;
        watched.is_over.set(true);
    });
    Ok(Http2 { sender, traffic, address })
}

impl Http2 {
    /// Whether more may be asked on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.traffic.is_over.get() && !self.sender.is_closed()
    }

    /// Whether the server has said, or has shown, that it takes no more exchanges on it. One that it has refused says
    /// nothing of others.
    pub(crate) fn is_leaving(&self) -> bool {
        self.traffic.is_leaving.get()
    }

    /// How many exchanges the server takes at a time.
    pub(crate) fn streams_max(&self) -> usize {
        self.traffic.streams_max.get()
    }

    /// Bytes written and read since this was last asked.
    pub(crate) fn take_traffic(&self) -> (u64, u64) {
        (self.traffic.written_bytes.take(), self.traffic.read_bytes.take())
    }

    /// Sends a request and keeps of its answer what is wanted. To drop the future cancels the exchange.
    ///
    /// # Errors
    /// How it ended without an answer.
    pub(crate) async fn exchange(
        &self,
        request: http::Request<Full<Bytes>>,
        wanted: Wanted,
        received: &mut Received,
    ) -> Result<(), Ending> {
        let answer = match self.sender.clone().try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut refused) => {
                let is_unseen = refused.take_message().is_some();
                return Err(self.ended(refused.error(), is_unseen, false));
            }
        };
        let (head, mut body) = answer.into_parts();
        received.take_headers(head.status.as_u16(), head.headers);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.ended(&error, false, true))?;
            if let Some(bytes) = frame.data_ref() {
                received.take_body(bytes, wanted).map_err(Ending::Failed)?;
            }
        }
        Ok(())
    }

    /// What an error means. What the server has refused, or what came after it had said that it takes no more, it has
    /// not looked at (RFC 9113, 8.7).
    fn ended(&self, error: &hyper::Error, is_unseen: bool, is_answered: bool) -> Ending {
        let cause = cause(error).filter(|cause| cause.is_remote());
        let is_told = cause.is_some_and(h2::Error::is_go_away);
        if is_told || is_unseen {
            self.traffic.is_leaving.set(true);
        }
        let is_refused = is_told || cause.and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM);
        match trouble(self.address, error) {
            Some(failure) if is_unseen || is_refused => Ending::Unseen(failure),
            None if is_unseen || is_refused => Ending::Unseen(closed(self.address)),
            Some(failure) => Ending::Failed(failure),
            None if is_answered => Ending::Failed(closed(self.address)),
            None => Ending::Unanswered(closed(self.address)),
        }
    }
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

fn closed(address: SocketAddr) -> Failure {
    let text = format!("{address}: closed by the peer before the answer was complete");
    Failure::new(FailureKind::Closed, text)
}

/// What went wrong, in words that hold nothing that the peer sent; none where the connection has just ended.
fn trouble(address: SocketAddr, error: &hyper::Error) -> Option<Failure> {
    let cause = cause(error)?;
    if let Some(error) = cause.get_io() {
        let is_end = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof);
        return (!is_end).then(|| Failure::of_error(FailureKind::Closed, address, error));
    }
    let reason = cause.reason().map_or_else(|| "no reason is given".to_owned(), |reason| reason.to_string());
    Some(match (cause.is_reset(), cause.is_remote()) {
        (true, true) => Failure::new(FailureKind::Closed, format!("{address}: the peer gave the stream up: {reason}")),
        (false, true) => {
            Failure::new(FailureKind::Closed, format!("{address}: the peer gave the connection up: {reason}"))
        }
        (_, false) => Failure::new(FailureKind::Protocol, format!("{address}: the answer is not HTTP/2: {reason}")),
    })
}

/// A stream whose bytes are counted.
struct Counted {
    stream: Stream,
    traffic: Rc<Traffic>,
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let polled = this.stream.poll_read(context, out);
        let read_bytes = &this.traffic.read_bytes;
        read_bytes.set(read_bytes.get() + (out.filled().len() - before) as u64);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream.poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            let written_bytes = &this.traffic.written_bytes;
            written_bytes.set(written_bytes.get() + *written as u64);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(context)
    }
}
