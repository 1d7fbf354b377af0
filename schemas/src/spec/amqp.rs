//! Messages over AMQP 0-9-1: what a step of `engine: amqp` does, and one of a session.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::{Capture, Check, OnCheckFailure};
use crate::units::HumanDuration;

/// A message to publish. In a session routing key and body are templates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmqpPublish {
    /// Exchange, the default one when absent.
    #[serde(default)]
    pub exchange: String,
    /// Routing key: with the default exchange, the queue.
    pub routing_key: String,
    /// Body of the message.
    #[serde(default)]
    pub body: String,
    /// Whether the broker writes it to disk.
    #[serde(default)]
    pub persistent: bool,
    /// Declare a queue named as the routing key first.
    #[serde(default)]
    pub declare: bool,
    /// In a session: the broker, `amqp://user:password@host/vhost`; the group's target when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// In a session: messages are numbered under this name, so that whoever consumes them counts which were lost, came
    /// twice, or behind later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// In a session: longest wait for the confirm; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

/// A queue to consume: with `engine: amqp` for the whole run, in a session so many messages of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmqpConsume {
    /// Queue.
    pub queue: String,
    /// Unacknowledged messages the broker may have on the way.
    #[serde(default = "default_prefetch")]
    pub prefetch: u16,
    /// In a session: the broker, `amqp://user:password@host/vhost`; the group's target when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// In a session: how many messages are taken, each acknowledged; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// In a session: messages are counted by the numbers that they were published with under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// In a session: longest wait; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// In a session: what is taken from the last of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// In a session: what is asked of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// In a session: what follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
}

fn default_prefetch() -> u16 {
    256
}
