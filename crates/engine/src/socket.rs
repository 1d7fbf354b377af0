//! WebSockets of sessions (RFC 6455): opened by an upgrade, read whenever their session is polled, by whoever waits for
//! a message or else after it, so that pings are answered while it thinks.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{Sink, Stream as _};
use http::Request;
use nuncius_bus::Headers;
use nuncius_clock::monotonic_ns;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};

use crate::failure::Failure;
use crate::host::Host;
use crate::http::stream::{self, Stream};
use crate::inbox::Inbox;
use crate::tls::Tls;

mod end;
mod error;

pub(crate) use end::{End, Opened};

use error::failure_of;

/// What is read at once. Thousands of users have a buffer of this size each.
const READ_BYTES: usize = 4 * 1024;
/// Most that waits to be written, beyond one message.
const UNWRITTEN_MAX_BYTES: usize = 64 * 1024;
/// An open connection.
pub(crate) struct Socket {
    stream: WebSocketStream<Stream>,
    /// Whom it is to.
    pub(crate) address: SocketAddr,
    /// When it was opened, on CLOCK_MONOTONIC.
    pub(crate) opened_ns: u64,
    pub(crate) inbox: Inbox,
    /// It was not read to the end of what is there: nothing tells when there is more.
    is_unread: bool,
    end: Option<End>,
}

/// What a connection is opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Longest message that is taken, in bytes.
    pub(crate) message_max_bytes: usize,
}

/// Opens a connection to a host by this request, which is one for an upgrade.
///
/// # Errors
/// No connection; or an answer that is no upgrade, whose status is told.
pub(crate) async fn open(
    host: &Host,
    tls: Option<&Tls>,
    request: Request<()>,
    limits: Limits,
) -> Result<(Socket, Opened), (Failure, Option<Opened>)> {
    let (stream, address) = stream::open(host, tls).await.map_err(|failure| (failure, None))?;
    let most = limits.message_max_bytes.max(1);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(most.saturating_add(UNWRITTEN_MAX_BYTES))
        .max_message_size(Some(most))
        .max_frame_size(Some(most));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, response)) => {
            let opened = Opened { status: response.status().as_u16(), headers: response.headers().clone() };
            let (opened_ns, inbox) = (monotonic_ns(), Inbox::default());
            let socket = Socket { stream, address, opened_ns, inbox, is_unread: true, end: None };
            Ok((socket, opened))
        }
        Err(error) => Err(error::refused(address, error, most)),
    }
}

impl Socket {
    /// Its session is polled: there may be something to read.
    pub(crate) fn stir(&mut self) {
        self.is_unread = true;
    }

    /// Reads what is there, for somebody who waits for it. Whoever else does is woken.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>, message_max_bytes: usize) {
        self.read(context, message_max_bytes);
        if self.end.is_some() || !self.inbox.is_empty() {
            self.inbox.wake(context);
        }
    }

    /// Reads what is there, where nobody who was polled has done so.
    pub(crate) fn pump_unread(&mut self, context: &mut Context<'_>, message_max_bytes: usize) {
        if !self.is_unread {
            return;
        }
        self.read(context, message_max_bytes);
        if self.end.is_some() || !self.inbox.is_empty() {
            self.inbox.wake_again();
        }
    }

    fn read(&mut self, context: &mut Context<'_>, message_max_bytes: usize) {
        while self.end.is_none() && self.inbox.has_room() {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => {
                    self.is_unread = false;
                    break;
                }
                Poll::Ready(Some(Ok(Message::Text(text)))) => self.inbox.push(Bytes::from(text), true, Headers::new()),
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => self.inbox.push(bytes, false, Headers::new()),
                // The library answers pings by itself, with the next flush.
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                    let _ = Pin::new(&mut self.stream).poll_flush(context);
                }
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    let _ = Pin::new(&mut self.stream).poll_flush(context);
                    self.end = Some(End::Closed(frame.map(|frame| frame.code.into())));
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(error::end_of(self.address, error, message_max_bytes)),
                Poll::Ready(None) => self.end = Some(End::Closed(None)),
            }
        }
    }

    /// Why nothing comes any more, once that is so.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Begins to write a message; [`Socket::flush`] tells when all of it is written.
    ///
    /// # Errors
    /// The connection has ended, or too much waits to be written.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), Failure> {
        if let Some(end) = &self.end {
            return Err(end.failure(self.address));
        }
        let sent = Pin::new(&mut self.stream).start_send(message);
        sent.map_err(|error| failure_of(self.address, error, usize::MAX))
    }

    /// Writes what waits to be written.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        flushed.map_err(|error| failure_of(self.address, error, usize::MAX))
    }

    /// Says that the connection is to be closed.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn say_close(&mut self, code: u16) -> Result<(), Failure> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        self.send(Message::Close(Some(frame)))
    }

    /// Says goodbye as far as that needs no waiting: the session is over.
    pub(crate) fn part(mut self) {
        if self.end.is_none() && self.say_close(CloseCode::Normal.into()).is_ok() {
            let mut context = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
        }
    }
}

/// Waits for `ready`, polled as long as its session is.
pub(crate) async fn until<T>(ready: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin) -> T {
    poll_fn(ready).await
}
