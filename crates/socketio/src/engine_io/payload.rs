//! Several packets as the body of one request or answer of long-polling.
//!
//! Revision 4 has texts with a record separator between them. Revision 3 has two forms: texts, each behind its length
//! in UTF-16 code units and a colon, or, where there is binary data, packets of bytes, each behind a byte that says
//! whether it is text (0) or binary (1), the digits of its length in bytes, each as a byte of its value, and 255.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame;
use super::packet::Packet;
use super::wire::Wire;
use crate::error::ProtocolError;
use crate::limits::{Limit, Limits};
use crate::version::Version;

const SEPARATOR: char = '\x1e';
const TEXT: u8 = 0;
const BINARY: u8 = 1;
const LENGTH_END: u8 = 255;
/// Digits of the longest length: more than any memory has.
const DIGITS_MAX: usize = 15;
const PAYLOAD: &str = "a polling payload";

/// Which form a payload of revision 3 has. Revision 4 has texts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadForm {
    /// Texts, binary data in base64: for servers that were asked with the parameter `b64=1`.
    Text,
    /// Texts, unless a packet is binary: what clients of socket.io 2 send.
    AsNeeded,
    /// Bytes: servers that disagree on the length of a text, or on its encoding, read them alike.
    Bytes,
}

/// The body that carries these packets.
///
/// # Errors
/// There is none, the body is longer than `limits` allow, or a text has the separator of payloads in it, which JSON
/// never has.
pub fn encode_payload(
    version: Version,
    packets: &[Packet<'_>],
    form: PayloadForm,
    limits: &Limits,
) -> Result<Wire, ProtocolError> {
    if packets.is_empty() {
        return Err(ProtocolError::Empty { what: PAYLOAD });
    }
    let is_bytes = match form {
        PayloadForm::Text => false,
        PayloadForm::AsNeeded => packets.iter().any(|packet| matches!(packet, Packet::Binary(_))),
        PayloadForm::Bytes => true,
    };
    let wire = match version {
        Version::Eio4 => Wire::Text(separated(packets)?),
        Version::Eio3 if is_bytes => Wire::Binary(lengthed(packets)),
        Version::Eio3 => Wire::Text(counted(packets)),
    };
    limits.check(Limit::PayloadBytes, wire.as_bytes().len())?;
    Ok(wire)
}

fn separated(packets: &[Packet<'_>]) -> Result<String, ProtocolError> {
    let mut payload = String::new();
    for packet in packets {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        let text = frame::text(Version::Eio4, packet);
        if text.contains(SEPARATOR) {
            return Err(ProtocolError::malformed("a text has the separator of polling payloads, U+001E, in it"));
        }
        payload.push_str(&text);
    }
    Ok(payload)
}

fn counted(packets: &[Packet<'_>]) -> String {
    let texts = packets.iter().map(|packet| frame::text(Version::Eio3, packet));
    texts.map(|text| format!("{}:{text}", text.encode_utf16().count())).collect()
}

fn lengthed(packets: &[Packet<'_>]) -> Bytes {
    let mut payload = BytesMut::new();
    let mut put = |kind: u8, bytes: &[u8]| {
        payload.put_u8(kind);
        bytes.len().to_string().bytes().for_each(|digit| payload.put_u8(digit - b'0'));
        payload.put_u8(LENGTH_END);
        payload.put_slice(bytes);
    };
    for packet in packets {
        match frame::encode_frame(Version::Eio3, packet) {
            Wire::Text(text) => put(TEXT, text.as_bytes()),
            Wire::Binary(bytes) => put(BINARY, &bytes),
        }
    }
    payload.freeze()
}

/// How many of these packets, from the first on, fit into so many bytes of a payload; at least one of them.
pub(crate) fn count_within<'a>(
    version: Version,
    packets: impl Iterator<Item = &'a Packet<'static>>,
    most_bytes: usize,
) -> usize {
    let mut bytes = 0_usize;
    let fit = packets.take_while(|packet| {
        bytes = bytes.saturating_add(most_bytes_of(version, packet));
        bytes <= most_bytes
    });
    fit.count().max(1)
}

/// As many bytes as a packet has at most in a payload, with what separates it from the one before.
fn most_bytes_of(version: Version, packet: &Packet<'_>) -> usize {
    let data = match packet {
        Packet::Ping(text) | Packet::Pong(text) | Packet::Text(text) => text.len(),
        Packet::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        Packet::Open(handshake) => handshake.write().len(),
        Packet::Close | Packet::Upgrade | Packet::Noop => 0,
    };
    let around = match version {
        Version::Eio4 => 2,
        Version::Eio3 => 2 + DIGITS_MAX + 2,
    };
    data + around
}

/// The packets of a payload, one after the other. After an error there are no more.
#[derive(Debug)]
pub struct Packets<'a> {
    version: Version,
    limits: &'a Limits,
    /// What is left; nothing when it is over.
    rest: Option<Rest<'a>>,
    taken: usize,
}

#[derive(Debug)]
enum Rest<'a> {
    Separated(&'a str),
    Counted(&'a str),
    /// From this byte on.
    Lengthed(&'a Bytes, usize),
}

/// Reads a body of text: of any type but `application/octet-stream`.
///
/// # Errors
/// It is empty, or longer than `limits` allow. What is wrong with its packets shows when they are taken.
pub fn decode_text_payload<'a>(
    version: Version,
    body: &'a str,
    limits: &'a Limits,
) -> Result<Packets<'a>, ProtocolError> {
    check_size(body.len(), limits)?;
    let rest = match version {
        Version::Eio3 => Rest::Counted(body),
        Version::Eio4 => Rest::Separated(body),
    };
    Ok(Packets { version, limits, rest: Some(rest), taken: 0 })
}

/// Reads a body of type `application/octet-stream`, which only revision 3 has. Binary data is a part of it and copies
/// nothing.
///
/// # Errors
/// It is empty, longer than `limits` allow, or one of revision 4. What is wrong with its packets shows when they are
/// taken.
pub fn decode_binary_payload<'a>(
    version: Version,
    body: &'a Bytes,
    limits: &'a Limits,
) -> Result<Packets<'a>, ProtocolError> {
    check_size(body.len(), limits)?;
    match version {
        Version::Eio3 => Ok(Packets { version, limits, rest: Some(Rest::Lengthed(body, 0)), taken: 0 }),
        Version::Eio4 => Err(ProtocolError::malformed("a polling payload of Engine.IO 4 is binary: it is a text")),
    }
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), ProtocolError> {
    if bytes == 0 {
        return Err(ProtocolError::Empty { what: PAYLOAD });
    }
    Ok(limits.check(Limit::PayloadBytes, bytes)?)
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Whatever is left when something is wrong is left alone.
        let rest = self.rest.take()?;
        self.taken += 1;
        if let Err(exceeded) = self.limits.check(Limit::PayloadPackets, self.taken) {
            return Some(Err(exceeded.into()));
        }
        match take(self.version, rest, self.limits) {
            Ok(Some((packet, rest))) => {
                self.rest = rest;
                Some(Ok(packet))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

type Taken<'a> = Option<(Packet<'a>, Option<Rest<'a>>)>;

fn take<'a>(version: Version, rest: Rest<'a>, limits: &Limits) -> Result<Taken<'a>, ProtocolError> {
    match rest {
        Rest::Separated(text) => {
            let (text, rest) = text.split_once(SEPARATOR).map_or((text, None), |(text, rest)| (text, Some(rest)));
            Ok(Some((frame::decode_text(version, text, limits)?, rest.map(Rest::Separated))))
        }
        Rest::Counted(text) => {
            let mut next = text;
            // Packets of no length, as in `0:` for a payload of none, are nothing.
            while !next.is_empty() {
                let (packet, rest) = split_counted(next)?;
                if !packet.is_empty() {
                    let rest = (!rest.is_empty()).then_some(Rest::Counted(rest));
                    return Ok(Some((frame::decode_text(version, packet, limits)?, rest)));
                }
                next = rest;
            }
            Ok(None)
        }
        Rest::Lengthed(body, from) => {
            let (is_text, start, end) = split_lengthed(body, from)?;
            let rest = (end < body.len()).then_some(Rest::Lengthed(body, end));
            let packet = if is_text {
                let what = "a packet of Engine.IO";
                let bytes = body.get(start..end).unwrap_or_default();
                let text = std::str::from_utf8(bytes).map_err(|_| ProtocolError::NotUtf8 { what })?;
                frame::decode_text(version, text, limits)?
            } else {
                frame::decode_binary(version, body.slice(start..end), limits)?
            };
            Ok(Some((packet, rest)))
        }
    }
}

/// The first packet of texts behind their lengths, and what follows.
fn split_counted(text: &str) -> Result<(&str, &str), ProtocolError> {
    let refused = || ProtocolError::malformed("a packet of a polling payload has no length in digits before a colon");
    let (digits, rest) = text.split_once(':').ok_or_else(refused)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(refused());
    }
    let units: usize = digits.parse().map_err(|_| refused())?;
    let end = end_of_units(rest, units).ok_or(ProtocolError::malformed(
        "a packet of a polling payload ends before its length in UTF-16 code units, or within a character of two",
    ))?;
    Ok(rest.split_at(end))
}

