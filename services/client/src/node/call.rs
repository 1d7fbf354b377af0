//! A command that waits for its answer, and the span of it.

use nuncius_bus::Message;
use nuncius_schemas::node::NodeCommand;
use nuncius_schemas::subjects::{HEADER_TRACEPARENT, Namespace};
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, messaging};

/// A command to this node.
pub(crate) struct Call {
    pub(crate) message: Message,
    /// Ends with the call.
    pub(crate) span: OpenSpan,
}

impl Call {
    pub(crate) fn new(namespace: &Namespace, message: Message, command: &NodeCommand) -> Self {
        if !command.is_traced() {
            return Self::untraced(message);
        }
        let template = || namespace.node_command("{node}");
        let attributes = || {
            let subject = message.subject.clone();
            let mut attributes = messaging("nats", "process", Operation::Process, subject, Some(template()));
            attributes.push(("nuncius.command", command.name().into()));
            attributes
        };
        let parent = message.headers.get(HEADER_TRACEPARENT);
        let span = OpenSpan::child_of(parent, SpanKind::Server, || format!("process {}", template()), attributes);
        Self { message, span }
    }

    pub(crate) fn untraced(message: Message) -> Self {
        Self { message, span: OpenSpan::none() }
    }

    /// Makes this the parent of a span of `tracing`; where it has none itself, the sender's.
    pub(crate) fn set_parent(&self, span: &tracing::Span) {
        let own = self.span.traceparent();
        if let Some(traceparent) = own.as_deref().or_else(|| self.message.headers.get(HEADER_TRACEPARENT)) {
            nuncius_telemetry::set_parent(span, traceparent);
        }
    }
}
