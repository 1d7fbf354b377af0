//! Packets from messages of Engine.IO.

use bytes::Bytes;
use serde_json::Value;

use super::arguments::{self, Arguments};
use super::namespace;
use super::packet::{self, ACK_ID_MAX, Ack, Connect, Content, DEFAULT_NAMESPACE, Event, Packet};
use crate::error::ProtocolError;
use crate::json;
use crate::limits::{Limit, Limits};
use crate::version::Version;

/// What a message makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A packet.
    Whole(Packet),
    /// A packet whose attachments are still to come, in as many binary messages.
    Waiting(Waiting),
}

/// A packet that waits for attachments.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// An event or an ack, without them.
    packet: Packet,
    attachments: Vec<Bytes>,
    wanted: usize,
    bytes: usize,
}

impl Waiting {
    /// How many attachments are to come.
    pub fn missing(&self) -> usize {
        self.wanted - self.attachments.len()
    }

    /// Takes the next attachment.
    ///
    /// # Errors
    /// The attachments together are larger than `limits` allow.
    pub fn attach(mut self, data: Bytes, limits: &Limits) -> Result<Decoded, ProtocolError> {
        self.bytes = self.bytes.saturating_add(data.len());
        limits.check(Limit::AttachmentBytes, self.bytes)?;
        self.attachments.push(data);
        if self.missing() > 0 {
            return Ok(Decoded::Waiting(self));
        }
        let Self { mut packet, attachments, .. } = self;
        match &mut packet.content {
            Content::Event(event) => event.arguments.attachments = attachments,
            Content::Ack(ack) => ack.arguments.attachments = attachments,
            Content::Connect(_) | Content::Disconnect | Content::Error(_) => {}
        }
        Ok(Decoded::Whole(packet))
    }
}

/// The types of packets, with what errors call their JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    Error,
}

impl Kind {
    const fn json(self) -> &'static str {
        match self {
            Self::Connect => "the JSON of a CONNECT packet",
            Self::Disconnect => "the JSON of a DISCONNECT packet",
            Self::Event => "the JSON of an EVENT packet",
            Self::Ack => "the JSON of an ACK packet",
            Self::Error => "the JSON of an ERROR packet",
        }
    }
}

/// Reads the text of a packet.
///
/// # Errors
/// What is wrong with it, or larger than `limits` allow.
pub fn decode(version: Version, text: &str, limits: &Limits) -> Result<Decoded, ProtocolError> {
    limits.check(Limit::PacketBytes, text.len())?;
    let mut characters = text.chars();
    let kind = characters.next().ok_or(ProtocolError::Empty { what: "a packet of Socket.IO" })?;
    let (kind, is_binary) = match kind {
        '0' => (Kind::Connect, false),
        '1' => (Kind::Disconnect, false),
        '2' => (Kind::Event, false),
        '3' => (Kind::Ack, false),
        '4' => (Kind::Error, false),
        '5' => (Kind::Event, true),
        '6' => (Kind::Ack, true),
        found => return Err(ProtocolError::UnknownType { protocol: "Socket.IO", found }),
    };
    let rest = characters.as_str();
    let (wanted, rest) = if is_binary { split_attachments(rest, limits)? } else { (0, rest) };
    let (namespace, rest) = split_namespace(rest);
    // Before anything of it is kept.
    limits.check(Limit::NamespaceBytes, namespace.len())?;
    let (namespace, query) = match version {
        Version::Eio4 => (namespace, None),
        Version::Eio3 => namespace.split_once('?').map_or((namespace, None), |(path, query)| (path, Some(query))),
    };
    namespace::check(version, namespace, limits)?;
    let (id, json) = split_id(rest)?;
    if id.is_some() && !matches!(kind, Kind::Event | Kind::Ack) {
        return Err(ProtocolError::malformed("a CONNECT, DISCONNECT or ERROR packet has the number of an ack"));
    }
    let content = match kind {
        Kind::Connect => {
            let payload = (!json.is_empty()).then(|| json::read(json, kind.json(), limits)).transpose()?;
            let payload = match payload {
                None => None,
                Some(Value::Object(members)) => Some(members),
                Some(_) => return Err(ProtocolError::Shape { what: kind.json(), wanted: "an object" }),
            };
            Content::Connect(Connect { query: query.map(str::to_owned), payload })
        }
        Kind::Disconnect if json.is_empty() => Content::Disconnect,
        Kind::Disconnect => return Err(ProtocolError::malformed("a DISCONNECT packet has data: it has none")),
        Kind::Event => {
            let (name, values) = name_of(array(json, kind, limits)?)?;
            check_binary(is_binary, &values, wanted)?;
            Content::Event(Event { name, arguments: Arguments::of(values), ack_id: id })
        }
        Kind::Ack => {
            let id = id.ok_or(ProtocolError::malformed("an ACK packet has no number of an ack"))?;
            let values = array(json, kind, limits)?;
            check_binary(is_binary, &values, wanted)?;
            Content::Ack(Ack { id, arguments: Arguments::of(values) })
        }
        Kind::Error => {
            let payload = json::read(json, kind.json(), limits)?;
            if !packet::is_error(version, &payload) {
                return Err(ProtocolError::Shape { what: kind.json(), wanted: "a text or an object" });
            }
            Content::Error(payload)
        }
    };
    let packet = Packet { namespace: namespace.to_owned(), content };
    if is_binary {
        return Ok(Decoded::Waiting(Waiting { packet, attachments: Vec::new(), wanted, bytes: 0 }));
    }
    Ok(Decoded::Whole(packet))
}

