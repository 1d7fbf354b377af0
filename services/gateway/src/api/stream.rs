//! Server-sent events: an answer that does not end, to a reader that may be slow, or gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::mpsc;

/// How often something is written, so that whoever is in between keeps the connection.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a reader may not take what is there before it is cut off.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pieces that wait for a reader.
const WAITING_MAX: usize = 16;
/// How long a browser waits before it comes again, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// The reader is gone, or too slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

/// What is written to a reader.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Sender<Bytes>);

struct Waiting(mpsc::Receiver<Bytes>);

impl Stream for Waiting {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|piece| piece.map(Ok))
    }
}

/// An answer, and where it is written.
pub(super) fn open() -> (Lines, Response) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let mut answer = Response::new(Body::from_stream(Waiting(receiver)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    (Lines(sender), answer)
}

impl Lines {
    async fn write(&self, text: String) -> Result<(), Gone> {
        self.0.send_timeout(text.into(), PATIENCE).await.map_err(|_| Gone)
    }

    /// Says how soon a reader that lost the connection shall come again.
    pub(super) async fn retry(&self) -> Result<(), Gone> {
        self.write(format!("retry: {RETRY_MS}\n\n")).await
    }

    /// An event; `data` is JSON on one line.
    pub(super) async fn event(&self, name: &str, id: Option<&str>, data: &str) -> Result<(), Gone> {
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        self.write(format!("{id}event: {name}\ndata: {data}\n\n")).await
    }

    /// A line that readers do not see.
    pub(super) async fn comment(&self, text: &str) -> Result<(), Gone> {
        self.write(format!(": {text}\n\n")).await
    }

    /// Waits until the reader has gone.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}
