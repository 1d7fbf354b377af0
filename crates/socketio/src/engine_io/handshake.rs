//! The handshake: what the server says of a session when it begins.

use serde_json::{Map, Value};

use crate::error::ProtocolError;
use crate::json;
use crate::limits::{Limit, Limits};
use crate::version::Transport;

const JSON: &str = "the JSON of an OPEN packet";
const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// What a server says of a new session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The session's name: the parameter `sid` of every further request.
    pub session_id: String,
    /// Transports to which the session can be upgraded; those that are not known are left out.
    pub upgrades: Vec<Transport>,
    /// How often there is a heartbeat, in milliseconds. Servers of Python say 0 for less than a second.
    pub ping_interval_ms: u64,
    /// How long an answer to a heartbeat may take, in milliseconds.
    pub ping_timeout_ms: u64,
    /// Most bytes that the server takes in one payload, where it says so: those of Engine.IO 4 do.
    pub max_payload_bytes: Option<u64>,
}

impl Handshake {
    /// [`Handshake::ping_interval_ms`] in nanoseconds.
    pub const fn ping_interval_ns(&self) -> u64 {
        self.ping_interval_ms.saturating_mul(NANOSECONDS_PER_MILLISECOND)
    }

    /// [`Handshake::ping_timeout_ms`] in nanoseconds.
    pub const fn ping_timeout_ns(&self) -> u64 {
        self.ping_timeout_ms.saturating_mul(NANOSECONDS_PER_MILLISECOND)
    }

    /// From the data of an OPEN packet.
    pub(super) fn read(text: &str, limits: &Limits) -> Result<Self, ProtocolError> {
        let refused = |what| ProtocolError::Handshake { what };
        let Value::Object(members) = json::read(text, JSON, limits)? else {
            return Err(ProtocolError::Shape { what: JSON, wanted: "an object" });
        };
        let session_id = match members.get("sid") {
            Some(Value::String(id)) if !id.is_empty() => id,
            _ => return Err(refused("has no `sid`")),
        };
        limits.check(Limit::SessionIdBytes, session_id.len())?;
        let upgrades = match members.get("upgrades") {
            None => &[],
            Some(Value::Array(names)) => names.as_slice(),
            Some(_) => return Err(refused("has `upgrades` that are no array")),
        };
        let offered = |transport: &Transport| upgrades.iter().any(|name| name.as_str() == Some(transport.as_str()));
        let ping_interval_ms = number(&members, "pingInterval").ok_or(refused("has no `pingInterval`"))?;
        Ok(Self {
            session_id: session_id.clone(),
            upgrades: Transport::ALL.into_iter().filter(offered).collect(),
            ping_interval_ms,
            ping_timeout_ms: number(&members, "pingTimeout").ok_or(refused("has no `pingTimeout`"))?,
            max_payload_bytes: number(&members, "maxPayload"),
        })
    }

    /// The data of an OPEN packet, as servers write it.
    pub(super) fn write(&self) -> String {
        let names: Vec<Value> = self.upgrades.iter().map(|transport| transport.as_str().into()).collect();
        let max_payload = self.max_payload_bytes.map(|bytes| format!(r#","maxPayload":{bytes}"#)).unwrap_or_default();
        format!(
            r#"{{"sid":{},"upgrades":{},"pingInterval":{},"pingTimeout":{}{max_payload}}}"#,
            Value::from(self.session_id.as_str()),
            Value::from(names),
            self.ping_interval_ms,
            self.ping_timeout_ms,
        )
    }
}

/// A number that is not negative, without its fraction.
fn number(members: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = members.get(name)?;
    // What is beyond the integers becomes the largest one.
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}
