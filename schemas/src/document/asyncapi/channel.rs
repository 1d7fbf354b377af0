//! A channel: a subject, and what goes over it.

pub(super) const MESSAGE_PACK: &str = "application/msgpack";
pub(super) const JSON: &str = "application/json";
pub(super) const YAML: &str = "application/yaml";
pub(super) const OCTETS: &str = "application/octet-stream";

/// How messages of a channel travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// Kept in the named JetStream stream until it is worked off.
    WorkQueue(String),
    /// Kept in the named JetStream stream up to its limits.
    Stream(String),
    /// A NATS request with an answer, of the named message type or in prose.
    Request(&'static str),
    /// Core NATS: whoever listens hears it, and it may be lost.
    Core,
    /// The latest value per key in the named bucket.
    KeyValue(String),
    /// Objects in the named bucket.
    ObjectStore(String),
}

impl Carrier {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::WorkQueue(_) => "stream, work queue",
            Self::Stream(_) => "stream, limits",
            Self::Request(_) => "request",
            Self::Core => "core",
            Self::KeyValue(_) => "key-value bucket",
            Self::ObjectStore(_) => "object store",
        }
    }

    pub(super) fn store(&self) -> Option<&str> {
        match self {
            Self::WorkQueue(name) | Self::Stream(name) | Self::KeyValue(name) | Self::ObjectStore(name) => Some(name),
            Self::Request(_) | Self::Core => None,
        }
    }
}

/// One subject and what goes over it.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Name of the function of [`Namespace`] that makes it.
    pub name: &'static str,
    /// Subject with `{parameters}`.
    pub address: String,
    /// How it travels.
    pub carrier: Carrier,
    /// Names of message types; empty where the payload is no message of ours.
    pub messages: &'static [&'static str],
    /// MIME types of the payload.
    pub content_types: &'static [&'static str],
    /// Headers beyond `Content-Type`, `Nuncius-Schema` and `traceparent`.
    pub headers: &'static [&'static str],
    /// Whether others speak to Nuncius here, rather than it to them.
    pub inbound: bool,
    /// For people.
    pub description: &'static str,
}
