//! Telemetry on its way out: messages of OTLP, published without waiting for anybody.
//!
//! What is done here makes no telemetry itself, and fails without a word but the counts: there is nobody else to tell.

use bytes::Bytes;
use nuncius_schemas::subjects::{CONTENT_TYPE_PROTOBUF, HEADER_CONTENT_TYPE, Signal};

use crate::{Bus, BusError, Headers};

impl Bus {
    /// Publishes the bytes of an `Export…ServiceRequest`, to be taken by a gateway. Returns when they have been
    /// written to the server, so that never more than one message of a caller is on its way, however slow the link is.
    /// May be lost.
    ///
    /// # Errors
    /// [`BusError::PayloadTooLarge`], [`BusError::Closed`].
    pub async fn publish_otlp(&self, signal: Signal, message: Bytes) -> Result<(), BusError> {
        let headers = Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_PROTOBUF);
        self.publish(&self.namespace().otlp(signal), &headers, message).await?;
        self.flush().await
    }
}
