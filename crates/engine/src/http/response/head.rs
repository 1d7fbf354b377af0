//! The head of an answer: status, and how long its body is (RFC 9112, 6.3).

use std::mem::MaybeUninit;

use super::{FIELDS_MAX, HEAD_MAX_BYTES, Problem, ResponseError, State};

/// What a head says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) status: u16,
    pub(super) keeps_alive: bool,
    pub(super) idle_seconds: Option<u32>,
    pub(super) body: State,
}

/// The framing that the fields of a head ask for.
#[derive(Debug, Default)]
struct Framing {
    content_length: Option<u64>,
    /// A coding other than `identity` is there.
    has_coding: bool,
    /// The last one is `chunked`.
    is_chunked: bool,
}

/// Reads a head; `None` while it is not complete.
#[inline]
pub(super) fn parse_head(bytes: &[u8], is_head_request: bool) -> Result<Option<Head>, Box<ResponseError>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(refusal(error, bytes)),
    };
    if length > HEAD_MAX_BYTES {
        return Err(ResponseError::new(Problem::HeadTooLong, b""));
    }
    let status = response.code.filter(|code| *code >= 100);
    let status = status.ok_or_else(|| ResponseError::new(Problem::Status, bytes))?;
    let mut keeps_alive = response.version == Some(1);
    let mut is_last = false;
    let mut idle_seconds = None;
    let mut framing = Framing::default();
    for field in response.headers.iter() {
        // By length first: most fields are none of these.
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case("connection") => {
                if tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"close")) {
                    is_last = true;
                } else if tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"keep-alive")) {
                    keeps_alive = true;
                }
            }
            10 if field.name.eq_ignore_ascii_case("keep-alive") => {
                for (name, value) in tokens(field.value).filter_map(parameter) {
                    if name.eq_ignore_ascii_case(b"timeout") {
                        idle_seconds = Some(value);
                    } else if name.eq_ignore_ascii_case(b"max") && value == 0 {
                        is_last = true;
                    }
                }
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let known = framing.content_length;
                let value = length_of(field.value).filter(|value| known.is_none_or(|known| known == *value));
                let refuse = || ResponseError::new(Problem::Length, field.value);
                framing.content_length = Some(value.ok_or_else(refuse)?);
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                // `identity` is none (RFC 2616, 3.6; gone since, still sent).
                for coding in tokens(field.value).filter(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
                    framing.has_coding = true;
                    framing.is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                }
            }
            _ => {}
        }
    }
    if status == 101 {
        return Err(ResponseError::new(Problem::Switch, bytes));
    }
    let has_no_body = is_head_request || status < 200 || status == 204 || status == 304;
    let body = if has_no_body { State::Done } else { body_of(&framing) };
    let keeps_alive = keeps_alive && !is_last && body != State::ToEnd;
    Ok(Some(Head { length, status, keeps_alive, idle_seconds, body }))
}

/// Transfer-encoding goes before content-length; where neither says where the body ends, the connection's end does.
fn body_of(framing: &Framing) -> State {
    match framing.content_length {
        _ if framing.is_chunked => State::ChunkSize { size: 0, digits: 0, length: 0, is_extension: false },
        _ if framing.has_coding => State::ToEnd,
        Some(0) => State::Done,
        Some(left) => State::Sized { left },
        None => State::ToEnd,
    }
}

/// What cannot be read, in words, with the line that it stands on.
fn refusal(error: httparse::Error, bytes: &[u8]) -> Box<ResponseError> {
    let start = bytes.trim_ascii_start();
    let problem = match error {
        httparse::Error::TooManyHeaders => return ResponseError::new(Problem::TooManyFields, b""),
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Problem::Field,
        httparse::Error::NewLine | httparse::Error::Token if starts_a_head(start) => Problem::Field,
        httparse::Error::Status => Problem::Status,
        httparse::Error::Version | httparse::Error::NewLine | httparse::Error::Token => match start {
            // An alert or a handshake of TLS 1.0 to 1.3; a frame of settings of HTTP/2.
            [0x15 | 0x16, 3, ..] => Problem::Tls,
            [0, 0, _, 4, ..] => Problem::Http2,
            _ if start.starts_with(b"HTTP/2") => Problem::Http2,
            _ => Problem::Version,
        },
    };
    let shown = if problem == Problem::Field { bad_line(start) } else { start };
    ResponseError::new(problem, shown)
}

fn starts_a_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 ") || bytes.starts_with(b"HTTP/1.0 ")
}

/// The first header line that cannot be read on its own; the first line of all where each can.
fn bad_line(bytes: &[u8]) -> &[u8] {
    let is_bad = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        !line.contains(&b':') || name.is_empty() || !name.iter().all(is_token) || line.iter().any(is_control)
    };
    let lines = bytes.split(|byte| *byte == b'\n').skip(1);
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).take_while(|line| !line.is_empty());
    lines.find(is_bad).unwrap_or(bytes)
}

/// The parts of a list; empty ones do not count (RFC 9110, 5.6.1).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// `name=number`.
fn parameter(token: &[u8]) -> Option<(&[u8], u32)> {
    let at = token.iter().position(|byte| *byte == b'=')?;
    let value = std::str::from_utf8(token.get(at + 1..)?).ok()?;
    Some((token.get(..at)?.trim_ascii(), value.trim().trim_matches('"').parse().ok()?))
}

/// A length, or a list of equal ones (RFC 9112, 6.3).
fn length_of(value: &[u8]) -> Option<u64> {
    let mut lengths = tokens(value).map(number);
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}
