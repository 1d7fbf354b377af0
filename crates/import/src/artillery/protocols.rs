//! The forms of steps over WebSocket and Socket.IO.

use nuncius_schemas::flow::OnCheckFailure;
use nuncius_schemas::units::HumanDuration;
use serde_json::{Map, Value, json};

use super::capture::Taken;

/// A verb of a protocol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Ws,
    SocketIo,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::SocketIo => "socketio",
        }
    }
}

/// A step while its fields are put together.
#[derive(Debug)]
pub(crate) struct ProtocolStep {
    verb: Verb,
    fields: Map<String, Value>,
}

impl ProtocolStep {
    pub(crate) fn new(verb: Verb) -> Self {
        Self { verb, fields: Map::new() }
    }

    /// Adds a field; what is empty is left out.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    /// Adds a field that is there even where it is empty.
    pub(crate) fn with_any(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Adds what is taken from what it receives, and asked of it.
    pub(crate) fn taking(mut self, taken: &Taken, timeout: HumanDuration) -> Self {
        self = self.with("timeout", timeout.to_string());
        self = self.with("capture", serde_json::to_value(&taken.captures).unwrap_or_default());
        self = self.with("checks", serde_json::to_value(&taken.checks).unwrap_or_default());
        if taken.on_check_failure() != OnCheckFailure::default() {
            self = self.with("on_check_failure", "fail");
        }
        self
    }

    /// The step.
    pub(crate) fn named(self, name: &str) -> Value {
        json!({ "name": name, self.verb.name(): self.fields })
    }
}
