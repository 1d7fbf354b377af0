//! What is wrong with an answer, and what it looked like.

use std::fmt;

use super::{CHUNK_LINE_MAX_BYTES, FIELDS_MAX, HEAD_MAX_BYTES};

/// Most bytes of an answer that an error shows.
const SHOWN_MAX_BYTES: usize = 80;

/// What an answer violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the head of the answer has more than {HEAD_MAX_BYTES} bytes")]
    HeadTooLong,
    #[error("the answer has more than {FIELDS_MAX} header fields")]
    TooManyFields,
    #[error("the answer is TLS, not HTTP: write the target with https://")]
    Tls,
    #[error("the answer is HTTP/2, which was not asked for")]
    Http2,
    #[error("the answer does not begin with HTTP/1.1 or HTTP/1.0")]
    Version,
    #[error("the status of the answer is no number from 100 to 999")]
    Status,
    #[error("a header line of the answer has no name, or a name or value with characters that none may have")]
    Field,
    #[error("the content-length of the answer is no number, or several different ones")]
    Length,
    #[error("the size of a chunk cannot be read, or its line has more than {CHUNK_LINE_MAX_BYTES} bytes")]
    Chunk,
    #[error("the peer wants to switch protocols, which was not asked for")]
    Switch,
}

/// A problem, and the beginning of what has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseError {
    pub(crate) problem: Problem,
    /// Escaped and bounded; empty where there is nothing to be shown.
    shown: String,
}

impl ResponseError {
    /// `bytes` begin with what has the problem; the first line of them is shown.
    pub(crate) fn new(problem: Problem, bytes: &[u8]) -> Box<Self> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let cut = line.get(..SHOWN_MAX_BYTES).unwrap_or(line);
        let mut shown = cut.trim_ascii_end().escape_ascii().to_string();
        if cut.len() < line.len() {
            shown.push_str("...");
        }
        Box::new(Self { problem, shown })
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)?;
        if self.shown.is_empty() { Ok(()) } else { write!(f, ": `{}`", self.shown) }
    }
}

impl std::error::Error for ResponseError {}
