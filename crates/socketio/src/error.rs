//! What can be wrong with what arrives, and with what is to be sent.

use crate::limits::Exceeded;
use crate::version::Version;

/// Errors of this crate. None holds data of a packet but a namespace, a name of an event or a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// More of something than there may be.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// Nothing where something must be.
    #[error("{what} is empty")]
    Empty {
        /// "a packet of Engine.IO".
        what: &'static str,
    },
    /// A packet of a type that there is not.
    #[error("`{}` is no type of {protocol} packets", found.escape_debug())]
    UnknownType {
        /// "Engine.IO" or "Socket.IO".
        protocol: &'static str,
        /// What stands where the type is.
        found: char,
    },
    /// A packet that is cut, doubled or not built as its protocol says.
    #[error("{what}")]
    Malformed {
        /// What is wrong, and with what.
        what: &'static str,
    },
    /// Bytes that should be a text.
    #[error("the bytes of {what} are no UTF-8")]
    NotUtf8 {
        /// "a packet of Engine.IO".
        what: &'static str,
    },
    /// Binary data whose base64 cannot be read.
    #[error("the base64 of a binary packet cannot be read")]
    Base64,
    /// JSON that cannot be read.
    #[error("{what} {reason} at column {column}")]
    Json {
        /// "the JSON of an EVENT packet".
        what: &'static str,
        /// What is wrong: "is broken".
        reason: &'static str,
        /// Where, in bytes from 1.
        column: usize,
    },
    /// JSON that is something else than this packet has.
    #[error("{what} is not {wanted}")]
    Shape {
        /// "the JSON of an EVENT packet".
        what: &'static str,
        /// "an array that begins with a name".
        wanted: &'static str,
    },
    /// What is no namespace.
    #[error("`{namespace}` is no namespace: {reason}")]
    Namespace {
        /// As far as it is shown.
        namespace: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Places of attachments that are not there, or attachments without a place.
    #[error("{what}")]
    Placeholder {
        /// What is wrong.
        what: &'static str,
    },
    /// A handshake without what it must have.
    #[error("the handshake of Engine.IO {what}")]
    Handshake {
        /// What is wrong: "has no `sid`".
        what: &'static str,
    },
    /// Something that may not be now.
    #[error("{what}")]
    WrongOrder {
        /// What came, or was wanted, and when.
        what: &'static str,
    },
    /// A packet for, or into, a namespace to which there is no connection.
    #[error("{what} of namespace `{namespace}`, which is not connected")]
    NotConnected {
        /// "an event".
        what: &'static str,
        /// As far as it is shown.
        namespace: String,
    },
    /// An ack that nobody waits for.
    #[error(
        "ack {id} in namespace `{namespace}`, {}",
        if *asked { "which came before, or was given up" } else { "which was never asked for" }
    )]
    UnknownAck {
        /// As far as it is shown.
        namespace: String,
        /// Its number.
        id: u64,
        /// Whether an event with this number was sent over this connection.
        asked: bool,
    },
    /// The server speaks the other pair of protocols.
    #[error(
        "the server speaks Socket.IO {}, as {} do, not Socket.IO {}: connect with EIO={}",
        speaks.socket_io(), speaks.servers(), wanted.socket_io(), speaks.engine_io()
    )]
    VersionMismatch {
        /// What it speaks.
        speaks: Version,
        /// What the client speaks.
        wanted: Version,
    },
    /// A name that no client sends.
    #[error("`{name}` is a name that clients of {} keep for themselves and never send", version.servers())]
    ReservedName {
        /// The name.
        name: String,
        /// The client's protocols.
        version: Version,
    },
    /// Something that these protocols cannot say.
    #[error("Socket.IO {} {what}", version.socket_io())]
    NotInVersion {
        /// "has no auth: use the query".
        what: &'static str,
        /// The client's protocols.
        version: Version,
    },
    /// Something for another transport than the one in use.
    #[error("{what}")]
    WrongTransport {
        /// What came, or was wanted, and over what.
        what: &'static str,
    },
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

/// What kind of thing is wrong: what a count of errors goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// [`ProtocolError::Limit`].
    Limit,
    /// [`ProtocolError::Empty`].
    Empty,
    /// [`ProtocolError::UnknownType`].
    UnknownType,
    /// [`ProtocolError::Malformed`].
    Malformed,
    /// [`ProtocolError::NotUtf8`].
    NotUtf8,
    /// [`ProtocolError::Base64`].
    Base64,
    /// [`ProtocolError::Json`].
    Json,
    /// [`ProtocolError::Shape`].
    Shape,
    /// [`ProtocolError::Namespace`].
    Namespace,
    /// [`ProtocolError::Placeholder`].
    Placeholder,
    /// [`ProtocolError::Handshake`].
    Handshake,
    /// [`ProtocolError::WrongOrder`].
    WrongOrder,
    /// [`ProtocolError::NotConnected`].
    NotConnected,
    /// [`ProtocolError::UnknownAck`].
    UnknownAck,
    /// [`ProtocolError::VersionMismatch`].
    VersionMismatch,
    /// [`ProtocolError::ReservedName`].
    ReservedName,
    /// [`ProtocolError::NotInVersion`].
    NotInVersion,
    /// [`ProtocolError::WrongTransport`].
    WrongTransport,
    /// [`ProtocolError::Closed`].
    Closed,
}

impl ErrorKind {
    /// Its name, which never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Empty => "empty",
            Self::UnknownType => "unknown_type",
            Self::Malformed => "malformed",
            Self::NotUtf8 => "not_utf8",
            Self::Base64 => "base64",
            Self::Json => "json",
            Self::Shape => "shape",
            Self::Namespace => "namespace",
            Self::Placeholder => "placeholder",
            Self::Handshake => "handshake",
            Self::WrongOrder => "wrong_order",
            Self::NotConnected => "not_connected",
            Self::UnknownAck => "unknown_ack",
            Self::VersionMismatch => "version_mismatch",
            Self::ReservedName => "reserved_name",
            Self::NotInVersion => "not_in_version",
            Self::WrongTransport => "wrong_transport",
            Self::Closed => "closed",
        }
    }
}

impl ProtocolError {
    /// Its kind.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit(_) => ErrorKind::Limit,
            Self::Empty { .. } => ErrorKind::Empty,
            Self::UnknownType { .. } => ErrorKind::UnknownType,
            Self::Malformed { .. } => ErrorKind::Malformed,
            Self::NotUtf8 { .. } => ErrorKind::NotUtf8,
            Self::Base64 => ErrorKind::Base64,
            Self::Json { .. } => ErrorKind::Json,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Namespace { .. } => ErrorKind::Namespace,
            Self::Placeholder { .. } => ErrorKind::Placeholder,
            Self::Handshake { .. } => ErrorKind::Handshake,
            Self::WrongOrder { .. } => ErrorKind::WrongOrder,
            Self::NotConnected { .. } => ErrorKind::NotConnected,
            Self::UnknownAck { .. } => ErrorKind::UnknownAck,
            Self::VersionMismatch { .. } => ErrorKind::VersionMismatch,
            Self::ReservedName { .. } => ErrorKind::ReservedName,
            Self::NotInVersion { .. } => ErrorKind::NotInVersion,
            Self::WrongTransport { .. } => ErrorKind::WrongTransport,
            Self::Closed => ErrorKind::Closed,
        }
    }

    pub(crate) const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what }
    }

    pub(crate) const fn order(what: &'static str) -> Self {
        Self::WrongOrder { what }
    }
}

/// Longest piece of a text that an error repeats, in characters.
const SHOWN_MAX: usize = 64;

/// As much of a text as an error shows, without what would move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
