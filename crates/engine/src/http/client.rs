//! One connection of the engines of tasks: TCP, or TLS on it. Requests are written as they were rendered, answers read
//! by the one reader of all engines.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nuncius_schemas::metric::FailureKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::connect;
use crate::http::response::{Progress, ResponseReader};
use crate::http::reuse::{self, Rest};
use crate::plan::Host;
use crate::tls::{self, Tls};
use crate::trouble::Trouble;

/// Size of the one buffer of a thread for answers.
const READ_BYTES: usize = 32 * 1024;
/// Longest request that TLS sends in one record: of a longer one a part may have been seen.
const RECORD_BYTES: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// An open connection.
pub(crate) struct Client {
    stream: Stream,
    reader: ResponseReader,
    /// Whom it is to.
    pub(crate) address: SocketAddr,
    /// Index of its host in the plan.
    pub(crate) host: usize,
    /// Was at rest, or gave an answer, before this request.
    pub(crate) is_reused: bool,
    /// Answers it has given.
    pub(crate) served: u32,
    /// Bytes of the last exchange that were written and read, those of HTTP itself.
    pub(crate) written_bytes: u64,
    pub(crate) read_bytes: u64,
    /// When it is too old to be used again, on CLOCK_MONOTONIC.
    idle_until_ns: u64,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The connection may be used again.
    pub(crate) keeps: bool,
}

/// How a request ended without an answer.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer had closed the connection before any of it reached it.
    Unseen(Trouble),
    /// The peer cut the connection without having read all of it (RFC 9293, 3.10.4), before any of the answer came.
    Cut(Trouble),
    /// The connection ended before any of the answer came.
    Unanswered(Trouble),
    Failed(Trouble),
}

/// Opens a connection to a host, with a TLS session on it where one is wanted.
pub(crate) async fn connect(target: &Host, host: usize, tls: Option<&Tls>) -> Result<Client, Trouble> {
    let socket = connect::connect(target).await?;
    let address = socket.peer_addr().unwrap_or(target.address);
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector.connect(tls.server_name.clone(), socket).await;
            Stream::Secure(Box::new(stream.map_err(|error| tls_trouble(address, &error))?))
        }
    };
    Ok(Client {
        stream,
        reader: ResponseReader::new(),
        address,
        host,
        is_reused: false,
        served: 0,
        written_bytes: 0,
        read_bytes: 0,
        idle_until_ns: u64::MAX,
    })
}

fn tls_trouble(address: SocketAddr, error: &io::Error) -> Trouble {
    match Trouble::of_error(FailureKind::Tls, "", error) {
        Trouble::Target(FailureKind::Tls, _) => {
            Trouble::Target(FailureKind::Tls, format!("tls {address}: {}", tls::in_words(error)))
        }
        other @ (Trouble::Target(..) | Trouble::Generator(_)) => other,
    }
}

impl Client {
    /// Whether it may be used for another request at `now_ns`: neither closed nor told to be by now.
    pub(crate) fn is_open(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.idle_until_ns {
            return false;
        }
        match reuse::look(self.stream.as_fd()) {
            Rest::Quiet => true,
            Rest::Closed => false,
            // Nothing was asked for; but a TLS session has messages of its own.
            Rest::Bytes => match &mut self.stream {
                Stream::Plain(_) => false,
                Stream::Secure(stream) => {
                    let mut byte = [0u8; 1];
                    let mut context = Context::from_waker(Waker::noop());
                    Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
                }
            },
        }
    }

    /// Nothing is asked on it from `now_ns` on.
    pub(crate) fn rest(&mut self, now_ns: u64) {
        self.reader.shrink();
        self.is_reused = true;
        let seconds = self.reader.idle_seconds();
        self.idle_until_ns = seconds.map_or(u64::MAX, |seconds| {
            now_ns.saturating_add(u64::from(seconds).saturating_mul(nuncius_schemas::units::SECOND_NS))
        });
    }

