//! Regular expressions, bounded: crate `regex` never backtracks, and what it compiles to is capped.

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

use crate::compile_error::{CompileError, PATTERN_MAX_BYTES, PATTERN_SIZE_MAX_BYTES};
use crate::error::shown;

/// Deepest nesting of groups in a pattern.
const NESTING_MAX: u32 = 64;

/// Compiles a pattern. It looks at bytes, since answers need not be UTF-8.
pub(crate) fn compile(pattern: &str) -> Result<Regex, CompileError> {
    let wrong = |reason: String| CompileError::Pattern { pattern: shown(pattern), reason };
    if pattern.len() > PATTERN_MAX_BYTES {
        return Err(wrong(format!("{} bytes long, at most {PATTERN_MAX_BYTES}", pattern.len())));
    }
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_MAX_BYTES)
        .dfa_size_limit(PATTERN_SIZE_MAX_BYTES)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|error| {
            wrong(match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("it takes more than {limit} bytes of memory; repeat less in it")
                }
                other => reason(&other.to_string()),
            })
        })
}

/// The last line of the library's picture of the mistake says what it is.
fn reason(picture: &str) -> String {
    let last = picture.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// What a pattern gives of a match: its first group, else the whole.
pub(crate) fn found<'b>(captures: &regex::bytes::Captures<'b>) -> Cow<'b, str> {
    let group = captures.get(1).or_else(|| captures.get(0));
    String::from_utf8_lossy(group.map_or(&[], |group| group.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_or_takes_too_much_is_refused_in_words() {
        for (pattern, words) in [
            ("(", "unclosed group"),
            ("((a{1000}){1000}){1000}", "more than 4194304 bytes of memory"),
            ("(?<=a)b", "look-around"),
            (&"x".repeat(PATTERN_MAX_BYTES + 1), "4097 bytes long, at most 4096"),
            (&format!("{}{}", "(".repeat(100), ")".repeat(100)), "nest"),
        ] {
            let error = compile(pattern).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
        for pattern in [r"(?i)id=(\d+)\w*", r"csrf=(\w{64})", r"(?s)<title>.{1,200}</title>"] {
            assert!(compile(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_at_all_the_same() {
        let pattern = compile(r"id=(\d+)").unwrap();
        let captures = pattern.captures(b"\xff\xfe id=17\x80").unwrap();
        assert_eq!(found(&captures), "17");
        let pattern = compile(r"(?-u)\xff.").unwrap();
        assert_eq!(found(&pattern.captures(b"a\xff\xfe").unwrap()), "\u{fffd}\u{fffd}");
    }
}
