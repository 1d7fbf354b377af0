//! A socket that tells when something was read from it, for whoever limits how long a connection may be silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::activity::Activity;

/// The socket; the function is called after each read that ended, before hyper looks at what came.
#[derive(Debug)]
pub struct Watched<F> {
    stream: TokioIo<TcpStream>,
    has_read: F,
    writes: Option<Arc<Activity>>,
}

impl<F: Fn() + Unpin> Watched<F> {
    /// Tells `has_read` of the reads of this socket.
    pub fn new(stream: TcpStream, has_read: F) -> Self {
        Self { stream: TokioIo::new(stream), has_read, writes: None }
    }

    /// Tells of the writes, too.
    pub(crate) fn telling_writes(mut self, activity: Option<Arc<Activity>>) -> Self {
        self.writes = activity;
        self
    }

    fn note_write<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Some(activity) = &self.writes {
            match &written {
                Poll::Pending => activity.cannot_write(),
                Poll::Ready(_) => activity.has_written(),
            }
        }
        written
    }
}

impl<F: Fn() + Unpin> Read for Watched<F> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if result.is_ready() {
            (self.has_read)();
        }
        result
    }
}

impl<F: Fn() + Unpin> Write for Watched<F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(written)
    }
}
