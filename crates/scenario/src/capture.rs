//! Captures: what a step takes from an answer into a variable. Compiled once.

use std::borrow::Cow;

use http::HeaderName;
use http::header::SET_COOKIE;
use regex::bytes::Regex;
use serde_json::Value;

use crate::answer::Answer;
use crate::compile_error::CompileError;
use crate::cookies::pair;
use crate::error::shown;
use crate::html::HtmlError;
use crate::json_path::{Query, QueryError};
use crate::pattern;
use crate::value::size_bytes;

mod css;

use css::Css;

/// Most values that one capture takes.
pub const CAPTURED_VALUES_MAX: usize = 10_000;
/// Most that one capture takes, about as long as it is as JSON, in bytes.
pub const CAPTURED_MAX_BYTES: usize = 1024 * 1024;

/// Most that a regular expression may read of a body, as estimated from above, in bytes: for each match it may read all
/// of it again.
pub const PATTERN_SCANNED_MAX_BYTES: usize = 1_000_000_000;

/// Why nothing was captured. It never holds anything of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// Nothing is there.
    #[error("{what} is not in the answer; to do without it give a default")]
    Nothing {
        /// What was looked for.
        what: String,
    },
    /// A JSONPath cannot be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The HTML is not looked at.
    #[error(transparent)]
    Html(#[from] HtmlError),
    /// Too many matches for a body of this size.
    #[error("more than {most} matches of a regular expression, the most in a body of this size")]
    TooManyMatches {
        /// The most there may be.
        most: usize,
    },
    /// Too many values.
    #[error("more than {CAPTURED_VALUES_MAX} values")]
    TooMany,
    /// Too long.
    #[error("more than {CAPTURED_MAX_BYTES} bytes")]
    TooLong,
}

impl CaptureError {
    /// Whether a default stands in for it: nothing is there, or the answer is of another kind. A limit is not.
    const fn is_absence(&self) -> bool {
        matches!(self, Self::Nothing { .. } | Self::Query(QueryError::Json(_)))
    }
}

/// Where a capture looks.
#[derive(Debug, Clone)]
enum Source {
    Json(Query),
    Pattern(Regex),
    Css(Css),
    Header(HeaderName),
    Cookie(Box<str>),
    Status,
    Body,
}

/// A capture.
#[derive(Debug, Clone)]
pub struct Capture {
    source: Source,
    /// As errors name it.
    what: Box<str>,
    is_all: bool,
    default: Option<Value>,
}

impl Capture {
    /// Values of a JSON body by JSONPath (RFC 9535).
    ///
    /// # Errors
    /// It is none, or beyond a limit.
    pub fn json(path: &str) -> Result<Self, CompileError> {
        Ok(Self::of(Source::Json(Query::compile(path)?), format!("`{}`", shown(path))))
    }

    /// What a regular expression finds in the body: its first group, or all of it where there is no group.
    ///
    /// # Errors
    /// It is none, or beyond a limit.
    pub fn regex(regex: &str) -> Result<Self, CompileError> {
        Ok(Self::of(Source::Pattern(pattern::compile(regex)?), format!("`{}`", shown(regex))))
    }

    /// Elements of an HTML body by a CSS selector: an attribute, or the text, without spaces around it.
    ///
    /// # Errors
    /// It is none, or beyond a limit.
    pub fn css(selector: &str, attribute: Option<&str>) -> Result<Self, CompileError> {
        let what = match attribute {
            Some(attribute) => format!("attribute `{}` of `{}`", shown(attribute), shown(selector)),
            None => format!("`{}`", shown(selector)),
        };
        Ok(Self::of(Source::Css(Css::compile(selector, attribute)?), what))
    }

    /// A header.
    ///
    /// # Errors
    /// It is no name of one.
    pub fn header(name: &str) -> Result<Self, CompileError> {
        let header = header_name(name)?;
        let what = format!("header {header}");
        Ok(Self::of(Source::Header(header), what))
    }

    /// A cookie that the answer sets, else one that the user has.
    pub fn cookie(name: &str) -> Self {
        Self::of(Source::Cookie(name.into()), format!("cookie `{}`", shown(name)))
    }

    /// The status, as a number.
    pub fn status() -> Self {
        Self::of(Source::Status, "a status".to_owned())
    }

    /// The body as text.
    pub fn body() -> Self {
        Self::of(Source::Body, "a body".to_owned())
    }

    fn of(source: Source, what: String) -> Self {
        Self { source, what: what.into(), is_all: false, default: None }
    }

