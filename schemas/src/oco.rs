//! What servos and OCO backends say to each other: the bodies of both faces, HTTP and the bus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An event of a servo.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OcoEvent {
    /// HELLO, WHATS_NEXT, DESCRIPTION, MEASUREMENT, ADJUSTMENT or GOODBYE.
    pub event: String,
    /// What belongs to it. A number under `progress` makes a MEASUREMENT or ADJUSTMENT a report of progress instead of
    /// its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<Map<String, Value>>,
    /// Identifies the servo's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servo_uid: Option<String>,
}

/// The answer: a command to WHATS_NEXT, an acknowledgement to anything else, or why the event was refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OcoReply {
    /// DESCRIBE, MEASURE, ADJUST or SLEEP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// What belongs to the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<Map<String, Value>>,
    /// The command's identifier, which events that belong to it may repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd_uid: Option<String>,
    /// `ok`, `unexpected-event`, `cancel` or `invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why the status is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the event was refused: a text, or a list of faults in the body. On the bus the status of HTTP is the header
    /// `Nats-Service-Error-Code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}