/// How many attachments there are, and what follows their number.
fn split_attachments<'a>(text: &'a str, limits: &Limits) -> Result<(usize, &'a str), ProtocolError> {
    let refused = || ProtocolError::malformed("a binary packet has no number of attachments, from 1 on, before a dash");
    let (digits, rest) = text.split_once('-').ok_or_else(refused)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(refused());
    }
    // What no number holds is over every limit.
    let attachments = digits.parse().unwrap_or(usize::MAX);
    limits.check(Limit::Attachments, attachments)?;
    if attachments == 0 { Err(refused()) } else { Ok((attachments, rest)) }
}

/// The namespace with its query, and what follows its comma. Servers of socket.io 1 leave a comma at the end out.
fn split_namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') { text.split_once(',').unwrap_or((text, "")) } else { (DEFAULT_NAMESPACE, text) }
}

fn split_id(text: &str) -> Result<(Option<u64>, &str), ProtocolError> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at(end) {
        ("", json) => Ok((None, json)),
        (digits, json) => match digits.parse() {
            Ok(id) if id <= ACK_ID_MAX => Ok((Some(id), json)),
            Ok(_) | Err(_) => Err(ProtocolError::malformed("the number of an ack is larger than 2^53 - 1")),
        },
    }
}

fn array(json: &str, kind: Kind, limits: &Limits) -> Result<Vec<Value>, ProtocolError> {
    match json::read(json, kind.json(), limits)? {
        Value::Array(values) => Ok(values),
        _ => Err(ProtocolError::Shape { what: kind.json(), wanted: "an array" }),
    }
}

/// The name of an event, and what follows it.
fn name_of(mut values: Vec<Value>) -> Result<(String, Vec<Value>), ProtocolError> {
    let wanted = "an array that begins with a name";
    let refused = ProtocolError::Shape { what: Kind::Event.json(), wanted };
    if values.is_empty() {
        return Err(refused);
    }
    match values.remove(0) {
        Value::String(name) => Ok((name, values)),
        Value::Number(name) => Ok((name.to_string(), values)),
        _ => Err(refused),
    }
}

/// Objects that look like places are ordinary ones where there are no attachments.
fn check_binary(is_binary: bool, values: &[Value], attachments: usize) -> Result<(), ProtocolError> {
    if is_binary { arguments::check_places(values, attachments) } else { Ok(()) }
}
