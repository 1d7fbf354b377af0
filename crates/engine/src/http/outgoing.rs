//! A request as it is about to be sent, whichever version of HTTP it is sent by. Used again for the next one: nothing
//! is allocated once it has grown.

use std::ops::Range;

use bytes::Bytes;
use http_body_util::Full;

/// Longest head of a request, in bytes.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Most header fields of a request.
const FIELDS_MAX: usize = 256;

/// A body up to this size is sent together with the head, in one piece.
const TOGETHER_BYTES: usize = 16 * 1024;

/// What is given back when a request was large: capacity beyond this.
const KEPT_BYTES: usize = 64 * 1024;

/// Why a request cannot be sent. Holds nothing of its values, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutgoingError {
    #[error("the head of the request has more than {HEAD_MAX_BYTES} bytes")]
    HeadTooLong,
    #[error("the request has more than {FIELDS_MAX} header fields")]
    TooManyFields,
    #[error("`{0}` is no method")]
    Method(String),
    #[error("header `{0}`: no name that can be sent")]
    FieldName(String),
    #[error("header `{0}`: its value holds line ends or control characters, which cannot be sent")]
    FieldValue(String),
    #[error("the path holds line ends, control characters or spaces, or does not begin with a slash")]
    Path,
    #[error("header `{0}` is the client's own affair: leave it out")]
    Reserved(String),
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Body {
    /// None: without a length, too, unless the method is one that has bodies.
    #[default]
    None,
    /// What was made for this request stands in [`Outgoing::own_body`].
    Own,
    /// The same for many requests.
    Shared(Bytes),
}

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Method, path, names and values.
    text: String,
    method: Range<usize>,
    path: Range<usize>,
    fields: Vec<[Range<usize>; 2]>,
    pub(crate) body: Body,
    pub(crate) own_body: Vec<u8>,
    /// As HTTP/1.1 has it.
    head: Vec<u8>,
}

