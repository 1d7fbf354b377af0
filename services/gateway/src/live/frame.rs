//! One message of a live stream, as text that is made once for all readers.

use nuncius_bus::tail::StoredMessage;
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::second::ExperimentSecond;

use super::columns::SecondColumns;
use super::definitions::Definitions;

/// What a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A merged second, or a part, a revision or a late piece of one.
    Second,
    /// Something that happened.
    Event,
    /// The bus has lost what was told: everything begins anew.
    Reset,
}

impl Kind {
    /// The name of the event.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Event => "event",
            Self::Reset => "reset",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// In the stream it is from.
    pub(crate) sequence: u64,
    /// JSON on one line.
    pub(crate) data: String,
    /// JSON of the end, where the run is over with it.
    pub(crate) end: Option<String>,
}

impl Frame {
    pub(crate) fn reset() -> Self {
        Self { kind: Kind::Reset, sequence: 0, data: "{}".to_owned(), end: None }
    }

    /// Reads what the stream has; none for what is no such message.
    pub(crate) fn read(message: &StoredMessage, kind: Kind, definitions: &Definitions) -> Option<Self> {
        let sequence = message.sequence;
        match kind {
            Kind::Second => {
                let second: ExperimentSecond = codec::decode(&message.payload).ok()?;
                let data = serde_json::to_string(&SecondColumns::of(&second, definitions)).ok()?;
                Some(Self { kind, sequence, data, end: None })
            }
            Kind::Event => {
                let event: ExperimentEvent = codec::decode(&message.payload).ok()?;
                let data = serde_json::to_string(&event).ok()?;
                let is_last = event.status.is_some_and(nuncius_schemas::run::RunStatus::is_terminal);
                let end = is_last.then(|| {
                    serde_json::json!({
                        "status": event.status,
                        "verdict": event.verdict,
                        "reason": event.message,
                        "at_unix_ms": event.at_unix_ms,
                    })
                    .to_string()
                });
                Some(Self { kind, sequence, data, end })
            }
            Kind::Reset => None,
        }
    }
}
