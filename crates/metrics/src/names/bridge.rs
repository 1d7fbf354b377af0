//! The AMQP bridge: what became of the messages of each mapping.

use crate::{Metric, Unit};

/// Messages that came, each delivery of one.
pub const RECEIVED_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_received_messages_total",
    Unit::None,
    &["mapping"],
    "Messages that came, each delivery of one.",
);

/// Of these, messages that the broker may have delivered before.
pub const REDELIVERED_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_redelivered_messages_total",
    Unit::None,
    &["mapping"],
    "Of these, messages that the broker may have delivered before.",
);

/// Of these, messages without an id: delivered again, they are not known again.
pub const MESSAGES_WITHOUT_ID: Metric = Metric::counter(
    "nuncius_bridge_messages_without_id_total",
    Unit::None,
    &["mapping"],
    "Of these, messages without an id: delivered again, they are not known again.",
);

/// Messages that became a job or an experiment.
pub const ACCEPTED_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_accepted_messages_total",
    Unit::None,
    &["mapping"],
    "Messages that became a job or an experiment.",
);

/// Messages whose job or experiment was there already.
pub const KNOWN_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_known_messages_total",
    Unit::None,
    &["mapping"],
    "Messages whose job or experiment was there already.",
);

/// Messages that were rejected, for the dead letters of their queue, by reason.
pub const REFUSED_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_refused_messages_total",
    Unit::None,
    &["mapping", "reason"],
    "Messages that were rejected, for the dead letters of their queue, by reason.",
);

/// Messages that were acknowledged to the broker.
pub const ACKNOWLEDGED_MESSAGES: Metric = Metric::counter(
    "nuncius_bridge_acknowledged_messages_total",
    Unit::None,
    &["mapping"],
    "Messages that were acknowledged to the broker.",
);

/// Answers that the broker has confirmed.
pub const ANSWERS: Metric =
    Metric::counter("nuncius_bridge_answers_total", Unit::None, &["mapping"], "Answers that the broker has confirmed.");

/// Answers that no queue would take.
pub const UNROUTABLE_ANSWERS: Metric = Metric::counter(
    "nuncius_bridge_unroutable_answers_total",
    Unit::None,
    &["mapping"],
    "Answers that no queue would take.",
);

/// Messages under way: delivered, and neither acknowledged nor rejected.
pub const IN_FLIGHT_MESSAGES: Metric = Metric::gauge(
    "nuncius_bridge_in_flight_messages",
    Unit::None,
    &["mapping"],
    "Messages under way: delivered, and neither acknowledged nor rejected.",
);

/// Of these, messages that wait for a queue, a daemon or a server that takes none at present.
pub const HELD_MESSAGES: Metric = Metric::gauge(
    "nuncius_bridge_held_messages",
    Unit::None,
    &["mapping"],
    "Of these, messages that wait for a queue, a daemon or a server that takes none at present.",
);

/// 1 while the mapping's queue is consumed.
pub const CONNECTED: Metric =
    Metric::gauge("nuncius_bridge_connected", Unit::None, &["mapping"], "1 while the mapping's queue is consumed.");

/// Times that the broker could not be reached, or a connection to it ended.
pub const LOST_CONNECTIONS: Metric = Metric::counter(
    "nuncius_bridge_lost_connections_total",
    Unit::None,
    &["mapping"],
    "Times that the broker could not be reached, or a connection to it ended.",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &RECEIVED_MESSAGES,
    &REDELIVERED_MESSAGES,
    &MESSAGES_WITHOUT_ID,
    &ACCEPTED_MESSAGES,
    &KNOWN_MESSAGES,
    &REFUSED_MESSAGES,
    &ACKNOWLEDGED_MESSAGES,
    &ANSWERS,
    &UNROUTABLE_ANSWERS,
    &IN_FLIGHT_MESSAGES,
    &HELD_MESSAGES,
    &CONNECTED,
    &LOST_CONNECTIONS,
];
