//! Answers that are compressed for those who ask for it (RFC 9110, section 12.5.3): gzip, and nothing else.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// Whether gzip is asked for.
pub(crate) fn wants_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0f32));
        is_gzip && !is_refused
    })
}

/// The bytes as one member of gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Memory takes what is written to it.
    let _ = encoder.write_all(bytes);
    Bytes::from(encoder.finish().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn gzip_is_given_to_those_who_ask_for_it() {
        for (field, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("deflate, br", false),
            ("xgzip", false),
            ("", false),
        ] {
            let headers = [(ACCEPT_ENCODING, field.parse().unwrap())].into_iter().collect();
            assert_eq!(wants_gzip(&headers), wanted, "{field}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_was_compressed_is_what_comes_out() {
        for text in ["".to_owned(), "ok\n".to_owned(), "a".repeat(100_000)] {
            let mut out = String::new();
            GzDecoder::new(gzip(text.as_bytes()).as_ref()).read_to_string(&mut out).unwrap();
            assert_eq!(out, text);
        }
    }
}
