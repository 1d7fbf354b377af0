//! How events reach the service: over HTTP, or over the bus.

use std::time::Duration;

use nuncius_schemas::metric::FailureKind;

use super::http::Http;
use super::nats::Nats;
use super::order::{Order, Reply};
use crate::failure::Failure;

pub(super) enum Transport {
    Http(Box<Http>),
    Nats(Nats),
}

impl Transport {
    /// Status and body of the answer to an event, within `timeout` of its being written, or of its wait for a
    /// connection.
    pub(super) async fn exchange(&self, order: &Order, timeout: Duration, sent: impl Fn()) -> Result<Reply, Failure> {
        let whole = async {
            match self {
                Self::Http(http) => http.exchange(order, sent).await,
                Self::Nats(nats) => nats.exchange(order, sent).await,
            }
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(ended) => ended,
            Err(_) => Err(Failure::new(FailureKind::Timeout, "no complete answer within the timeout")),
        }
    }
}
