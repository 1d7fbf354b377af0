//! Takes the codings from a body: gzip, deflate and br, each with a bound on what comes out.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Most codings of one body, each on the one before.
const CODINGS_MAX: usize = 3;

/// Size of the one buffer of the decoder of br, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4_096;

/// The value of `Accept-Encoding`: what [`decode`] can take away.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br";

/// Why a body cannot be decoded. Holds nothing that the target sent but the name of a coding, which is bounded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the decoded body is larger than the limit")]
    TooLarge,
    #[error("the body has more than {CODINGS_MAX} codings on each other")]
    TooMany,
    #[error("the body has the coding `{0}`, which was not asked for ({ACCEPTED})")]
    Unknown(String),
    #[error("the body is said to be {0} and is not")]
    Broken(&'static str),
}

/// Longest name of a coding that an error shows, in bytes.
const SHOWN_MAX_BYTES: usize = 20;

/// Takes `codings` from `body`, the last one first. At no time are there more than `max_bytes` of what comes out.
///
/// # Errors
/// The body is left in an unknown state.
pub(crate) fn decode(
    codings: &[String],
    body: &mut Vec<u8>,
    spare: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), DecodeError> {
    if codings.len() > CODINGS_MAX {
        return Err(DecodeError::TooMany);
    }
    for coding in codings.iter().rev() {
        spare.clear();
        match coding.as_str() {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => drain(MultiGzDecoder::new(body.as_slice()), spare, max_bytes, "gzip")?,
            // RFC 9110, 8.4.1.2 means the zlib format; bare deflate is sent, too.
            "deflate" if is_zlib(body) => drain(ZlibDecoder::new(body.as_slice()), spare, max_bytes, "deflate")?,
            "deflate" => drain(DeflateDecoder::new(body.as_slice()), spare, max_bytes, "deflate")?,
            "br" => {
                let decoder = brotli_decompressor::Decompressor::new(body.as_slice(), BROTLI_BUFFER_BYTES);
                drain(decoder, spare, max_bytes, "br")?;
            }
            unknown => {
                let end = unknown.floor_char_boundary(SHOWN_MAX_BYTES);
                return Err(DecodeError::Unknown(unknown.get(..end).unwrap_or_default().escape_debug().to_string()));
            }
        }
        std::mem::swap(body, spare);
    }
    Ok(())
}

/// Whether bytes begin with the header of a zlib stream (RFC 1950, 2.2).
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0,
        _ => false,
    }
}

fn drain(reader: impl Read, out: &mut Vec<u8>, max_bytes: usize, coding: &'static str) -> Result<(), DecodeError> {
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    reader.take(limit.saturating_add(1)).read_to_end(out).map_err(|_| DecodeError::Broken(coding))?;
    if out.len() > max_bytes { Err(DecodeError::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(codings: &[&str], body: &[u8], max_bytes: usize) -> Result<Vec<u8>, DecodeError> {
        let codings: Vec<String> = codings.iter().map(|coding| (*coding).to_owned()).collect();
        let mut body = body.to_vec();
        decode(&codings, &mut body, &mut Vec::new(), max_bytes).map(|()| body)
    }

    #[test]
    fn what_was_coded_comes_out_as_it_was_both_forms_of_deflate_included() {
        let text = b"what was coded comes out as it was".repeat(20);
        assert_eq!(decoded(&["gzip"], &gzip(&text), 1_000).unwrap(), text);
        assert_eq!(decoded(&["identity", "gzip", "gzip"], &gzip(&gzip(&text)), 1_000).unwrap(), text);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        assert_eq!(decoded(&["deflate"], &encoder.finish().unwrap(), 1_000).unwrap(), text);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        assert_eq!(decoded(&["deflate"], &encoder.finish().unwrap(), 1_000).unwrap(), text);
        // As the reference encoder writes it.
        let brotli =
            b"\x1b\x28\x00\xf8\x1d\xa9\x53\x9f\x3c\x1c\x38\xe4\x3c\xa1\xcf\x53\x8a\x82\xb0\x2a\x93\x4b\xb6\xb4\
            \xb7\x52\x84\xa9\x78\x20\xac\x99\xfc\x32\x04";
        assert_eq!(decoded(&["br"], brotli, 1_000).unwrap(), b"hello brotli, hello brotli, hello brotli\n");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![0; 10_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decoded(&["gzip"], &bomb, 1_000_000), Err(DecodeError::TooLarge));
        assert_eq!(decoded(&["gzip", "gzip", "gzip", "gzip"], &bomb, 1), Err(DecodeError::TooMany));
    }

    #[test]
    fn what_is_no_such_coding_is_told_by_its_name() {
        assert_eq!(decoded(&["gzip"], b"<html>", 100), Err(DecodeError::Broken("gzip")));
        assert_eq!(decoded(&["zstd"], b"x", 100), Err(DecodeError::Unknown("zstd".to_owned())));
    }

    proptest! {
        #[test]
        fn whatever_a_target_sends_neither_panics_nor_goes_over_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            coding in prop_oneof![Just("gzip"), Just("deflate"), Just("br")],
            max_bytes in 0usize..2_000,
        ) {
            if let Ok(body) = decoded(&[coding], &bytes, max_bytes) {
                prop_assert!(body.len() <= max_bytes);
            }
        }
    }
}
