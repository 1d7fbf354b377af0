//! How events reach the service: over HTTP, or over the bus.

use std::time::Duration;

use nuncius_schemas::metric::FailureKind;

use super::http::Http;
use super::nats::Nats;
use crate::trouble::Trouble;

/// One event to be sent.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) servo: u32,
    pub(super) app: String,
    pub(super) body: String,
    pub(super) traceparent: Option<String>,
    /// Over the bus; over HTTP it is among the headers of all.
    pub(super) authorization: Option<String>,
    /// Left as soon as it is written.
    pub(super) drops: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Bytes written for it.
    pub(super) written_bytes: u64,
    /// Bytes that it had itself.
    pub(super) read_bytes: u64,
    /// How often it was sent again because the service had closed the connection without seeing it.
    pub(super) retried: u64,
}

pub(super) enum Transport {
    Http(Box<Http>),
    Nats(Nats),
}

impl Transport {
    /// Status and body of the answer to an event, within `timeout` of its being written, or of its wait for a
    /// connection.
    pub(super) async fn exchange(&self, order: &Order, timeout: Duration, sent: impl Fn()) -> Result<Reply, Trouble> {
        let whole = async {
            match self {
                Self::Http(http) => http.exchange(order, sent).await,
                Self::Nats(nats) => nats.exchange(order, sent).await,
            }
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(ended) => ended,
            Err(_) => Err(Trouble::target(FailureKind::Timeout, "no complete answer within the timeout")),
        }
    }
}
