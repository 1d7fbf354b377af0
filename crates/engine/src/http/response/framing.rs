//! How an answer is framed, and the limits that its framing has.

/// Longest head of an answer, in bytes.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Most header fields of an answer.
pub(super) const FIELDS_MAX: usize = 128;
/// Longest line that gives the size of a chunk, in bytes.
pub(super) const CHUNK_LINE_MAX_BYTES: u32 = 1024;

/// Where in an answer its reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Head,
    Sized { left: u64 },
    ToEnd,
    ChunkSize { size: u64, digits: u32, length: u32, is_extension: bool },
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer { line: u32, total: u32 },
    Done,
}

/// A part of an answer, as it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// The head of the answer proper, not of a 1xx one: its status and fields.
    Head(u16, &'a [httparse::Header<'a>]),
    /// Bytes of the body, without what frames them.
    Body(&'a [u8]),
}
