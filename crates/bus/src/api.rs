//! Operations of JetStream's interface: asked, and asked again while a cluster elects a leader.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::API_TIMEOUT;
use crate::{Bus, BusError, Headers};

/// There is no such stream.
pub(crate) const CODE_NO_STREAM: u64 = 10059;
/// A stream of this name is there, otherwise.
pub(crate) const CODE_STREAM_EXISTS: u64 = 10058;
/// There is no such consumer.
pub(crate) const CODE_NO_CONSUMER: u64 = 10014;
/// There is no such message.
pub(crate) const CODE_NO_MESSAGE: u64 = 10037;
/// What passes: no leader at present, not the leader, a server of the cluster is missing.
const CODES_PASSING: [u64; 3] = [10008, 10009, 10005];
/// A stream could not store: full, or at present without its leader.
const CODE_STORE_FAILED: u64 = 10077;

/// What JetStream says instead of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct WireError {
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

#[derive(Deserialize)]
struct Outcome {
    error: Option<WireError>,
}

impl WireError {
    /// Whether asking again soon may go well.
    pub(crate) fn passes(&self) -> bool {
        // Limits are told under the same number as the loss of a leader.
        let is_limit = self.description.contains("exceeded") || self.description.contains("sealed");
        CODES_PASSING.contains(&self.err_code) || (self.err_code == CODE_STORE_FAILED && !is_limit)
    }
}

/// Tries until a cluster must have elected its leaders.
#[derive(Debug)]
pub(crate) struct Retry {
    until: Instant,
    backoff: Backoff,
}

impl Retry {
    pub(crate) fn new(bus: &Bus) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { until: Instant::now() + bus.election_patience(), backoff }
    }

    /// Waits a little; false once it has taken too long.
    pub(crate) async fn again(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        self.backoff.wait().await;
        true
    }
}

impl Bus {
    /// Asks JetStream's interface. Everything that is asked so may be asked again: it does the same, or says that it
    /// has been done.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<Result<T, WireError>, BusError> {
        let subject = self.api_subject(operation);
        let bad = |error: serde_json::Error| BusError::BadAnswer { what: subject.clone(), reason: error.to_string() };
        let body = serde_json::to_vec(body).map_err(bad)?;
        let body = if body == b"null" { Bytes::new() } else { Bytes::from(body) };
        match self.api_answer(subject.clone(), body).await? {
            Ok(answer) => serde_json::from_slice(&answer).map(Ok).map_err(bad),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The answer to a body, or what JetStream says instead of one. Boxed, and so compiled once, in this crate.
    fn api_answer(&self, subject: String, body: Bytes) -> BoxFuture<'_, Result<Result<Bytes, WireError>, BusError>> {
        let asked = async move {
            let mut retry = Retry::new(self);
            loop {
                match self.request(&subject, &Headers::new(), body.clone(), API_TIMEOUT).await {
                    Ok(answer) => {
                        let outcome: Outcome = serde_json::from_slice(&answer.payload)
                            .map_err(|e| BusError::BadAnswer { what: subject.clone(), reason: e.to_string() })?;
                        match outcome.error {
                            Some(error) if error.passes() && retry.again().await => {}
                            Some(error) => return Ok(Err(error)),
                            None => return Ok(Ok(answer.payload)),
                        }
                    }
                    Err(BusError::Timeout { .. } | BusError::NoResponders { .. })
                        if self.is_apart() && retry.again().await => {}
                    Err(BusError::NoResponders { subject }) => {
                        return Err(BusError::jetstream(subject, "no JetStream answers there"));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Box::pin(asked)
    }

    /// The same, an answer that says no being an error of `what`.
    pub(crate) async fn api_done<T: DeserializeOwned>(
        &self,
        what: impl FnOnce() -> String,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<T, BusError> {
        self.api(operation, body).await?.map_err(|error| BusError::jetstream(what(), error.description))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_stream_is_not_taken_for_one_without_a_leader() {
        let error = |err_code, text: &str| WireError { err_code, description: text.to_owned() };
        assert!(!error(10077, "maximum messages exceeded").passes());
        assert!(error(10077, "raft: not leader").passes());
        assert!(error(10008, "JetStream system temporarily unavailable").passes());
        assert!(!error(CODE_NO_STREAM, "stream not found").passes());
    }
}
