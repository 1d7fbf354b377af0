//! What is asked of a transport, and what it gives back.

/// One event to be sent.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) servo: u32,
    pub(super) app: String,
    pub(super) body: String,
    pub(super) traceparent: Option<String>,
    /// Over the bus; over HTTP it is among the headers of all.
    pub(super) authorization: Option<String>,
    /// Left as soon as it is written.
    pub(super) drops: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Bytes written for it.
    pub(super) written_bytes: u64,
    /// Bytes that it had itself.
    pub(super) read_bytes: u64,
    /// How often it was sent again because the service had closed the connection without seeing it.
    pub(super) retried: u64,
}
