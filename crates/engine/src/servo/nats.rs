//! Events over the bus: a request on `<namespace>.oco.<account>.<app>.servo`, on a connection of the thread's own.

use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, BusError, Headers};
use nuncius_schemas::metric::FailureKind;

use super::transport::{Order, Reply};
use crate::trouble::Trouble;

/// Header in which an answer says a status other than 200.
const STATUS_HEADER: &str = "status";

pub(super) struct Nats {
    bus: Bus,
    /// Everything of a subject before the name of the application.
    prefix: String,
    timeout: Duration,
}

impl Nats {
    pub(super) fn new(bus: Bus, account: &str, timeout: Duration) -> Self {
        let prefix = format!("{}.oco.{account}.", bus.namespace().as_str());
        Self { bus, prefix, timeout }
    }

    /// Sends an event and waits for its answer: status and body.
    pub(super) async fn exchange(&self, order: &Order, sent: impl Fn()) -> Result<Reply, Trouble> {
        let subject = format!("{}{}.servo", self.prefix, order.app);
        let mut headers = Headers::new();
        for (name, value) in [("traceparent", &order.traceparent), ("authorization", &order.authorization)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        let payload = Bytes::from(order.body.clone());
        let written_bytes = payload.len() as u64;
        sent();
        if order.drops {
            // There is no connection to close: nobody waits for the answer.
            self.bus.publish(&subject, &headers, payload).await.map_err(trouble)?;
            return Err(Trouble::target(FailureKind::Closed, "left on purpose, before the answer"));
        }
        let answer = self.bus.request(&subject, &headers, payload, self.timeout).await.map_err(trouble)?;
        let status = status_of(&answer.headers, &answer.payload);
        let read_bytes = answer.payload.len() as u64;
        Ok(Reply { status, body: answer.payload.to_vec(), written_bytes, read_bytes, retried: 0 })
    }

    pub(super) async fn close(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.bus.drain_and_close()).await;
    }
}

/// The status that an answer says; without one, 400 for a body that has nothing but a `detail`, as errors over HTTP
/// have.
fn status_of(headers: &Headers, payload: &[u8]) -> u16 {
    let said = headers.get(STATUS_HEADER).or_else(|| headers.get("Nats-Service-Error-Code"));
    if let Some(status) = said.and_then(|text| text.trim().parse().ok()) {
        return status;
    }
    let body: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(payload).ok();
    let is_error = body
        .is_some_and(|body| body.contains_key("detail") && !body.contains_key("status") && !body.contains_key("cmd"));
    if is_error { 400 } else { 200 }
}

fn trouble(error: BusError) -> Trouble {
    let kind = match &error {
        BusError::Timeout { .. } => FailureKind::Timeout,
        BusError::NoResponders { .. } => FailureKind::Connect,
        _ => FailureKind::Closed,
    };
    Trouble::Target(kind, error.to_string())
}
