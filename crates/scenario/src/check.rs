//! Checks: what an answer should be like. Compiled once; told apart from failed requests.

use http::HeaderName;
use regex::bytes::Regex;
use serde_json::Value;

use crate::answer::Answer;
use crate::capture::{cookie, header_name};
use crate::compile_error::CompileError;
use crate::draw::Draws;
use crate::error::{TemplateError, shown};
use crate::json_path::Query;
use crate::json_template::JsonTemplate;
use crate::pattern;
use crate::scope::Scope;
use crate::value::number::{Numeric, compare};
use crate::value::{is_same, kind, numeric};

/// What a value is compared with.
#[derive(Debug, Clone)]
pub enum Test {
    /// The same JSON: numbers by what they are worth, nothing across types. May have templates in it.
    Equals(JsonTemplate),
    /// A regular expression finds something in its text.
    Matches(String),
    /// It is there, or is not.
    Exists(bool),
    /// It is a number above this one.
    Above(f64),
    /// It is a number below this one.
    Below(f64),
}

#[derive(Debug, Clone)]
enum Compiled {
    Equals(JsonTemplate),
    Matches(Regex, Box<str>),
    Exists(bool),
    Above(Numeric),
    Below(Numeric),
}

#[derive(Debug, Clone)]
enum Kind {
    Status(Box<[u16]>),
    Header(HeaderName, Compiled),
    Cookie(Box<str>, Compiled),
    Json(Query, Box<str>, Compiled),
    Body(Compiled),
    Size(Compiled),
    Time(Compiled),
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not so, and why; without texts that the target sent.
    Failed(String),
}

impl Verdict {
    /// Whether it is as it should be.
    pub const fn has_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// A check.
#[derive(Debug, Clone)]
pub struct Check {
    kind: Kind,
}

const NUMBERS: &str = "equals, above or below";

impl Check {
    /// The status is one of these.
    ///
    /// # Errors
    /// There are none.
    pub fn status(allowed: &[u16]) -> Result<Self, CompileError> {
        if allowed.is_empty() {
            return Err(CompileError::Check { subject: "status", takes: "at least one status" });
        }
        Ok(Self { kind: Kind::Status(allowed.into()) })
    }

    /// The first header of a name.
    ///
    /// # Errors
    /// No name of a header; a pattern that is none.
    pub fn header(name: &str, test: Test) -> Result<Self, CompileError> {
        Ok(Self { kind: Kind::Header(header_name(name)?, compile(test)?) })
    }

    /// The cookie of a name that the answer sets, else one that the user has.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn cookie(name: &str, test: Test) -> Result<Self, CompileError> {
        Ok(Self { kind: Kind::Cookie(name.into(), compile(test)?) })
    }

    /// The first value that a JSONPath (RFC 9535) gives.
    ///
    /// # Errors
    /// No JSONPath; a pattern that is none.
    pub fn json(path: &str, test: Test) -> Result<Self, CompileError> {
        Ok(Self { kind: Kind::Json(Query::compile(path)?, shown(path).into(), compile(test)?) })
    }

    /// The body as text. A pattern looks at it anywhere.
    ///
    /// # Errors
    /// A pattern that is none; a test that a body cannot be put to.
    pub fn body(test: Test) -> Result<Self, CompileError> {
        match test {
            Test::Equals(_) | Test::Matches(_) | Test::Exists(_) => Ok(Self { kind: Kind::Body(compile(test)?) }),
            Test::Above(_) | Test::Below(_) => {
                Err(CompileError::Check { subject: "body", takes: "equals, matches or exists" })
            }
        }
    }

    /// The size of the body in bytes.
    ///
    /// # Errors
    /// A test that a number cannot be put to.
    pub fn size(test: Test) -> Result<Self, CompileError> {
        Ok(Self { kind: Kind::Size(compile_number("size", test)?) })
    }

    /// The service time in nanoseconds.
    ///
    /// # Errors
    /// A test that a number cannot be put to.
    pub fn time(test: Test) -> Result<Self, CompileError> {
        Ok(Self { kind: Kind::Time(compile_number("time", test)?) })
    }

    /// Whether it looks at the body, so that the body must be kept. Its size is counted anyway.
    pub const fn needs_body(&self) -> bool {
        match self.kind {
            Kind::Json(..) | Kind::Body(_) => true,
            Kind::Status(_) | Kind::Header(..) | Kind::Cookie(..) | Kind::Size(_) | Kind::Time(_) => false,
        }
    }

