//! Where the figures are counted that protocols of messages have of their own.

use crate::plan::GroupPlan;

/// Where the figures of protocols of messages are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meters {
    pub(super) ws: ProtocolMeters,
    pub(super) socketio: ProtocolMeters,
    pub(super) nats: ProtocolMeters,
    pub(super) amqp: ProtocolMeters,
}

/// Those of one protocol, as far as the group has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProtocolMeters {
    pub(super) sent: Option<usize>,
    pub(super) received: Option<usize>,
    pub(super) duration: Option<usize>,
}

impl ProtocolMeters {
    fn new(plan: &GroupPlan, protocol: &str) -> Self {
        let meter = |name: &str| plan.meter(&format!("{protocol}_{name}"));
        Self { sent: meter("messages_sent"), received: meter("messages_received"), duration: meter("session_duration") }
    }
}

impl Meters {
    pub(super) fn new(plan: &GroupPlan) -> Self {
        Self {
            ws: ProtocolMeters::new(plan, "ws"),
            socketio: ProtocolMeters::new(plan, "socketio"),
            nats: ProtocolMeters::new(plan, "nats"),
            amqp: ProtocolMeters::new(plan, "amqp"),
        }
    }
}
