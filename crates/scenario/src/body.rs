//! Bodies of answers: read as JSON or as HTML at most once, whoever asks.

use std::borrow::Cow;
use std::cell::OnceCell;

use scraper::Html;
use serde_json::Value;

use crate::html::{self, HtmlError};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a body is no JSON. It never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There is none.
    #[error("the body is empty, so it is no JSON")]
    Empty,
    /// Something else.
    #[error("the body is no JSON: {reason} at line {line}, column {column}{hint}")]
    Syntax {
        /// What is wrong, in words without anything of the body.
        reason: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What it looks like.
        hint: &'static str,
    },
}

/// What is known of a JSON body beside its value: bounds of what a query of it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) values: u64,
    pub(crate) depth: u64,
}

/// The body of an answer, decompressed.
#[derive(Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
    total_bytes: u64,
    json: OnceCell<Result<Value, JsonError>>,
    extent: OnceCell<Extent>,
    html: OnceCell<Result<Html, HtmlError>>,
}

impl<'a> Body<'a> {
    /// A body that is there as a whole.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::of(bytes, bytes.len() as u64)
    }

    /// A body of `total_bytes` that was read and not kept: for checks of its size alone.
    pub const fn uncollected(total_bytes: u64) -> Self {
        Self::of(&[], total_bytes)
    }

    const fn of(bytes: &'a [u8], total_bytes: u64) -> Self {
        Self { bytes, total_bytes, json: OnceCell::new(), extent: OnceCell::new(), html: OnceCell::new() }
    }

    /// What it is.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How long it was, in bytes.
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// As text; what is not UTF-8 is replaced by U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }

    /// As JSON, read the first time that somebody asks. A byte order mark is passed over.
    ///
    /// # Errors
    /// It is no JSON, or nested deeper than 128.
    pub fn json(&self) -> Result<&Value, JsonError> {
        self.json.get_or_init(|| read_json(self.bytes)).as_ref().map_err(Clone::clone)
    }

    /// How large the JSON is; of no JSON it is nothing.
    pub(crate) fn extent(&self) -> Extent {
        *self.extent.get_or_init(|| {
            let mut extent = Extent { values: 0, depth: 0 };
            if let Ok(value) = self.json() {
                measure(value, 1, &mut extent);
            }
            extent
        })
    }

    /// As HTML, read the first time that somebody asks.
    pub(crate) fn html(&self) -> Result<&Html, HtmlError> {
        self.html.get_or_init(|| html::read(&self.text())).as_ref().map_err(Clone::clone)
    }
}

fn read_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonError::Empty);
    }
    serde_json::from_slice(bytes).map_err(|error| JsonError::Syntax {
        // The library's words may repeat the body, which may hold what is nobody's business.
        reason: match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Syntax if error.to_string().starts_with("recursion limit") => {
                "it is nested deeper than 128"
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Data
            | serde_json::error::Category::Io => "it is not well-formed",
        },
        line: error.line(),
        column: error.column(),
        hint: if bytes.trim_ascii_start().starts_with(b"<") { "; it looks like HTML or XML" } else { "" },
    })
}

fn measure(value: &Value, depth: u64, extent: &mut Extent) {
    extent.values += 1;
    extent.depth = extent.depth.max(depth);
    match value {
        Value::Array(items) => items.iter().for_each(|item| measure(item, depth + 1, extent)),
        Value::Object(members) => members.values().for_each(|member| measure(member, depth + 1, extent)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_with_a_byte_order_mark_or_without() {
        let body = Body::new(b"\xef\xbb\xbf {\"a\": [1, {}]}\n");
        assert_eq!(body.json().unwrap(), &json!({"a": [1, {}]}));
        assert!(std::ptr::eq(body.json().unwrap(), body.json().unwrap()), "it is read once");
        assert_eq!(body.extent(), Extent { values: 4, depth: 3 });
    }

    #[test]
    fn what_is_no_json_says_so_and_shows_nothing_of_it() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (text, words) in [
            ("", "the body is empty"),
            (" \n", "the body is empty"),
            ("{\"s3cret\": ", "the body is no JSON: it ends too early at line 1"),
            ("s3cret", "the body is no JSON: it is not well-formed at line 1, column 1"),
            ("<html>s3cret", "it looks like HTML or XML"),
            ("{} s3cret", "it is not well-formed"),
            (&deep, "nested deeper than 128"),
        ] {
            let body = Body::new(text.as_bytes());
            let error = body.json().unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
            assert_eq!(body.extent(), Extent { values: 0, depth: 0 });
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let body = Body::new(&bytes);
            if let Err(error) = body.json() {
                prop_assert!(!error.to_string().is_empty());
            }
            prop_assert_eq!(body.total_bytes(), bytes.len() as u64);
        }
    }
}
