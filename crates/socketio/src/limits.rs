//! How much a server may send, and how much waits here.

/// Deepest JSON that can be read at all: what its reader can do.
pub const JSON_DEPTH_MAX: usize = 127;

/// Most that there may be. Each is counted before anything of its size is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one packet of Engine.IO: of its text, or of its binary data. JSON takes more for as long as it is kept
    /// as values: 32 times its length if it is an array of digits, 130 times if it is made to do harm.
    pub packet_bytes: usize,
    /// Attachments of one packet of Socket.IO. Current clients of socket.io have this default as well.
    pub attachments: usize,
    /// Bytes of all attachments of one packet together.
    pub attachment_bytes: usize,
    /// Bytes of a namespace, with its query.
    pub namespace_bytes: usize,
    /// Bytes of a session id, of Engine.IO and of Socket.IO.
    pub session_id_bytes: usize,
    /// How deep JSON is nested: `[[1]]` is two deep. More than [`JSON_DEPTH_MAX`] is as good as that.
    pub json_depth: usize,
    /// Packets in one payload of long-polling that arrives.
    pub payload_packets: usize,
    /// Packets that one POST of long-polling takes along; the rest waits for the next one. Servers of Python refuse
    /// more than 16 unless they were told otherwise. None is as good as one.
    pub posted_packets: usize,
    /// Bytes of one payload of long-polling, in both directions. What the server allows may be less.
    pub payload_bytes: usize,
    /// Namespaces of one connection.
    pub namespaces: usize,
    /// Acks that one connection waits for, in all its namespaces.
    pub acks_outstanding: usize,
    /// Packets of one connection that wait to be sent.
    pub queued_packets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes: 1 << 20,
            attachments: 10,
            attachment_bytes: 4 << 20,
            namespace_bytes: 1_024,
            session_id_bytes: 256,
            json_depth: JSON_DEPTH_MAX,
            payload_packets: 16_384,
            posted_packets: 16,
            payload_bytes: 4 << 20,
            namespaces: 64,
            acks_outstanding: 1_024,
            queued_packets: 1_024,
        }
    }
}

impl Limits {
    /// The most that a limit allows.
    pub const fn most(&self, limit: Limit) -> usize {
        match limit {
            Limit::PacketBytes => self.packet_bytes,
            Limit::Attachments => self.attachments,
            Limit::AttachmentBytes => self.attachment_bytes,
            Limit::NamespaceBytes => self.namespace_bytes,
            Limit::SessionIdBytes => self.session_id_bytes,
            Limit::JsonDepth if self.json_depth > JSON_DEPTH_MAX => JSON_DEPTH_MAX,
            Limit::JsonDepth => self.json_depth,
            Limit::PayloadPackets => self.payload_packets,
            Limit::PayloadBytes => self.payload_bytes,
            Limit::Namespaces => self.namespaces,
            Limit::AcksOutstanding => self.acks_outstanding,
            Limit::QueuedPackets => self.queued_packets,
        }
    }

    /// Whether there may be so many.
    pub(crate) const fn check(&self, limit: Limit, found: usize) -> Result<(), Exceeded> {
        if found > self.most(limit) { Err(self.exceeded(limit)) } else { Ok(()) }
    }

    /// There are more.
    pub(crate) const fn exceeded(&self, limit: Limit) -> Exceeded {
        Exceeded { limit, most: self.most(limit) }
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::packet_bytes`].
    PacketBytes,
    /// [`Limits::attachments`].
    Attachments,
    /// [`Limits::attachment_bytes`].
    AttachmentBytes,
    /// [`Limits::namespace_bytes`].
    NamespaceBytes,
    /// [`Limits::session_id_bytes`].
    SessionIdBytes,
    /// [`Limits::json_depth`].
    JsonDepth,
    /// [`Limits::payload_packets`].
    PayloadPackets,
    /// [`Limits::payload_bytes`].
    PayloadBytes,
    /// [`Limits::namespaces`].
    Namespaces,
    /// [`Limits::acks_outstanding`].
    AcksOutstanding,
    /// [`Limits::queued_packets`].
    QueuedPackets,
}

impl Limit {
    /// The name of its field in [`Limits`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PacketBytes => "packet_bytes",
            Self::Attachments => "attachments",
            Self::AttachmentBytes => "attachment_bytes",
            Self::NamespaceBytes => "namespace_bytes",
            Self::SessionIdBytes => "session_id_bytes",
            Self::JsonDepth => "json_depth",
            Self::PayloadPackets => "payload_packets",
            Self::PayloadBytes => "payload_bytes",
            Self::Namespaces => "namespaces",
            Self::AcksOutstanding => "acks_outstanding",
            Self::QueuedPackets => "queued_packets",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::PacketBytes => "bytes of a packet",
            Self::Attachments => "attachments of a packet",
            Self::AttachmentBytes => "bytes of a packet's attachments",
            Self::NamespaceBytes => "bytes of a namespace",
            Self::SessionIdBytes => "bytes of a session id",
            Self::JsonDepth => "levels that JSON is nested",
            Self::PayloadPackets => "packets of a polling payload",
            Self::PayloadBytes => "bytes of a polling payload",
            Self::Namespaces => "namespaces of a connection",
            Self::AcksOutstanding => "acks that a connection waits for",
            Self::QueuedPackets => "packets that wait to be sent",
        }
    }
}

/// There is more of something than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {most} {}: the limit `{}`", limit.what(), limit.as_str())]
pub struct Exceeded {
    /// Which limit.
    pub limit: Limit,
    /// The most there may be.
    pub most: usize,
}
