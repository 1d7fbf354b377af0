//! Questions to one process that may just be on its way from one server of a cluster to another: for a moment nobody
//! listens on its subject, though it is well, and our own connection has never been away.

use std::time::{Duration, Instant};

use crate::{Bus, BusError, TypedError};

/// How often it is looked for.
const PERIOD: Duration = Duration::from_millis(100);

/// Asks, and asks again where nobody listens just now: for as long as `patience`, and only where whoever is asked may
/// have another server than ours. `ask` is given what is left of `timeout`.
///
/// # Errors
/// That of the last question.
pub async fn while_it_moves<T>(
    bus: &Bus,
    patience: Duration,
    timeout: Duration,
    mut ask: impl AsyncFnMut(Duration) -> Result<T, TypedError>,
) -> Result<T, TypedError> {
    let begun = Instant::now();
    loop {
        let answer = ask(timeout.saturating_sub(begun.elapsed())).await;
        let is_nobody_there = matches!(answer, Err(TypedError::Bus(BusError::NoResponders { .. })));
        if !is_nobody_there || !bus.is_apart() || begun.elapsed() + PERIOD >= patience.min(timeout) {
            return answer;
        }
        tokio::time::sleep(PERIOD).await;
    }
}
