//! Messages over AMQP and jobs as steps of a session, compiled.

use std::sync::Arc;

use lapin::types::ShortString;
use nuncius_schemas::units::HumanDuration;

use super::taking::Taking;
use super::text::Text;
use crate::amqp::Access;

/// A message that is published, or messages that are consumed.
#[derive(Debug)]
pub(crate) struct AmqpStepPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of the broker in the program.
    pub(crate) broker: u16,
    pub(crate) timeout_ns: u64,
    pub(crate) track: Option<Arc<str>>,
    pub(crate) does: AmqpDoes,
}

/// What a step over AMQP does.
#[derive(Debug)]
pub(crate) enum AmqpDoes {
    Publish { exchange: ShortString, routing_key: Text, body: Text, persistent: bool, declare: bool },
    Consume { queue: ShortString, prefetch: u16, messages: u32, taking: Taking },
}

/// A job that is submitted.
#[derive(Debug)]
pub(crate) struct JobPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of the queue in the program.
    pub(crate) queue: u16,
    pub(crate) args: Box<[Text]>,
    pub(crate) priority: u8,
    pub(crate) limit: Option<HumanDuration>,
    pub(crate) timeout_ns: u64,
    pub(crate) taking: Taking,
}

/// Brokers and queues that a program names, each once.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    pub(super) urls: Vec<String>,
    pub(super) brokers: Vec<Arc<Access>>,
    pub(super) queues: Vec<Box<str>>,
}