    /// Writes a request, and waits for no answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        (self.written_bytes, self.read_bytes) = (0, 0);
        let mut left = request;
        let mut is_flushed = false;
        poll_fn(|context| match self.write(context, &mut left, &mut is_flushed) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) if is_flushed => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
        })
        .await
    }

    /// Writes a request and reads its answer. `written` is told once all of it is written; the bytes of the answer's
    /// body are given to `body` as they come.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        is_head: bool,
        mut written: impl FnMut(),
        mut body: impl FnMut(&[u8]),
    ) -> Result<Answer, Ending> {
        (self.written_bytes, self.read_bytes) = (0, 0);
        self.reader.reset(is_head);
        let mut left = request;
        let (mut is_flushed, mut is_told) = (false, false);
        let ended = poll_fn(|context| {
            if let Err(error) = self.write(context, &mut left, &mut is_flushed) {
                return Poll::Ready(Err(self.broken(request.len(), Some(&error))));
            }
            if is_flushed && !is_told {
                is_told = true;
                written();
            }
            self.read(context, request.len(), &mut body)
        })
        .await?;
        self.served = self.served.saturating_add(1);
        self.is_reused = true;
        // Who has not taken the whole request may misread the next.
        Ok(Answer { keeps: ended.keeps && left.is_empty(), ..ended })
    }

    /// As much of the request as there is room for. An error counts only where none of it could be written: later ones
    /// are told by the answer, or by its absence.
    fn write(&mut self, context: &mut Context<'_>, left: &mut &[u8], is_flushed: &mut bool) -> io::Result<()> {
        while !left.is_empty() {
            match self.stream.poll_write(context, left) {
                Poll::Ready(Ok(written)) => {
                    self.written_bytes += written as u64;
                    *left = left.get(written..).unwrap_or_default();
                }
                Poll::Ready(Err(error)) if self.written_bytes == 0 => return Err(error),
                Poll::Ready(Err(_)) => {
                    *left = &[];
                    *is_flushed = true;
                }
                Poll::Pending => return Ok(()),
            }
        }
        if !*is_flushed {
            *is_flushed = self.stream.poll_flush(context).is_ready();
        }
        Ok(())
    }

    fn read(
        &mut self,
        context: &mut Context<'_>,
        request_bytes: usize,
        body: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<Answer, Ending>> {
        BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut room = ReadBuf::new(buffer);
                let read = match self.stream.poll_read(context, &mut room) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => room.filled(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(request_bytes, Some(&error)))),
                };
                if read.is_empty() {
                    let is_complete = self.read_bytes > 0 && self.reader.close();
                    return Poll::Ready(match is_complete {
                        true => Ok(Answer { status: self.reader.status(), keeps: false }),
                        false => Err(self.broken(request_bytes, None)),
                    });
                }
                self.read_bytes += read.len() as u64;
                match self.reader.feed_to(read, &mut *body) {
                    Ok(Progress::Partial) => {}
                    Ok(Progress::Complete { consumed }) => {
                        // What follows an answer was not asked for.
                        let keeps = self.reader.keeps_alive() && consumed == read.len();
                        return Poll::Ready(Ok(Answer { status: self.reader.status(), keeps }));
                    }
                    Err(error) => {
                        let sample = format!("{}: {error}", self.address);
                        return Poll::Ready(Err(Ending::Failed(Trouble::Target(FailureKind::Protocol, sample))));
                    }
                }
            }
        })
    }

    /// What it means that the connection has ended under a request, with an error or because the peer has closed it.
    fn broken(&self, request_bytes: usize, error: Option<&io::Error>) -> Ending {
        let address = self.address;
        let is_end = error.is_none_or(|error| error.kind() == io::ErrorKind::UnexpectedEof);
        let trouble = match error {
            Some(error) if tls::is_tls(error) => tls_trouble(address, error),
            Some(error) if !is_end => Trouble::of_error(FailureKind::Closed, address, error),
            _ => {
                let sample = format!("{address}: closed by the peer before the answer was complete");
                Trouble::Target(FailureKind::Closed, sample)
            }
        };
        if self.read_bytes > 0 || !matches!(trouble, Trouble::Target(FailureKind::Closed, _)) {
            return Ending::Failed(trouble);
        }
        let is_whole = matches!(self.stream, Stream::Plain(_)) || request_bytes <= RECORD_BYTES;
        if self.written_bytes == 0 || is_end && is_whole && reuse::is_unseen(&self.stream, request_bytes) {
            return Ending::Unseen(trouble);
        }
        if is_end { Ending::Unanswered(trouble) } else { Ending::Cut(trouble) }
    }
}
