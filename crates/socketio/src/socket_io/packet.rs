//! Packets.

use serde_json::{Map, Value};

use super::arguments::Arguments;
use crate::version::Version;

/// The namespace that is meant where none is said.
pub const DEFAULT_NAMESPACE: &str = "/";

/// Largest number of an ack: the largest integer that JavaScript counts to, 2^53 − 1.
pub const ACK_ID_MAX: u64 = (1 << 53) - 1;

/// A packet of Socket.IO, with its attachments.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// The namespace, `/` for the default one.
    pub namespace: String,
    /// What it says.
    pub content: Content,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// CONNECT: asks to be connected to the namespace, or answers that.
    Connect(Connect),
    /// DISCONNECT: leaves the namespace.
    Disconnect,
    /// EVENT, or BINARY_EVENT where there are attachments.
    Event(Event),
    /// ACK, or BINARY_ACK where there are attachments.
    Ack(Ack),
    /// CONNECT_ERROR of protocol 5, a text or an object with `message`; ERROR of protocol 4, anything but a number or
    /// a boolean.
    Error(Value),
}

/// What a CONNECT packet carries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connect {
    /// What follows `?` in the namespace, encoded as in a URL: protocol 4 alone.
    pub query: Option<String>,
    /// Protocol 5: the `auth` of the client, or the server's answer with `sid`.
    pub payload: Option<Map<String, Value>>,
}

impl Connect {
    /// The session id in the answer of a server of protocol 5.
    pub fn session_id(&self) -> Option<&str> {
        self.payload.as_ref()?.get("sid")?.as_str()
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name. A number as a name is its digits, as in JavaScript.
    pub name: String,
    /// What follows the name.
    pub arguments: Arguments,
    /// The number under which an ack is wanted.
    pub ack_id: Option<u64>,
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// The number that the event asked for.
    pub id: u64,
    /// What it answers.
    pub arguments: Arguments,
}

/// Whether this is what an error says: protocol 4 has whatever is a text or an object to JavaScript.
pub(super) const fn is_error(version: Version, payload: &Value) -> bool {
    match payload {
        Value::String(_) | Value::Object(_) => true,
        Value::Null | Value::Array(_) => matches!(version, Version::Eio3),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
