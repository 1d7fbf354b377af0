//! What a step of `engine: amqp` does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
}

/// A queue to consume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmqpConsume {
    /// Queue.
    pub queue: String,
    /// Unacknowledged messages the broker may have on the way.
    #[serde(default = "default_prefetch")]
    pub prefetch: u16,
}

fn default_prefetch() -> u16 {
    256
}
