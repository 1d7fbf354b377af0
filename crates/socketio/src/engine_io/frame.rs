//! One packet as one message of a WebSocket; long-polling strings the same texts together.
//!
//! A text is the type, a digit, and the data. Binary data goes as it is in revision 4, and behind a byte of the type
//! in revision 3; where only texts can go it is `b` and base64 in revision 4, `b4` and base64 in revision 3.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};

use super::handshake::Handshake;
use super::packet::Packet;
use super::wire::Wire;
use crate::error::ProtocolError;
use crate::limits::{Limit, Limits};
use crate::version::Version;

/// The type of messages, before binary data in revision 3.
const MESSAGE: u8 = 4;
const PACKET: &str = "a packet of Engine.IO";

/// The message of a WebSocket that carries this packet.
pub fn encode_frame(version: Version, packet: &Packet<'_>) -> Wire {
    match packet {
        Packet::Binary(data) => Wire::Binary(binary(version, data)),
        Packet::Open(_)
        | Packet::Close
        | Packet::Ping(_)
        | Packet::Pong(_)
        | Packet::Text(_)
        | Packet::Upgrade
        | Packet::Noop => Wire::Text(text(version, packet)),
    }
}

/// Binary data as a binary frame has it.
pub(super) fn binary(version: Version, data: &Bytes) -> Bytes {
    match version {
        Version::Eio4 => data.clone(),
        Version::Eio3 => {
            let mut framed = BytesMut::with_capacity(1 + data.len());
            framed.put_u8(MESSAGE);
            framed.put_slice(data);
            framed.freeze()
        }
    }
}

/// A packet as text, binary data in base64.
pub(super) fn text(version: Version, packet: &Packet<'_>) -> String {
    let with = |kind: char, data: &str| {
        let mut text = String::with_capacity(1 + data.len());
        text.push(kind);
        text.push_str(data);
        text
    };
    match packet {
        Packet::Open(handshake) => with('0', &handshake.write()),
        Packet::Close => "1".to_owned(),
        Packet::Ping(data) => with('2', data),
        Packet::Pong(data) => with('3', data),
        Packet::Text(data) => with('4', data),
        Packet::Binary(data) => {
            let mut text = String::with_capacity(2 + data.len().div_ceil(3) * 4);
            text.push_str(base64_prefix(version));
            STANDARD.encode_string(data, &mut text);
            text
        }
        Packet::Upgrade => "5".to_owned(),
        Packet::Noop => "6".to_owned(),
    }
}

const fn base64_prefix(version: Version) -> &'static str {
    match version {
        Version::Eio3 => "b4",
        Version::Eio4 => "b",
    }
}

/// Reads a text message of a WebSocket, or one packet of a payload of text.
///
/// # Errors
/// What is wrong with it, or larger than `limits` allow.
pub fn decode_text<'a>(version: Version, text: &'a str, limits: &Limits) -> Result<Packet<'a>, ProtocolError> {
    let mut characters = text.chars();
    let kind = characters.next().ok_or(ProtocolError::Empty { what: PACKET })?;
    let data = characters.as_str();
    if kind == 'b' {
        return base64(version, text, limits).map(Packet::Binary);
    }
    limits.check(Limit::PacketBytes, text.len())?;
    match kind {
        '0' => Handshake::read(data, limits).map(Packet::Open),
        '1' => bare(data, Packet::Close),
        '2' => Ok(Packet::Ping(Cow::Borrowed(data))),
        '3' => Ok(Packet::Pong(Cow::Borrowed(data))),
        '4' => Ok(Packet::Text(Cow::Borrowed(data))),
        '5' => bare(data, Packet::Upgrade),
        '6' => bare(data, Packet::Noop),
        found => Err(ProtocolError::UnknownType { protocol: "Engine.IO", found }),
    }
}

/// A packet of a type that has no data.
fn bare<'a>(data: &str, packet: Packet<'a>) -> Result<Packet<'a>, ProtocolError> {
    if data.is_empty() {
        Ok(packet)
    } else {
        Err(ProtocolError::malformed("a CLOSE, UPGRADE or NOOP packet of Engine.IO has data: it has none"))
    }
}

fn base64(version: Version, text: &str, limits: &Limits) -> Result<Bytes, ProtocolError> {
    let Some(encoded) = text.strip_prefix(base64_prefix(version)) else {
        return Err(ProtocolError::malformed("binary data in base64 is of another type than message"));
    };
    // At most two bytes less come out; the rest is seen when they are there.
    limits.check(Limit::PacketBytes, (encoded.len() / 4 * 3).saturating_sub(2))?;
    let data = STANDARD.decode(encoded).map_err(|_| ProtocolError::Base64)?;
    limits.check(Limit::PacketBytes, data.len())?;
    Ok(Bytes::from(data))
}

/// Reads a binary message of a WebSocket. What comes out is a part of it and copies nothing.
///
/// # Errors
/// What is wrong with it, or larger than `limits` allow.
pub fn decode_binary(version: Version, data: Bytes, limits: &Limits) -> Result<Packet<'static>, ProtocolError> {
    limits.check(Limit::PacketBytes, data.len())?;
    match version {
        Version::Eio4 => Ok(Packet::Binary(data)),
        Version::Eio3 => match data.first() {
            None => Err(ProtocolError::Empty { what: PACKET }),
            Some(&MESSAGE) => Ok(Packet::Binary(data.slice(1..))),
            Some(_) => Err(ProtocolError::malformed("binary data is of another type than message")),
        },
    }
}
