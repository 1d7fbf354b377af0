//! What happened in an experiment.

use nuncius_bus::Bus;
use nuncius_bus::tail::Start;
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::names::check_token;

use crate::ControlError;

/// An event and its place in the stream of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The event.
    pub event: ExperimentEvent,
}

/// The latest events of all experiments, the latest first: of the last so many that the bus has.
///
/// # Errors
/// The bus. What is no event is left out.
pub async fn latest(bus: &Bus, most: u32) -> Result<Vec<Happened>, ControlError> {
    let stream = bus.namespace().stream_event();
    let from = bus.last_sequence(&stream).await?.saturating_sub(u64::from(most)) + 1;
    let mut found = read(bus, "*", from, usize::try_from(most).unwrap_or(usize::MAX)).await?;
    found.reverse();
    Ok(found)
}

/// The events that the bus still has of an experiment and that come after a sequence, at most so many.
///
/// # Errors
/// The bus. What is no event is left out.
pub async fn list(bus: &Bus, id: &str, after: u64, limit: usize) -> Result<Vec<Happened>, ControlError> {
    check_token("experiment", id)?;
    read(bus, id, after.saturating_add(1), limit).await
}

async fn read(bus: &Bus, id: &str, from: u64, limit: usize) -> Result<Vec<Happened>, ControlError> {
    let namespace = bus.namespace();
    let (stream, subject) = (namespace.stream_event(), namespace.experiment_event(id));
    let mut tail = bus.tail(&stream, &subject, Start::FromSequence(from)).await?;
    let mut left = tail.pending();
    let mut found = Vec::new();
    while left > 0 && found.len() < limit {
        let stored = tail.next().await?;
        left -= 1;
        if let Ok(event) = codec::decode::<ExperimentEvent>(&stored.payload) {
            found.push(Happened { sequence: stored.sequence, event });
        }
    }
    tail.close().await;
    Ok(found)
}
