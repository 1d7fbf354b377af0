//! Bodies of multipart/form-data (RFC 7578), with names escaped as browsers do (WHATWG HTML, section 4.10.22.8).

use crate::draw::Draws;

/// Random letters and digits in a boundary: 190 bits, so that it is in no file.
const BOUNDARY_LETTERS: usize = 32;

/// Why a part cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// Its type goes into no header.
    #[error("the type of a part is like image/png: visible ASCII, a slash in it, and no end of a line")]
    Type,
}

/// A part of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Name of the field.
    pub name: &'a str,
    /// Name of the file, where it is one.
    pub file_name: Option<&'a str>,
    /// Media type; none for plain text. A file without one is `application/octet-stream`.
    pub media_type: Option<&'a str>,
    /// What is sent.
    pub content: &'a [u8],
}

/// A boundary: a draw, so that the same iteration sends the same bytes on whatever node.
pub fn boundary(draws: &mut Draws) -> String {
    format!("nuncius-{}", draws.text(BOUNDARY_LETTERS))
}

/// The value of the `Content-Type` header.
pub fn content_type(boundary: &str) -> String {
    format!("multipart/form-data; boundary={boundary}")
}

/// Adds a body of these parts. The boundary is from [`boundary`], so no part has it in it.
///
/// # Errors
/// The type of a part cannot be sent; some of the body may have been written.
pub fn encode(parts: &[Part<'_>], boundary: &str, out: &mut Vec<u8>) -> Result<(), MultipartError> {
    for part in parts {
        head(part, boundary, out)?;
        out.extend_from_slice(part.content);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--");
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(b"--\r\n");
    Ok(())
}

fn head(part: &Part<'_>, boundary: &str, out: &mut Vec<u8>) -> Result<(), MultipartError> {
    out.extend_from_slice(b"--");
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"");
    escape(part.name, out);
    out.push(b'"');
    if let Some(file_name) = part.file_name {
        out.extend_from_slice(b"; filename=\"");
        escape(file_name, out);
        out.push(b'"');
    }
    let media_type = part.media_type.or_else(|| part.file_name.map(|_| "application/octet-stream"));
    if let Some(media_type) = media_type {
        let is_type = media_type.contains('/') && media_type.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !is_type {
            return Err(MultipartError::Type);
        }
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(media_type.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

fn escape(name: &str, out: &mut Vec<u8>) {
    for byte in name.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draw::DrawKey;

    fn draws(iteration: u64) -> Draws {
        Draws::new(DrawKey::new(1, 0), iteration, 0, 0)
    }

    #[test]
    fn a_form_is_written_as_browsers_do() {
        let parts = [
            Part { name: "text", file_name: None, media_type: None, content: "ü".as_bytes() },
            Part { name: "f\"1\n", file_name: Some("a\r\n.png"), media_type: Some("image/png"), content: b"\0\r\n" },
            Part { name: "g", file_name: Some("b"), media_type: None, content: b"" },
        ];
        let mut body = Vec::new();
        encode(&parts, "XX", &mut body).unwrap();
        let expected = "--XX\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nü\r\n--XX\r\nContent-Disposition: \
            form-data; name=\"f%221%0A\"; filename=\"a%0D%0A.png\"\r\nContent-Type: image/png\r\n\r\n\0\r\n\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"g\"; filename=\"b\"\r\nContent-Type: \
            application/octet-stream\r\n\r\n\r\n--XX--\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let mut empty = Vec::new();
        encode(&[], "XX", &mut empty).unwrap();
        assert_eq!(empty, b"--XX--\r\n");
    }

    #[test]
    fn a_type_cannot_carry_headers() {
        for media_type in ["", "png", "a/b\r\nX: 1", "a/ü"] {
            let part = Part { name: "a", file_name: None, media_type: Some(media_type), content: b"" };
            assert_eq!(encode(&[part], "XX", &mut Vec::new()), Err(MultipartError::Type));
        }
    }

    #[test]
    fn a_boundary_is_a_draw() {
        let first = boundary(&mut draws(1));
        assert_eq!(first, boundary(&mut draws(1)));
        assert_ne!(first, boundary(&mut draws(2)));
        assert!(first.len() <= 70 && content_type(&first).ends_with(&first));
    }

    proptest! {
        #[test]
        fn every_content_can_be_cut_out_again(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..5)
        ) {
            let boundary = boundary(&mut draws(0));
            let parts: Vec<Part<'_>> = contents
                .iter()
                .map(|content| Part { name: "a", file_name: Some("b"), media_type: None, content })
                .collect();
            let mut body = Vec::new();
            encode(&parts, &boundary, &mut body).unwrap();
            let mut found = Vec::new();
            let mut rest = &body[..];
            let delimiter = format!("\r\n--{boundary}").into_bytes();
            while let Some(begin) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
                rest = &rest[begin + 4..];
                let end = rest.windows(delimiter.len()).position(|window| window == delimiter).unwrap();
                found.push(rest[..end].to_vec());
                rest = &rest[end + 2..];
            }
            prop_assert_eq!(found, contents);
        }
    }
}
