//! What is kept of an answer: only what somebody wants, and no more than a bound of it.

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue};
use nuncius_schemas::metric::FailureKind;

use crate::failure::Failure;
use crate::http::decode::{self, DecodeError};
use crate::http::response::Part;

/// What of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// All header fields; else only those that the client itself heeds.
    pub(crate) fields: bool,
    /// The body, without its codings.
    pub(crate) body: bool,
    /// Most bytes of it, with and without its codings.
    pub(crate) body_max_bytes: usize,
}

/// What was kept of an answer. Used again for the next one: nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub(crate) struct Received {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    spare: Vec<u8>,
    /// Bytes of the body that came, kept or not.
    body_bytes: u64,
}

/// What is given back when an answer was large: capacity beyond this.
const KEPT_BYTES: usize = 64 * 1024;
/// The same of header fields.
const KEPT_FIELDS: usize = 128;

impl Received {
    /// Ready for the next answer.
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.headers.clear();
        self.body.clear();
        self.body_bytes = 0;
    }

    /// Gives back what a large answer has taken.
    pub(crate) fn shrink(&mut self) {
        self.clear();
        for buffer in [&mut self.body, &mut self.spare] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        if self.headers.capacity() > KEPT_FIELDS {
            self.headers = HeaderMap::new();
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the body as they came, whether they were kept or not.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The header fields that were kept.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Takes the next part of an HTTP/1.1 answer.
    ///
    /// # Errors
    /// The body is larger than is wanted.
    #[inline]
    pub(crate) fn take(&mut self, part: Part<'_>, wanted: Wanted) -> Result<(), Failure> {
        match part {
            Part::Head(status, fields) => {
                self.status = status;
                for field in fields.iter().filter(|field| wanted.fields || is_heeded(field.name)) {
                    self.take_field(field.name, field.value);
                }
                Ok(())
            }
            Part::Body(bytes) => self.take_body(bytes, wanted),
        }
    }

    fn take_field(&mut self, name: &str, value: &[u8]) {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
        let value = HeaderValue::from_bytes(value).or_else(|_| {
            // Lines that were folded (RFC 9112, 5.2) are one.
            let plain: Vec<u8> = value.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect();
            HeaderValue::from_bytes(&plain)
        });
        if let Ok(value) = value {
            // More fields than the map holds are more than an answer may have.
            let _ = self.headers.try_append(name, value);
        }
    }

    /// Takes all header fields of an HTTP/2 answer.
    pub(crate) fn take_headers(&mut self, status: u16, headers: HeaderMap) {
        (self.status, self.headers) = (status, headers);
    }

    /// Takes bytes of the body, if it is wanted.
    ///
    /// # Errors
    /// The body is larger than is wanted.
    #[inline]
    pub(crate) fn take_body(&mut self, bytes: &[u8], wanted: Wanted) -> Result<(), Failure> {
        self.body_bytes += bytes.len() as u64;
        if !wanted.body {
            return Ok(());
        }
        if self.body.len() + bytes.len() > wanted.body_max_bytes {
            return Err(too_large(wanted.body_max_bytes));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    /// The answer is complete: takes the codings from its body (RFC 9110, 8.4), if that was wanted.
    ///
    /// # Errors
    /// The body is no such coding, of one that was not asked for, or larger than is wanted.
    pub(crate) fn decode(&mut self, wanted: Wanted) -> Result<(), Failure> {
        if !wanted.body || self.body.is_empty() {
            return Ok(());
        }
        let values = self.headers.get_all(CONTENT_ENCODING).iter();
        let codings: Vec<String> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .flat_map(|value| value.split(',').map(|coding| coding.trim().to_ascii_lowercase()).collect::<Vec<_>>())
            .collect();
        if codings.is_empty() {
            return Ok(());
        }
        decode::decode(&codings, &mut self.body, &mut self.spare, wanted.body_max_bytes).map_err(|error| match error {
            DecodeError::TooLarge => too_large(wanted.body_max_bytes),
            DecodeError::TooMany | DecodeError::Unknown(_) | DecodeError::Broken(_) => {
                Failure::new(FailureKind::Protocol, error.to_string())
            }
        })
    }
}

/// Fields that the client heeds whether somebody else wants them or not.
#[inline]
fn is_heeded(name: &str) -> bool {
    // By length first: most fields are none of these.
    match name.len() {
        8 => name.eq_ignore_ascii_case("location"),
        10 => name.eq_ignore_ascii_case("set-cookie"),
        16 => name.eq_ignore_ascii_case("content-encoding"),
        _ => false,
    }
}

fn too_large(body_max_bytes: usize) -> Failure {
    let text = format!("the body of the answer has more than body_limit: {body_max_bytes} bytes");
    Failure::new(FailureKind::BodyLimit, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response::{Progress, ResponseReader};

    fn read(answer: &[u8], piece_bytes: usize, wanted: Wanted) -> (Received, Result<(), Failure>) {
        let (mut reader, mut received) = (ResponseReader::new(), Received::default());
        reader.reset(false);
        let mut result = Ok(());
        for piece in answer.chunks(piece_bytes) {
            let progress = reader.feed_parts(piece, |part| {
                if result.is_ok() {
                    result = received.take(part, wanted);
                }
            });
            if matches!(progress.unwrap(), Progress::Complete { .. }) {
                break;
            }
        }
        let result = result.and_then(|()| received.decode(wanted));
        (received, result)
    }

    const ANSWER: &[u8] =
        b"HTTP/1.1 100 Continue\r\nX: none\r\n\r\nHTTP/1.1 302 Found\r\nX-A: 1\r\nSet-Cookie: a=b\r\n\
        Folded: a\r\n  b\r\nLocation: /next\r\nContent-Length: 4\r\n\r\nbody";

    #[test]
    fn in_whatever_pieces_an_answer_comes_the_same_is_kept_of_it() {
        for piece_bytes in [1, 2, 3, 7, 1_000] {
            let wanted = Wanted { fields: true, body: true, body_max_bytes: 4 };
            let (received, result) = read(ANSWER, piece_bytes, wanted);
            assert_eq!((received.status(), result), (302, Ok(())));
            assert_eq!((received.body(), received.body_bytes()), (&b"body"[..], 4));
            assert_eq!(received.headers().get("x-a").unwrap(), "1");
            assert_eq!(received.headers().get("x"), None);
            assert_eq!(received.headers().get("folded").unwrap(), "a    b");
            assert_eq!(received.headers().len(), 5);
            let (received, result) =
                read(ANSWER, piece_bytes, Wanted { fields: false, body: false, body_max_bytes: 0 });
            let names: Vec<&str> = received.headers().keys().map(HeaderName::as_str).collect();
            assert_eq!((names, received.body().len(), result), (vec!["set-cookie", "location"], 0, Ok(())));
            assert_eq!(received.body_bytes(), 4);
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_by_the_limits_name() {
        for piece_bytes in [1, 1_000] {
            let (_, result) = read(ANSWER, piece_bytes, Wanted { fields: false, body: true, body_max_bytes: 3 });
            let Err(Failure::Failed(FailureKind::BodyLimit, text)) = result else { panic!("{result:?}") };
            assert!(text.contains("body_limit: 3"), "{text}");
        }
    }
}
