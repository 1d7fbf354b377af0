//! The connections of one thread: who may have one, which are at rest, and which make room for others.
//!
//! A session holds a connection for the length of one exchange. Those that are bound to a user rest as the others do,
//! but for that user alone.

pub(crate) mod http1;
pub(crate) mod http2;

/// Whose connection to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Number of the target in the thread's table.
    pub(crate) target: u32,
    /// Index of the host among the target's.
    pub(crate) host: u32,
    /// The session it belongs to; [`SHARED`] where all share it.
    pub(crate) owner: u64,
}

/// Owner of the connections that all sessions of a thread share.
pub(crate) const SHARED: u64 = u64::MAX;
