//! How events reach the service: over HTTP, or over the bus.

use std::time::Duration;

use nuncius_schemas::metric::FailureKind;

use super::http::Http;
use super::nats::Nats;

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

/// Why there is no answer. Never holds what the service sent.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: FailureKind,
    pub(super) sample: String,
}

impl Trouble {
    pub(super) fn new(kind: FailureKind, sample: String) -> Self {
        Self { kind, sample }
    }
}

pub(super) enum Transport {
    Http(Box<Http>),
    Nats(Nats),
}

impl Transport {
    /// Status and body of the answer to an event, within `timeout` of its being written, or of its wait for a connection.
    pub(super) async fn exchange(
        &self,
        order: &Order,
        timeout: Duration,
        sent: impl Fn(),
    ) -> Result<(u16, Vec<u8>), Trouble> {
        let whole = async {
            match self {
                Self::Http(http) => http.exchange(order, sent).await,
                Self::Nats(nats) => nats.exchange(order, sent).await,
            }
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(ended) => ended,
            Err(_) => Err(Trouble::new(FailureKind::Timeout, "no complete answer within the timeout".to_owned())),
        }
    }
}
