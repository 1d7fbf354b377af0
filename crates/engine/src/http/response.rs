//! Reads an HTTP/1.1 answer from whatever pieces it comes in: no I/O, no clock, and no allocation while a head comes in
//! one piece. All clients read with it, whatever they are connected by.
//!
//! What RFC 9112 lets a user agent accept is accepted: lines that end in a bare LF, folded lines, a list of equal
//! lengths, codings other than chunked (then the answer ends with the connection), 1xx answers before the answer
//! proper.

mod error;
mod head;

pub(crate) use error::{Problem, ResponseError};
use head::{Head, parse_head};

/// Longest head of an answer, in bytes.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 128;
/// Longest line that gives the size of a chunk, in bytes.
const CHUNK_LINE_MAX_BYTES: u32 = 1024;

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All that was given is consumed, more must come.
    Partial,
    /// The answer is complete; so many bytes of what was given belong to it.
    Complete { consumed: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Sized { left: u64 },
    ToEnd,
    ChunkSize { size: u64, digits: u32, length: u32, is_extension: bool },
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer { line: u32, total: u32 },
    Done,
}

/// One answer being read.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    state: State,
    /// The beginning of a head that came in pieces.
    head: Vec<u8>,
    status: u16,
    is_head_request: bool,
    keeps_alive: bool,
    idle_seconds: Option<u32>,
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            head: Vec::new(),
            status: 0,
            is_head_request: false,
            keeps_alive: true,
            idle_seconds: None,
        }
    }

    /// Ready for the next answer; what was allocated is kept.
    #[inline]
    pub(crate) fn reset(&mut self, is_head_request: bool) {
        self.state = State::Head;
        self.head.clear();
        self.status = 0;
        self.is_head_request = is_head_request;
        self.keeps_alive = true;
        self.idle_seconds = None;
    }

    /// Gives back what a long head has taken.
    pub(crate) fn shrink(&mut self) {
        if self.head.capacity() > 4_096 {
            self.head = Vec::new();
        }
    }

    /// Status of the answer, once its head was read.
    #[inline]
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may be used again after the answer.
    #[inline]
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// How long the peer keeps the connection open while nothing is asked, as far as it says.
    #[inline]
    pub(crate) fn idle_seconds(&self) -> Option<u32> {
        self.idle_seconds
    }

    /// The peer has closed: whether that completes the answer.
    pub(crate) fn close(&mut self) -> bool {
        self.keeps_alive = false;
        if self.state == State::ToEnd {
            self.state = State::Done;
        }
        self.state == State::Done
    }

    /// Takes the next bytes of the answer.
    #[inline]
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Box<ResponseError>> {
        self.feed_to(bytes, |_| {})
    }

    /// The same; the bytes of the body, without what frames them, are given to `body` as they come.
    #[inline]
    pub(crate) fn feed_to(
        &mut self,
        bytes: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<Progress, Box<ResponseError>> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(Progress::Complete { consumed: at }),
                _ if rest.is_empty() => return Ok(Progress::Partial),
                State::Head => match self.read_head(rest)? {
                    Some(consumed) => at += consumed,
                    None => return Ok(Progress::Partial),
                },
                State::Sized { left } => {
                    let taken = left.min(rest.len() as u64);
                    body(rest.get(..taken as usize).unwrap_or_default());
                    at += taken as usize;
                    self.state = if taken == left { State::Done } else { State::Sized { left: left - taken } };
                }
                State::ToEnd => {
                    body(rest);
                    return Ok(Progress::Partial);
                }
                State::ChunkData { left } => {
                    let taken = left.min(rest.len() as u64);
                    body(rest.get(..taken as usize).unwrap_or_default());
                    at += taken as usize;
                    self.state = if taken == left { State::ChunkEnd } else { State::ChunkData { left: left - taken } };
                }
                State::ChunkSize { .. } | State::ChunkEnd | State::Trailer { .. } => {
                    self.read_chunk_line(rest.first().copied().unwrap_or_default(), rest)?;
                    at += 1;
                }
            }
        }
    }

    /// How many bytes of `rest` belong to the head, if it is complete.
    #[inline]
    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, Box<ResponseError>> {
        if self.head.is_empty() {
            let parsed = parse_head(rest, self.is_head_request)?;
            return match parsed {
                Some(head) => Ok(Some(self.begin_body(head))),
                None => {
                    if rest.len() > HEAD_MAX_BYTES {
                        return Err(ResponseError::new(Problem::HeadTooLong, b""));
                    }
                    self.head.extend_from_slice(rest);
                    Ok(None)
                }
            };
        }
        let known = self.head.len();
        let room = (HEAD_MAX_BYTES + 1).saturating_sub(known).min(rest.len());
        self.head.extend_from_slice(rest.get(..room).unwrap_or_default());
        // A head ends with a line: without a new one it cannot be complete, and need not be parsed again.
        if rest.contains(&b'\n')
            && let Some(head) = parse_head(&self.head, self.is_head_request)?
        {
            let consumed = head.length.saturating_sub(known);
            self.head.clear();
            return Ok(Some(self.begin_body(Head { length: consumed, ..head })));
        }
        if self.head.len() > HEAD_MAX_BYTES { Err(ResponseError::new(Problem::HeadTooLong, b"")) } else { Ok(None) }
    }

    #[inline]
    fn begin_body(&mut self, head: Head) -> usize {
        // 1xx: the answer proper follows.
        if head.status >= 200 {
            self.status = head.status;
            self.keeps_alive = head.keeps_alive;
            self.idle_seconds = head.idle_seconds;
            self.state = head.body;
        }
        head.length
    }

    /// One byte of what frames the chunks; it is the first one of `rest`.
    fn read_chunk_line(&mut self, byte: u8, rest: &[u8]) -> Result<(), Box<ResponseError>> {
        let wrong = || Err(ResponseError::new(Problem::Chunk, rest));
        self.state = match self.state {
            State::ChunkSize { size, digits, length, is_extension } => match byte {
                b'\n' if digits == 0 => return wrong(),
                b'\n' if size == 0 => State::Trailer { line: 0, total: 0 },
                b'\n' => State::ChunkData { left: size },
                _ if length >= CHUNK_LINE_MAX_BYTES => return wrong(),
                b'\r' => State::ChunkSize { size, digits, length: length + 1, is_extension },
                _ if is_extension => State::ChunkSize { size, digits, length: length + 1, is_extension },
                b';' | b' ' | b'\t' => State::ChunkSize { size, digits, length: length + 1, is_extension: true },
                _ => {
                    let Some(digit) = char::from(byte).to_digit(16) else { return wrong() };
                    let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                    let Some(size) = size else { return wrong() };
                    State::ChunkSize { size, digits: digits + 1, length: length + 1, is_extension }
                }
            },
            State::ChunkEnd => match byte {
                b'\r' => State::ChunkEnd,
                b'\n' => State::ChunkSize { size: 0, digits: 0, length: 0, is_extension: false },
                _ => return wrong(),
            },
            State::Trailer { total, .. } if total as usize > HEAD_MAX_BYTES => {
                return Err(ResponseError::new(Problem::HeadTooLong, b""));
            }
            State::Trailer { line, total } => match byte {
                b'\n' if line == 0 => State::Done,
                b'\n' => State::Trailer { line: 0, total: total + 1 },
                b'\r' => State::Trailer { line, total: total + 1 },
                _ => State::Trailer { line: line + 1, total: total + 1 },
            },
            other => other,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