/// The byte at which so many UTF-16 code units end.
fn end_of_units(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// Whether the packet at this place is a text, and where it begins and ends.
fn split_lengthed(body: &Bytes, from: usize) -> Result<(bool, usize, usize), ProtocolError> {
    let refused = || ProtocolError::malformed("a packet of a binary polling payload has no length in digits up to 255");
    let mut bytes = body.iter().skip(from);
    let is_text = match bytes.next() {
        Some(&TEXT) => true,
        Some(&BINARY) => false,
        Some(_) | None => {
            let what = "a packet of a binary polling payload is neither text (0) nor binary (1)";
            return Err(ProtocolError::malformed(what));
        }
    };
    let (mut length, mut digits) = (0_usize, 0);
    loop {
        match bytes.next() {
            Some(&LENGTH_END) if digits > 0 => break,
            Some(digit @ 0..=9) if digits < DIGITS_MAX => {
                length = length.saturating_mul(10).saturating_add(usize::from(*digit));
                digits += 1;
            }
            Some(_) | None => return Err(refused()),
        }
    }
    let start = from + 1 + digits + 1;
    let end = start.saturating_add(length);
    if end > body.len() {
        return Err(ProtocolError::malformed("a packet of a binary polling payload ends before its length in bytes"));
    }
    Ok((is_text, start, end))
}
