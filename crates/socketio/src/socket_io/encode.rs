//! Packets as messages of Engine.IO.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use super::arguments::{self, Arguments};
use super::namespace;
use super::packet::{self, ACK_ID_MAX, Connect, Content, DEFAULT_NAMESPACE, Packet};
use crate::engine_io;
use crate::error::ProtocolError;
use crate::json;
use crate::limits::{Limit, Limits};
use crate::version::Version;

/// Messages that carry one packet: a text, then its attachments.
pub(crate) type Messages = Vec<engine_io::Packet<'static>>;

/// The messages that carry this packet: one text, then each of its attachments.
///
/// # Errors
/// It is larger than `limits` allow, has a namespace that is none, attachments without a place or places without an
/// attachment, or says what this protocol cannot.
pub fn encode(version: Version, packet: &Packet, limits: &Limits) -> Result<Messages, ProtocolError> {
    let namespace = &packet.namespace;
    match &packet.content {
        Content::Connect(connect) => encode_connect(version, namespace, connect, limits),
        Content::Disconnect => encode_disconnect(version, namespace, limits),
        Content::Event(event) => encode_event(version, namespace, &event.name, &event.arguments, event.ack_id, limits),
        Content::Ack(ack) => encode_ack(version, namespace, ack.id, &ack.arguments, limits),
        Content::Error(payload) => {
            json::check_depth(payload, limits)?;
            if !packet::is_error(version, payload) {
                return Err(ProtocolError::Shape {
                    what: "the JSON of an ERROR packet",
                    wanted: "a text or an object",
                });
            }
            let mut text = begin(version, "4", namespace, None, limits)?;
            write(&mut text, payload);
            finish(text, &Arguments::default(), limits)
        }
    }
}

pub(crate) fn encode_connect(
    version: Version,
    namespace: &str,
    connect: &Connect,
    limits: &Limits,
) -> Result<Messages, ProtocolError> {
    let query = connect.query.as_deref();
    if let (Version::Eio4, Some(_)) = (version, query) {
        return Err(ProtocolError::NotInVersion { what: "has no query of a namespace: use its auth", version });
    }
    if query.is_some_and(|query| query.contains(|character: char| character == ',' || character.is_control())) {
        let what = "the query of a namespace has a comma or a control character: encode it as in a URL";
        return Err(ProtocolError::malformed(what));
    }
    let mut text = begin(version, "0", namespace, query, limits)?;
    if let Some(payload) = &connect.payload {
        json::check_depth_inside(payload.values(), limits)?;
        write(&mut text, Value::Object(payload.clone()));
    }
    finish(text, &Arguments::default(), limits)
}

pub(crate) fn encode_disconnect(version: Version, namespace: &str, limits: &Limits) -> Result<Messages, ProtocolError> {
    finish(begin(version, "1", namespace, None, limits)?, &Arguments::default(), limits)
}

pub(crate) fn encode_event(
    version: Version,
    namespace: &str,
    name: &str,
    arguments: &Arguments,
    ack_id: Option<u64>,
    limits: &Limits,
) -> Result<Messages, ProtocolError> {
    encode_arguments(version, ["2", "5"], namespace, ack_id, Some(name), arguments, limits)
}

pub(crate) fn encode_ack(
    version: Version,
    namespace: &str,
    id: u64,
    arguments: &Arguments,
    limits: &Limits,
) -> Result<Messages, ProtocolError> {
    encode_arguments(version, ["3", "6"], namespace, Some(id), None, arguments, limits)
}

fn encode_arguments(
    version: Version,
    [plain, binary]: [&str; 2],
    namespace: &str,
    id: Option<u64>,
    name: Option<&str>,
    arguments: &Arguments,
    limits: &Limits,
) -> Result<Messages, ProtocolError> {
    arguments::check_sent(arguments, limits)?;
    let mut text = match arguments.attachments.len() {
        0 => begin(version, plain, namespace, None, limits)?,
        attachments => begin(version, &format!("{binary}{attachments}-"), namespace, None, limits)?,
    };
    if let Some(id) = id {
        if id > ACK_ID_MAX {
            return Err(ProtocolError::malformed("the number of an ack is larger than 2^53 - 1"));
        }
        write(&mut text, id);
    }
    let first = name.map(Value::from);
    let mut separator = '[';
    for value in first.iter().chain(&arguments.values) {
        text.push(separator);
        write(&mut text, value);
        separator = ',';
    }
    text.push_str(if separator == '[' { "[]" } else { "]" });
    finish(text, arguments, limits)
}

/// Everything before the number of the ack.
fn begin(
    version: Version,
    kind: &str,
    namespace: &str,
    query: Option<&str>,
    limits: &Limits,
) -> Result<String, ProtocolError> {
    namespace::check(version, namespace, limits)?;
    let mut text = kind.to_owned();
    if namespace != DEFAULT_NAMESPACE || query.is_some() {
        text.push_str(namespace);
        if let Some(query) = query {
            limits.check(Limit::NamespaceBytes, namespace.len() + 1 + query.len())?;
            text.push('?');
            text.push_str(query);
        }
        text.push(',');
    }
    Ok(text)
}

fn finish(text: String, arguments: &Arguments, limits: &Limits) -> Result<Messages, ProtocolError> {
    // Engine.IO puts its type before it.
    limits.check(Limit::PacketBytes, 1 + text.len())?;
    let text = engine_io::Packet::Text(Cow::Owned(text));
    Ok(std::iter::once(text).chain(arguments.attachments.iter().cloned().map(engine_io::Packet::Binary)).collect())
}

fn write(text: &mut String, what: impl std::fmt::Display) {
    // Writing into a text never fails.
    let _ = write!(text, "{what}");
}