    /// Takes all that is there, as a list, instead of the first.
    #[must_use]
    pub fn all(mut self) -> Self {
        self.is_all = true;
        self
    }

    /// Gives this where nothing is there, or the body is no JSON.
    #[must_use]
    pub fn or(mut self, default: Value) -> Self {
        self.default = Some(default);
        self
    }

    /// Whether it looks at the body, so that the body must be kept.
    pub const fn needs_body(&self) -> bool {
        match self.source {
            Source::Json(_) | Source::Pattern(_) | Source::Css(_) | Source::Body => true,
            Source::Header(_) | Source::Cookie(_) | Source::Status => false,
        }
    }

    /// What it takes from an answer.
    ///
    /// # Errors
    /// Nothing is there, without a default; what is there is beyond a limit.
    pub fn take(&self, answer: &Answer<'_>) -> Result<Value, CaptureError> {
        match (self.taken(answer), &self.default) {
            (Err(error), Some(default)) if error.is_absence() => Ok(default.clone()),
            (taken, _) => taken,
        }
    }

    fn taken(&self, answer: &Answer<'_>) -> Result<Value, CaptureError> {
        let mut taken = Taken { values: Vec::new(), left_bytes: CAPTURED_MAX_BYTES, is_all: self.is_all };
        match &self.source {
            Source::Json(query) => {
                for value in query.values(answer.body)? {
                    if !taken.add_value(value)? {
                        break;
                    }
                }
            }
            Source::Pattern(regex) => {
                let bytes = answer.body.bytes();
                let most = PATTERN_SCANNED_MAX_BYTES / bytes.len().max(1);
                for (number, found) in regex.captures_iter(bytes).enumerate() {
                    if number >= most {
                        return Err(CaptureError::TooManyMatches { most });
                    }
                    if !taken.add_text(pattern::found(&found))? {
                        break;
                    }
                }
            }
            Source::Css(css) => {
                for text in css.texts(answer.body.html()?)? {
                    if !taken.add_text(text)? {
                        break;
                    }
                }
            }
            Source::Header(name) => {
                for header in answer.headers.get_all(name) {
                    if !taken.add_text(String::from_utf8_lossy(header.as_bytes()))? {
                        break;
                    }
                }
            }
            Source::Cookie(name) => {
                if let Some(value) = cookie(answer, name) {
                    taken.add_text(Cow::Borrowed(value))?;
                }
            }
            Source::Status => _ = taken.add_value(&answer.status.into())?,
            Source::Body => _ = taken.add_text(answer.body.text())?,
        }
        taken.into_value().ok_or_else(|| CaptureError::Nothing { what: self.what.to_string() })
    }
}

/// The value of the cookie that an answer sets, else of one that the user has. Of two that it sets the later one is
/// what the user has afterwards.
pub(crate) fn cookie<'a>(answer: &Answer<'a>, name: &str) -> Option<&'a str> {
    let set = answer.headers.get_all(SET_COOKIE).iter().rev().filter_map(|header| pair(header.as_bytes()));
    let set = set.filter(|(set, _)| *set == name).map(|(_, value)| value).next();
    set.or_else(|| answer.jar?.value_of(name))
}

/// The header of a name, whatever its case.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, CompileError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| CompileError::Header { name: shown(name) })
}

/// What was taken so far.
struct Taken {
    values: Vec<Value>,
    left_bytes: usize,
    is_all: bool,
}

impl Taken {
    /// Adds a value; whether more are wanted.
    fn add_value(&mut self, value: &Value) -> Result<bool, CaptureError> {
        let size = size_bytes(value, self.left_bytes).ok_or(CaptureError::TooLong)?;
        self.add(size, || value.clone())
    }

    fn add_text(&mut self, text: Cow<'_, str>) -> Result<bool, CaptureError> {
        self.add(text.len(), || Value::String(text.into_owned()))
    }

    fn add(&mut self, size_bytes: usize, value: impl FnOnce() -> Value) -> Result<bool, CaptureError> {
        if self.values.len() >= CAPTURED_VALUES_MAX {
            return Err(CaptureError::TooMany);
        }
        self.left_bytes = self.left_bytes.checked_sub(size_bytes).ok_or(CaptureError::TooLong)?;
        self.values.push(value());
        Ok(self.is_all)
    }

    fn into_value(mut self) -> Option<Value> {
        if self.values.is_empty() {
            return None;
        }
        if self.is_all { Some(Value::Array(self.values)) } else { self.values.pop() }
    }
}

#[cfg(test)]
mod tests;
