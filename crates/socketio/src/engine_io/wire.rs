//! What goes over the network in one piece.

use bytes::Bytes;

/// One message of a WebSocket, or the body of one request or answer of long-polling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// A text message; a body of text.
    Text(String),
    /// A binary message; a body of bytes.
    Binary(Bytes),
}

impl Wire {
    /// The `Content-Type` of such a body.
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text/plain;charset=UTF-8",
            Self::Binary(_) => "application/octet-stream",
        }
    }

    /// Its bytes on the network.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}