impl Outgoing {
    /// Ready for another request.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        (self.method, self.path) = (0..0, 0..0);
        self.fields.clear();
        self.body = Body::None;
        self.own_body.clear();
    }

    /// Gives back what a large request has taken.
    pub(crate) fn shrink(&mut self) {
        self.clear();
        self.head.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.own_body.shrink_to(KEPT_BYTES);
        self.head.shrink_to(KEPT_BYTES);
    }

    pub(crate) fn method(&self) -> &str {
        self.part(&self.method)
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        self.part(&self.path)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|[name, value]| (self.part(name), self.part(value)))
    }

    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.fields().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(crate) fn body(&self) -> &[u8] {
        match &self.body {
            Body::None => &[],
            Body::Own => &self.own_body,
            Body::Shared(bytes) => bytes,
        }
    }

    fn part(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub(crate) fn set_method(&mut self, method: &str) {
        self.method = self.append(|text| text.push_str(method));
    }

    pub(crate) fn set_path(&mut self, path: &str) {
        self.path = self.append(|text| text.push_str(path));
    }

    /// Sets the path to what `write` writes.
    ///
    /// # Errors
    /// That of `write`.
    pub(crate) fn try_set_path<E>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<(), E> {
        let at = self.text.len();
        write(&mut self.text)?;
        self.path = at..self.text.len();
        Ok(())
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let name = self.append(|text| text.push_str(name));
        let value = self.append(|text| text.push_str(value));
        self.fields.push([name, value]);
    }

    /// Adds a field whose value is written by `write`.
    ///
    /// # Errors
    /// That of `write`.
    pub(crate) fn try_add<E>(&mut self, name: &str, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<(), E> {
        let name = self.append(|text| text.push_str(name));
        let at = self.text.len();
        write(&mut self.text)?;
        self.fields.push([name, at..self.text.len()]);
        Ok(())
    }

    /// Takes out all fields of this name.
    pub(crate) fn remove(&mut self, name: &str) {
        let Self { text, fields, .. } = self;
        fields.retain(|[known, _]| !text.get(known.clone()).unwrap_or_default().eq_ignore_ascii_case(name));
    }

    /// Becomes the request that a redirect asks for: to another path, perhaps without its body, and to another origin
    /// without what was meant for this one alone.
    pub(crate) fn redirect(&mut self, path: &str, to_get: bool, is_elsewhere: bool) {
        self.set_path(path);
        self.remove("cookie");
        if to_get {
            if self.method() != "HEAD" {
                self.set_method("GET");
            }
            self.body = Body::None;
            for name in ["content-type", "content-encoding", "content-language", "content-location"] {
                self.remove(name);
            }
        }
        if is_elsewhere {
            for name in ["authorization", "proxy-authorization", "host", "referer"] {
                self.remove(name);
            }
        }
    }

    fn append(&mut self, write: impl FnOnce(&mut String)) -> Range<usize> {
        let at = self.text.len();
        write(&mut self.text);
        at..self.text.len()
    }

    /// Whether it can be sent as it is: a template or a script may bring in what would end a line, and a request must
    /// not be split by it.
    ///
    /// # Errors
    /// Names what cannot.
    pub(crate) fn check(&self) -> Result<(), OutgoingError> {
        if !is_token(self.method()) {
            return Err(OutgoingError::Method(shown(self.method())));
        }
        let path = self.path().as_bytes();
        if !(path.first() == Some(&b'/') || path == b"*") || path.iter().any(|byte| !byte.is_ascii_graphic()) {
            return Err(OutgoingError::Path);
        }
        if self.fields.len() > FIELDS_MAX {
            return Err(OutgoingError::TooManyFields);
        }
        for (name, value) in self.fields() {
            if !is_token(name) {
                return Err(OutgoingError::FieldName(shown(name)));
            }
            if is_reserved(name) {
                return Err(OutgoingError::Reserved(shown(name)));
            }
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return Err(OutgoingError::FieldValue(shown(name)));
            }
        }
        if self.text.len() > HEAD_MAX_BYTES { Err(OutgoingError::HeadTooLong) } else { Ok(()) }
    }

    fn has_length(&self) -> bool {
        self.body != Body::None || matches!(self.method(), "POST" | "PUT" | "PATCH")
    }

    /// The whole request as HTTP/1.1 has it, in two pieces; the second is empty where it is small.
    pub(crate) fn http1(&mut self, authority: &str, closes: bool, traceparent: Option<&str>) -> [&[u8]; 2] {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        head.extend_from_slice(self.method().as_bytes());
        head.push(b' ');
        head.extend_from_slice(self.path().as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        if !self.has_field("host") {
            line(&mut head, "Host", authority);
        }
        for (name, value) in self.fields() {
            if traceparent.is_none() || !name.eq_ignore_ascii_case("traceparent") {
                line(&mut head, name, value);
            }
        }
        if let Some(value) = traceparent {
            line(&mut head, "traceparent", value);
        }
        if closes {
            line(&mut head, "Connection", "close");
        }
        if self.has_length() {
            let mut digits = [0; 20];
            line(&mut head, "Content-Length", decimal(self.body().len(), &mut digits));
        }
        head.extend_from_slice(b"\r\n");
        let is_together = self.body().len() <= TOGETHER_BYTES;
        if is_together {
            head.extend_from_slice(self.body());
        }
        self.head = head;
        [&self.head, if is_together { &[] } else { self.body() }]
    }

    /// The whole request as HTTP/2 has it.
    ///
    /// # Errors
    /// It holds what HTTP/2 cannot send.
    pub(crate) fn http2(
        &self,
        scheme: &str,
        authority: &str,
        traceparent: Option<&str>,
    ) -> Result<http::Request<Full<Bytes>>, OutgoingError> {
        // A field `Host` goes before the target's authority, as in HTTP/1.1.
        let host = self.fields().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value);
        let uri = format!("{scheme}://{}{}", host.unwrap_or(authority), self.path());
        let mut builder = http::Request::builder().method(self.method()).uri(uri).version(http::Version::HTTP_2);
        for (name, value) in self.fields() {
            let is_replaced = traceparent.is_some() && name.eq_ignore_ascii_case("traceparent");
            if !name.eq_ignore_ascii_case("host") && !is_replaced {
                builder = builder.header(name, value);
            }
        }
        if let Some(value) = traceparent {
            builder = builder.header("traceparent", value);
        }
        if self.has_length() {
            builder = builder.header("content-length", self.body().len());
        }
        let body = match &self.body {
            Body::None => Bytes::new(),
            Body::Own => Bytes::copy_from_slice(&self.own_body),
            Body::Shared(bytes) => bytes.clone(),
        };
        builder.body(Full::new(body)).map_err(|_| OutgoingError::Path)
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn decimal(number: usize, digits: &mut [u8; 20]) -> &str {
    let mut left = number;
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    digits.get(at..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("0")
}

/// A token of RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Fields that frame a request, or belong to the connection.
pub(crate) fn is_reserved(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn shown(name: &str) -> String {
    name.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(method: &str, path: &str, fields: &[(&str, &str)], body: Body) -> Outgoing {
        let mut request = Outgoing::default();
        request.set_method(method);
        request.set_path(path);
        fields.iter().for_each(|(name, value)| request.add(name, value));
        request.body = body;
        request
    }

    #[test]
    fn a_request_is_written_with_its_host_its_fields_and_the_length_of_its_body() {
        let mut get = request("GET", "/a?b=c", &[("X-A", "1")], Body::None);
        assert_eq!(get.check(), Ok(()));
        let [head, rest] = get.http1("shop:80", false, None);
        assert_eq!(
            (std::str::from_utf8(head).unwrap(), rest),
            ("GET /a?b=c HTTP/1.1\r\nHost: shop:80\r\nX-A: 1\r\n\r\n", &[][..])
        );
        let body = Body::Shared(Bytes::from_static(b"body"));
        let mut post = request("POST", "/", &[("host", "other"), ("Traceparent", "own")], body);
        let [head, _] = post.http1("shop", true, Some("00-1-2-01"));
        let expected = "POST / HTTP/1.1\r\nhost: other\r\ntraceparent: 00-1-2-01\r\nConnection: close\r\n\
            Content-Length: 4\r\n\r\nbody";
        assert_eq!(std::str::from_utf8(head).unwrap(), expected);
        let mut empty = request("PUT", "/", &[], Body::None);
        assert!(empty.http1("shop", false, None)[0].ends_with(b"Content-Length: 0\r\n\r\n"));
        let mut large = request("PUT", "/", &[], Body::Shared(Bytes::from(vec![b'x'; TOGETHER_BYTES + 1])));
        let [head, rest] = large.http1("shop", false, None);
        assert!(head.ends_with(b"\r\n\r\n") && rest.len() == TOGETHER_BYTES + 1);
    }

    #[test]
    fn what_was_used_before_leaves_nothing_behind() {
        let mut one = request("POST", "/x", &[("X-A", "1")], Body::Own);
        one.own_body.extend_from_slice(b"secret");
        one.clear();
        one.set_method("GET");
        one.set_path("/");
        let [head, rest] = one.http1("shop", false, None);
        assert_eq!((head, rest), (&b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"[..], &[][..]));
    }

    #[test]
    fn http2_has_the_same_request_without_what_belongs_to_a_connection() {
        let body = Body::Shared(Bytes::from_static(b"body"));
        let post = request("POST", "/a?b", &[("X-A", "1"), ("Host", "other")], body);
        let sent = post.http2("https", "shop", Some("00-1-2-01")).unwrap();
        assert_eq!((sent.method().as_str(), sent.uri().to_string().as_str()), ("POST", "https://other/a?b"));
        let fields: Vec<(&str, &str)> =
            sent.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(fields, [("x-a", "1"), ("traceparent", "00-1-2-01"), ("content-length", "4")]);
    }

    #[test]
    fn what_would_split_a_request_or_frame_it_anew_is_refused_by_name() {
        let refused = |method: &str, path: &str, name: &str, value: &str| {
            request(method, path, &[(name, value)], Body::None).check().unwrap_err()
        };
        assert_eq!(refused("GE T", "/", "A", ""), OutgoingError::Method("GE T".to_owned()));
        for path in ["", "x", "/a b", "/a\r\nX: y", "/ä"] {
            assert_eq!(refused("GET", path, "A", ""), OutgoingError::Path, "{path:?}");
        }
        assert_eq!(refused("GET", "/", "A B", ""), OutgoingError::FieldName("A B".to_owned()));
        assert_eq!(refused("GET", "/", "A", "b\r\nC: d"), OutgoingError::FieldValue("A".to_owned()));
        for name in ["Content-Length", "transfer-encoding", "Connection"] {
            assert_eq!(refused("GET", "/", name, "1"), OutgoingError::Reserved(name.to_owned()));
        }
        let long = "x".repeat(HEAD_MAX_BYTES);
        assert_eq!(refused("GET", "/", "A", &long), OutgoingError::HeadTooLong);
    }

    #[test]
    fn a_redirect_takes_no_secret_elsewhere_and_no_body_where_none_is_wanted() {
        let fields = [("Authorization", "Basic x"), ("Cookie", "a=b"), ("Content-Type", "text/plain"), ("X-A", "1")];
        let body = Body::Shared(Bytes::from_static(b"body"));
        let mut post = request("POST", "/login", &fields, body.clone());
        post.redirect("/home", true, false);
        assert_eq!((post.method(), post.path(), post.body()), ("GET", "/home", &b""[..]));
        assert_eq!(post.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["Authorization", "X-A"]);
        let mut put = request("PUT", "/a", &fields, body);
        put.redirect("/b", false, true);
        assert_eq!((put.method(), put.path(), put.body()), ("PUT", "/b", &b"body"[..]));
        assert_eq!(put.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["Content-Type", "X-A"]);
    }

    proptest! {
        #[test]
        fn whatever_passes_the_check_is_read_as_one_request_with_these_fields(
            path in "/[ -~]{0,20}",
            fields in proptest::collection::vec(("[a-zA-Z-]{1,8}", "[ -~]{0,12}"), 0..8),
            length in 0usize..100,
        ) {
            let body = Body::Shared(Bytes::from(vec![b'x'; length]));
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut sent = request("POST", &path, &fields, body);
            if sent.check().is_ok() {
                let written = sent.http1("shop", false, None).concat();
                let mut room = [httparse::EMPTY_HEADER; 64];
                let mut read = httparse::Request::new(&mut room);
                let head = read.parse(&written).unwrap();
                prop_assert!(head.is_complete());
                prop_assert_eq!(read.path, Some(path.as_str()));
                let count = read.headers.len();
                let host = usize::from(!fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")));
                prop_assert_eq!(count, fields.len() + host + 1);
                prop_assert_eq!(written.len() - head.unwrap(), length);
            }
        }
    }
}
