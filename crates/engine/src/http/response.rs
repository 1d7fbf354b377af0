//! Reads an HTTP/1.1 answer from whatever pieces it comes in: no I/O, no clock, and no allocation while a head comes in one piece.

use std::mem::MaybeUninit;

/// Longest head of an answer, in bytes.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 128;
/// Longest line that gives the size of a chunk, in bytes.
const CHUNK_LINE_MAX_BYTES: u32 = 1024;

/// What an answer violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    #[error("the head of the answer has more than {HEAD_MAX_BYTES} bytes")]
    HeadTooLong,
    #[error("the answer has more than {FIELDS_MAX} header fields")]
    TooManyFields,
    #[error("the head of the answer is not HTTP/1.1")]
    Head,
    #[error("the content-length of the answer is no number, or two different ones")]
    Length,
    #[error("the transfer-encoding of the answer is not chunked")]
    Encoding,
    #[error("the size of a chunk cannot be read, or its line has more than {CHUNK_LINE_MAX_BYTES} bytes")]
    Chunk,
    #[error("the peer wants to switch protocols, which was not asked for")]
    Switch,
}

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
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self { state: State::Head, head: Vec::new(), status: 0, is_head_request: false, keeps_alive: true }
    }

    /// Ready for the next answer; what was allocated is kept.
    #[inline]
    pub(crate) fn reset(&mut self, is_head_request: bool) {
        self.state = State::Head;
        self.head.clear();
        self.status = 0;
        self.is_head_request = is_head_request;
        self.keeps_alive = true;
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
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Progress, ResponseError> {
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
                    at += taken as usize;
                    self.state = if taken == left { State::Done } else { State::Sized { left: left - taken } };
                }
                State::ToEnd => return Ok(Progress::Partial),
                _ => at += self.read_chunks(rest)?,
            }
        }
    }

    /// How many bytes of `rest` belong to the head, if it is complete.
    #[inline]
    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, ResponseError> {
        if self.head.is_empty() {
            let parsed = parse_head(rest, self.is_head_request)?;
            return match parsed {
                Some(head) => Ok(Some(self.begin_body(head))),
                None => {
                    if rest.len() > HEAD_MAX_BYTES {
                        return Err(ResponseError::HeadTooLong);
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
        if self.head.len() > HEAD_MAX_BYTES { Err(ResponseError::HeadTooLong) } else { Ok(None) }
    }

    #[inline]
    fn begin_body(&mut self, head: Head) -> usize {
        // 1xx: the answer proper follows.
        if head.status >= 200 {
            self.status = head.status;
            self.keeps_alive = head.keeps_alive;
            self.state = head.body;
        }
        head.length
    }

    /// How many bytes of `rest` (not empty) were taken.
    fn read_chunks(&mut self, rest: &[u8]) -> Result<usize, ResponseError> {
        if let State::ChunkData { left } = self.state {
            let taken = left.min(rest.len() as u64);
            self.state = if taken == left { State::ChunkEnd } else { State::ChunkData { left: left - taken } };
            return Ok(taken as usize);
        }
        let byte = rest.first().copied().unwrap_or_default();
        self.state = match self.state {
            State::ChunkSize { size, digits, length, is_extension } => match byte {
                b'\n' if digits == 0 => return Err(ResponseError::Chunk),
                b'\n' if size == 0 => State::Trailer { line: 0, total: 0 },
                b'\n' => State::ChunkData { left: size },
                _ if length >= CHUNK_LINE_MAX_BYTES => return Err(ResponseError::Chunk),
                b'\r' => State::ChunkSize { size, digits, length: length + 1, is_extension },
                _ if is_extension => State::ChunkSize { size, digits, length: length + 1, is_extension },
                b';' | b' ' | b'\t' => State::ChunkSize { size, digits, length: length + 1, is_extension: true },
                _ => {
                    let digit = char::from(byte).to_digit(16).ok_or(ResponseError::Chunk)?;
                    let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                    let size = size.ok_or(ResponseError::Chunk)?;
                    State::ChunkSize { size, digits: digits + 1, length: length + 1, is_extension }
                }
            },
            State::ChunkEnd => match byte {
                b'\r' => State::ChunkEnd,
                b'\n' => State::ChunkSize { size: 0, digits: 0, length: 0, is_extension: false },
                _ => return Err(ResponseError::Chunk),
            },
            State::Trailer { total, .. } if total as usize > HEAD_MAX_BYTES => return Err(ResponseError::HeadTooLong),
            State::Trailer { line, total } => match byte {
                b'\n' if line == 0 => State::Done,
                b'\n' => State::Trailer { line: 0, total: total + 1 },
                b'\r' => State::Trailer { line, total: total + 1 },
                _ => State::Trailer { line: line + 1, total: total + 1 },
            },
            other => other,
        };
        Ok(1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Head {
    length: usize,
    status: u16,
    keeps_alive: bool,
    body: State,
}

#[inline]
fn parse_head(bytes: &[u8], is_head_request: bool) -> Result<Option<Head>, ResponseError> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyFields),
        Err(_) => return Err(ResponseError::Head),
    };
    if length > HEAD_MAX_BYTES {
        return Err(ResponseError::HeadTooLong);
    }
    let status = response.code.ok_or(ResponseError::Head)?;
    let mut keeps_alive = response.version == Some(1);
    let mut content_length = None;
    let mut is_chunked = false;
    let mut has_encoding = false;
    for field in response.headers.iter() {
        // By length first: most fields are none of these.
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case("connection") => {
                if has_token(field.value, b"close") {
                    keeps_alive = false;
                } else if has_token(field.value, b"keep-alive") {
                    keeps_alive = true;
                }
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let value = parse_length(field.value).ok_or(ResponseError::Length)?;
                if content_length.is_some_and(|known| known != value) {
                    return Err(ResponseError::Length);
                }
                content_length = Some(value);
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                has_encoding = true;
                is_chunked = has_token(field.value, b"chunked");
            }
            _ => {}
        }
    }
    if status == 101 {
        return Err(ResponseError::Switch);
    }
    if has_encoding && !is_chunked {
        return Err(ResponseError::Encoding);
    }
    let has_no_body = is_head_request || status < 200 || status == 204 || status == 304;
    // RFC 9112, 6.3: transfer-encoding goes before content-length.
    let body = match content_length {
        _ if has_no_body => State::Done,
        _ if is_chunked => State::ChunkSize { size: 0, digits: 0, length: 0, is_extension: false },
        Some(0) => State::Done,
        Some(left) => State::Sized { left },
        None => {
            keeps_alive = false;
            State::ToEnd
        }
    };
    Ok(Some(Head { length, status, keeps_alive, body }))
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests;
