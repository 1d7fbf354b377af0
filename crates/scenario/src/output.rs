//! Where texts are written to: a string, bytes, or the inside of a JSON string.

use std::fmt;

/// Takes text as it is made, without asking for room of its own for each piece.
pub trait Output {
    /// Adds a text at the end.
    fn push(&mut self, text: &str);
    /// Bytes that there are so far.
    fn length(&self) -> usize;
}

impl Output for String {
    #[inline]
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }

    #[inline]
    fn length(&self) -> usize {
        self.len()
    }
}

impl Output for Vec<u8> {
    #[inline]
    fn push(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn length(&self) -> usize {
        self.len()
    }
}

/// The inside of a JSON string: what is pushed is escaped (RFC 8259, section 7).
pub(crate) struct Escaped<'a>(pub(crate) &'a mut Vec<u8>);

impl Output for Escaped<'_> {
    fn push(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            self.0.extend_from_slice(bytes.get(from..at).unwrap_or_default());
            from = at + 1;
            match byte {
                b'"' => self.0.extend_from_slice(b"\\\""),
                b'\\' => self.0.extend_from_slice(b"\\\\"),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                b'\r' => self.0.extend_from_slice(b"\\r"),
                b'\t' => self.0.extend_from_slice(b"\\t"),
                other => self.0.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
            }
        }
        self.0.extend_from_slice(bytes.get(from..).unwrap_or_default());
    }

    fn length(&self) -> usize {
        self.0.len()
    }
}

/// Lets what can be displayed be written to an output.
pub(crate) struct Formatter<'a, O: Output>(pub(crate) &'a mut O);

impl<O: Output> fmt::Write for Formatter<'_, O> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_escaped_is_read_back_as_it_was(pieces in proptest::collection::vec(any::<String>(), 0..4)) {
            let mut bytes = vec![b'"'];
            for piece in &pieces {
                Escaped(&mut bytes).push(piece);
            }
            bytes.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), pieces.concat());
        }
    }
}
