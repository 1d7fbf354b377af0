//! What the text of a query says about its cost: how often it descends, filters, and multiplies.

use crate::body::Extent;
use crate::compile_error::JSON_PATH_NESTING_MAX;
use crate::pattern;

/// What one pattern costs each time, in values that are looked at: the library compiles it anew, which takes some
/// 400 µs where `\w` is in it.
const PATTERN_VISITS: u64 = 50_000;
/// Below it a query without descents, absolute queries and patterns needs no second look.
const PLAIN_MAX: u64 = 64;

/// What can multiply in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// `..`, filters included.
    descents: u32,
    filters: u32,
    /// `$` in filters: each may look at the whole body again for each value.
    absolutes: u32,
    /// `@` and `$` in filters: how many queries a filter makes of each value.
    terms: u64,
    patterns: u64,
    /// Product of the numbers of selectors in brackets.
    branches: u64,
}

/// A bound of what a query costs on a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) results: u64,
    pub(super) visits: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Square {
        selectors: u64,
    },
    Round,
    /// Of `match(` and `search(`.
    Pattern,
}

impl Shape {
    /// Looks at a text that begins with `$`. It need not be a query; what is one is understood as the library does.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let mut shape = Self { descents: 0, filters: 0, absolutes: 0, terms: 0, patterns: 0, branches: 1 };
        let mut open: Vec<Bracket> = Vec::new();
        let mut at = 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\'' | b'"' => at = literal_end(bytes, at),
                b'.' if bytes.get(at + 1) == Some(&b'.') => {
                    shape.descents += 1;
                    at += 1;
                }
                b'?' => shape.filters += 1,
                b'$' => {
                    shape.absolutes += 1;
                    shape.terms += 1;
                }
                b'@' => shape.terms += 1,
                b'[' => open.push(Bracket::Square { selectors: 1 }),
                b'(' => {
                    let before = bytes.get(..at).unwrap_or_default();
                    let is_pattern = before.ends_with(b"match") || before.ends_with(b"search");
                    shape.patterns += u64::from(is_pattern);
                    open.push(if is_pattern { Bracket::Pattern } else { Bracket::Round });
                }
                b']' | b')' => {
                    if let Some(Bracket::Square { selectors }) = open.pop() {
                        shape.branches = shape.branches.saturating_mul(selectors);
                    }
                }
                b',' => match open.last_mut() {
                    Some(Bracket::Square { selectors }) => *selectors += 1,
                    Some(Bracket::Pattern) => check_pattern(text, at + 1)?,
                    Some(Bracket::Round) | None => {}
                },
                _ => {}
            }
            if open.len() > JSON_PATH_NESTING_MAX {
                return Err(format!("its brackets are nested deeper than {JSON_PATH_NESTING_MAX}"));
            }
            at += 1;
        }
        Ok(shape)
    }

    /// Whether it looks at each value a few times at most.
    pub(super) fn is_plain(&self) -> bool {
        let descends_once = self.descents <= u32::from(self.filters == 0);
        let factor = self.branches.saturating_mul(self.terms.max(1));
        descends_once && self.absolutes == 0 && self.patterns == 0 && factor <= PLAIN_MAX
    }

    /// Bounds of the cost on a body.
    ///
    /// The first descent meets each value once. Each further one, and each in a filter, meets a value once for each of
    /// its ancestors that it started from: at most the depth of the body.
    pub(super) fn cost(&self, body: Extent) -> Cost {
        let again = if self.filters == 0 { self.descents.saturating_sub(1) } else { self.descents };
        let met = body.values.saturating_mul(body.depth.saturating_pow(again));
        let results = met.saturating_mul(self.branches);
        let visits = results
            .saturating_mul(self.terms.max(1))
            .saturating_mul(body.values.saturating_pow(self.absolutes))
            .saturating_mul(1 + self.patterns.saturating_mul(PATTERN_VISITS));
        Cost { results, visits }
    }
}

/// Where the quotes that open at `at` close.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let quote = bytes.get(at);
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        if Some(byte) == quote {
            break;
        }
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    at
}

/// Patterns are written out, and small: one from the body could be anything, and is compiled for each value.
fn check_pattern(text: &str, at: usize) -> Result<(), String> {
    let argument = text.get(at..).unwrap_or_default();
    let argument = argument.trim_start();
    if !argument.starts_with(['\'', '"']) {
        return Err("a pattern of match() and search() is written out in quotes".to_owned());
    }
    let end = literal_end(argument.as_bytes(), 0);
    let pattern = argument.get(1..end).unwrap_or_default().replace("\\\\", "\\");
    pattern::compile(&pattern).map(drop).map_err(|error| error.to_string())
}
