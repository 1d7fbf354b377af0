//! Attributes of spans around messages, as OpenTelemetry's semantic conventions for messaging name them.
//!
//! Span names follow from them: `{operation} {template, or destination}`.

use opentelemetry::Value;

/// What is done with a message: `messaging.operation.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is handed to the broker.
    Send,
    /// It is fetched.
    Receive,
    /// It is worked on.
    Process,
    /// The broker is told what became of it.
    Settle,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle => "settle",
        }
    }
}

/// The attributes every span around a message has. `name` is what the operation is called (`publish`, `request`,
/// `ack`); `template` is the destination with its varying parts in braces, where it has some.
pub fn messaging(
    system: &'static str,
    name: &'static str,
    operation: Operation,
    destination: impl Into<Value>,
    template: Option<String>,
) -> Vec<(&'static str, Value)> {
    let mut attributes = vec![
        ("messaging.system", system.into()),
        ("messaging.operation.name", name.into()),
        ("messaging.operation.type", operation.name().into()),
        ("messaging.destination.name", destination.into()),
    ];
    attributes.extend(template.map(|template| ("messaging.destination.template", template.into())));
    attributes
}
