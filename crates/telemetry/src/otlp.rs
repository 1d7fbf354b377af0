//! Sending messages of OTLP to a receiver: a collector, Jaeger, or whatever else speaks it.
//!
//! One request is one connection: a receiver that was half open, moved or restarted is forgotten with it, and at a few
//! requests a second nobody feels the difference. Both protocols go over the HTTP library that the tree has anyway:
//! a whole gRPC library would be many times the code, for calls of one kind.

use std::time::Duration;

use bytes::Bytes;

mod answer;
mod dial;
mod endpoint;
mod grpc;
mod http1;
mod sender;

pub use answer::Answer;
pub use endpoint::{DEFAULT_TIMEOUT, Endpoint, Protocol};
pub use sender::Sender;

impl Sender {
    /// Sends a message, the bytes of an `Export…ServiceRequest`; ends within `patience` and the endpoint's timeout.
    pub async fn send(&self, message: &Bytes, patience: Duration) -> Answer {
        let patience = patience.min(self.timeout);
        let sent = async {
            match self.protocol {
                Protocol::Http => http1::send(self, message).await,
                Protocol::Grpc => grpc::send(self, message, patience).await,
            }
        };
        match tokio::time::timeout(patience, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Later { after: None, reason: told(error.as_ref()) },
            Err(_) => Answer::Later { after: None, reason: format!("no answer within {patience:?}") },
        }
    }
}

/// An error with its causes: those of the HTTP library say nothing by themselves.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
