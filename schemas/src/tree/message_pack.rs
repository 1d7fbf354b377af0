//! MessagePack to a tree. It has no lines, and its scalars are typed: their text is what they are written as here.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Content, Entry, Meaning, NESTING_MAX, Node, ReadError, Scalar, map_of};

/// The tree of a MessagePack message.
pub(crate) fn from_message_pack(bytes: &[u8]) -> Result<Node, ReadError> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    let node = Node::deserialize(&mut deserializer).map_err(|error| ReadError::at(error.to_string(), None))?;
    match deserializer.get_ref().len() {
        0 => Ok(node),
        left => Err(ReadError::at(format!("{left} bytes left over after the message"), None)),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

fn scalar<E>(text: impl ToString, meaning: Meaning) -> Result<Node, E> {
    Ok(Node { position: None, content: Content::Scalar(Scalar { text: text.to_string(), meaning }) })
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, a number, true, false, nothing, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        scalar("null", Meaning::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        scalar(value, Meaning::Boolean(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        scalar(value, Meaning::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        scalar(value, u64::try_from(value).map_or(Meaning::Signed(value), Meaning::Unsigned))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        scalar(value, Meaning::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        scalar(value, Meaning::Text)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Node, E> {
        scalar("", Meaning::Bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node { position: None, content: Content::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(Node { content: key, .. }) = map.next_key()? {
            let Content::Scalar(Scalar {
                text: key,
                meaning: Meaning::Text | Meaning::Unsigned(_) | Meaning::Signed(_),
            }) = key
            else {
                return Err(A::Error::custom("a key is neither a text nor a whole number"));
            };
            entries.push(Entry { key, position: None, value: map.next_value()? });
        }
        map_of(entries).map(|content| Node { position: None, content }).map_err(A::Error::custom)
    }
}
