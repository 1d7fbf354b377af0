//! How a message on the bus is written, and how it is answered: text in JSON, anything else in MessagePack.

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_schemas::codec::{self, CodecError};
use serde::Serialize;

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    MessagePack,
}

impl Form {
    /// The form of a payload, in which it is answered. What is text, or nothing, was sent by a person or a foreign
    /// program: no map or array of MessagePack begins with an ASCII character.
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload.trim_ascii_start().first() {
            Some(byte) if !byte.is_ascii() => Self::MessagePack,
            _ => Self::Json,
        }
    }

    /// MIME type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => CONTENT_TYPE_MESSAGE_PACK,
        }
    }

    /// An answer's bytes.
    pub(crate) fn encode(self, answer: &impl Serialize) -> Result<Bytes, CodecError> {
        match self {
            Self::Json => serde_json::to_vec(answer).map_err(|error| CodecError::Encode(error.to_string())),
            Self::MessagePack => codec::encode(answer),
        }
        .map(Bytes::from)
    }
}
