//! Questions to one process that may just be on its way from one server of a cluster to another: for a moment nobody
//! listens on its subject, though it is well, and our own connection has never been away.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Bus, BusError, Headers, TypedError};

/// How often it is looked for.
const PERIOD: Duration = Duration::from_millis(100);

/// One question that is asked again where nobody listens just now, for as long as a patience, and only where whoever is
/// asked may have another server than ours.
#[derive(Debug)]
pub struct Moving {
    begun: Instant,
    timeout: Duration,
    patience: Duration,
}

impl Moving {
    /// Of a question that has this long for an answer.
    pub fn new(bus: &Bus, patience: Duration, timeout: Duration) -> Self {
        let patience = if bus.is_apart() { patience.min(timeout) } else { Duration::ZERO };
        Self { begun: Instant::now(), timeout, patience }
    }

    /// What is left for an answer.
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// Whether to [pause](Self::pause) and ask again after this failure.
    pub fn may_come(&self, error: &BusError) -> bool {
        matches!(error, BusError::NoResponders { .. }) && self.begun.elapsed() + PERIOD < self.patience
    }

    /// Waits a little.
    pub async fn pause(&self) {
        tokio::time::sleep(PERIOD).await;
    }
}

impl Bus {
    /// As [`Bus::request_with`], of one process: asked again where it may be on its way, for as long as `patience`.
    ///
    /// # Errors
    /// As [`Bus::request_with`].
    pub async fn request_moving<T: Serialize, R: DeserializeOwned>(
        &self,
        subject: &str,
        headers: &Headers,
        message: &T,
        patience: Duration,
        timeout: Duration,
    ) -> Result<R, TypedError> {
        let moving = Moving::new(self, patience, timeout);
        loop {
            match self.request_with(subject, headers, message, moving.left()).await {
                Err(TypedError::Bus(error)) if moving.may_come(&error) => moving.pause().await,
                answer => return answer,
            }
        }
    }
}
