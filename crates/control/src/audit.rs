//! What was changed beside experiments: written down, and read again.

use nuncius_bus::Bus;
use nuncius_bus::tail::Start;
use nuncius_schemas::change::ChangeRecord;
use nuncius_schemas::codec;

use crate::ControlError;

/// A change and its place in the stream of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The change.
    pub change: ChangeRecord,
}

/// Writes a change down.
///
/// # Errors
/// The bus, which may be older than that stream.
pub async fn note(bus: &Bus, change: &ChangeRecord) -> Result<(), ControlError> {
    bus.store_message(&bus.namespace().change(), "change.v1", change, None).await?;
    Ok(())
}

/// The latest changes, the latest first: of the last so many that the bus has.
///
/// # Errors
/// The bus. What is no change is left out.
pub async fn latest(bus: &Bus, most: u32) -> Result<Vec<Noted>, ControlError> {
    let namespace = bus.namespace();
    let (stream, subject) = (namespace.stream_change(), namespace.change());
    let from = bus.last_sequence(&stream).await?.saturating_sub(u64::from(most)) + 1;
    let mut tail = bus.tail(&stream, &subject, Start::FromSequence(from)).await?;
    let mut found = Vec::new();
    while tail.pending() > 0 {
        let stored = tail.next().await?;
        if let Ok(change) = codec::decode::<ChangeRecord>(&stored.payload) {
            found.push(Noted { sequence: stored.sequence, change });
        }
    }
    tail.close().await;
    found.reverse();
    Ok(found)
}
