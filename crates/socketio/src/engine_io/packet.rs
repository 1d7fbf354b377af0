//! Packets.

use std::borrow::Cow;

use bytes::Bytes;

use super::handshake::Handshake;

/// A packet of Engine.IO. Its texts are parts of what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The handshake, which the server sends first.
    Open(Handshake),
    /// The session is over.
    Close,
    /// Asks for a [`Packet::Pong`] with the same text: none for heartbeats, `probe` before an upgrade.
    Ping(Cow<'a, str>),
    /// Answers a [`Packet::Ping`].
    Pong(Cow<'a, str>),
    /// A message of text.
    Text(Cow<'a, str>),
    /// A message of bytes.
    Binary(Bytes),
    /// The session goes on over the transport on which this comes.
    Upgrade,
    /// Nothing: it ends a poll.
    Noop,
}

impl Packet<'_> {
    /// The same packet, which lives as long as one likes.
    pub fn into_owned(self) -> Packet<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Open(handshake) => Packet::Open(handshake),
            Self::Close => Packet::Close,
            Self::Ping(text) => Packet::Ping(owned(text)),
            Self::Pong(text) => Packet::Pong(owned(text)),
            Self::Text(text) => Packet::Text(owned(text)),
            Self::Binary(bytes) => Packet::Binary(bytes),
            Self::Upgrade => Packet::Upgrade,
            Self::Noop => Packet::Noop,
        }
    }
}