    /// What it finds of an answer.
    ///
    /// # Errors
    /// A template in it cannot be filled in; that is no failure of the target.
    pub fn run(&self, answer: &Answer<'_>, scope: &Scope<'_>, draws: &mut Draws) -> Result<Verdict, TemplateError> {
        let mut put = |subject: &str, value: Option<&Value>, test: &Compiled| {
            let expected = match test {
                Compiled::Equals(template) => match template.constant() {
                    Some(constant) => Some(constant.clone()),
                    None => Some(template.value(scope, draws)?),
                },
                Compiled::Matches(..) | Compiled::Exists(_) | Compiled::Above(_) | Compiled::Below(_) => None,
            };
            Ok(judge(subject, value, test, expected.as_ref()))
        };
        match &self.kind {
            Kind::Status(allowed) => {
                let listed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                Ok(verdict(allowed.contains(&answer.status), || {
                    format!("status is {}, not {}", answer.status, listed.join(" or "))
                }))
            }
            Kind::Header(name, test) => {
                let value = answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
                put(&format!("header {name}"), value.as_ref(), test)
            }
            Kind::Cookie(name, test) => {
                let value = cookie(answer, name).map(Value::from);
                put(&format!("cookie `{}`", shown(name)), value.as_ref(), test)
            }
            Kind::Json(query, path, test) => match query.values(answer.body) {
                Ok(values) => put(&format!("`{path}`"), values.first().copied(), test),
                Err(error) => Ok(Verdict::Failed(format!("`{path}`: {error}"))),
            },
            Kind::Body(Compiled::Matches(regex, words)) => {
                Ok(verdict(regex.is_match(answer.body.bytes()), || format!("body does not match `{words}`")))
            }
            Kind::Body(Compiled::Exists(wanted)) => {
                Ok(verdict((answer.body.total_bytes() > 0) == *wanted, || existence("body", *wanted)))
            }
            Kind::Body(test) => put("body", Some(&answer.body.text().into()), test),
            Kind::Size(test) => put("size in bytes", Some(&answer.body.total_bytes().into()), test),
            Kind::Time(test) => put("time in nanoseconds", Some(&answer.service_ns.into()), test),
        }
    }
}

fn compile(test: Test) -> Result<Compiled, CompileError> {
    let finite = |number: f64| {
        if number.is_finite() { Ok(Numeric::Real(number)) } else { Err(CompileError::NoNumber) }
    };
    Ok(match test {
        Test::Equals(template) => Compiled::Equals(template),
        Test::Matches(regex) => Compiled::Matches(pattern::compile(&regex)?, shown(&regex).into()),
        Test::Exists(wanted) => Compiled::Exists(wanted),
        Test::Above(number) => Compiled::Above(finite(number)?),
        Test::Below(number) => Compiled::Below(finite(number)?),
    })
}

fn compile_number(subject: &'static str, test: Test) -> Result<Compiled, CompileError> {
    match test {
        Test::Equals(_) | Test::Above(_) | Test::Below(_) => compile(test),
        Test::Matches(_) | Test::Exists(_) => Err(CompileError::Check { subject, takes: NUMBERS }),
    }
}

fn verdict(has_passed: bool, why: impl FnOnce() -> String) -> Verdict {
    if has_passed { Verdict::Passed } else { Verdict::Failed(why()) }
}

fn existence(subject: &str, wanted: bool) -> String {
    if wanted { format!("{subject} is not there") } else { format!("{subject} is there") }
}

fn judge(subject: &str, value: Option<&Value>, test: &Compiled, expected: Option<&Value>) -> Verdict {
    if let Compiled::Exists(wanted) = test {
        return verdict(value.is_some() == *wanted, || existence(subject, *wanted));
    }
    let Some(value) = value else { return Verdict::Failed(existence(subject, true)) };
    match test {
        Compiled::Exists(_) => Verdict::Passed,
        Compiled::Equals(_) => verdict(expected.is_some_and(|expected| is_same(value, expected)), || {
            format!("{subject} is {}, not {}", told(value), expected.map_or_else(String::new, wanted))
        }),
        Compiled::Matches(regex, words) => {
            let text = crate::value::text(value);
            verdict(regex.is_match(text.as_bytes()), || format!("{subject} does not match `{words}`"))
        }
        Compiled::Above(bound) => {
            let is_above = numeric(value).is_some_and(|number| compare(number, *bound).is_gt());
            verdict(is_above, || format!("{subject} is {}, not above {}", told(value), bound.as_f64()))
        }
        Compiled::Below(bound) => {
            let is_below = numeric(value).is_some_and(|number| compare(number, *bound).is_lt());
            verdict(is_below, || format!("{subject} is {}, not below {}", told(value), bound.as_f64()))
        }
    }
}

/// What the target sent, without its texts: one may be a password or a token.
fn told(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
    }
}

/// What was expected: the same care, since a template may have filled in what the target sent before.
fn wanted(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the expected text of {} characters", text.chars().count()),
        Value::Array(_) => "the expected list".to_owned(),
        Value::Object(_) => "the expected map".to_owned(),
    }
}

#[cfg(test)]
mod tests;
