//! What is asked of an answer beside its success: counted apart from failed requests.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::amount::ByteSize;
use super::form::{is_there, some_value};
use super::rule::{self, SpecError, refuse};
use super::value::visit_value;
use crate::spec::expect::Statuses;
use crate::spec::text::{TextKind, Visit, maybe, one};
use crate::units::{HumanDuration, text_or_number};

/// What is asked of an answer: one subject, and what it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Check {
    /// What reports call it; made from the rest when absent.
    pub name: Option<String>,
    /// What is looked at.
    pub subject: Subject,
    /// What it must be.
    pub condition: Condition,
}

/// What of an answer is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The status.
    Status,
    /// The header of this name.
    Header(String),
    /// The cookie of this name that the answer sets.
    Cookie(String),
    /// The first that a JSONPath (RFC 9535) finds in a body that is JSON.
    Json(String),
    /// The body, as text.
    Body,
    /// Length of the body as it came, in bytes.
    Size,
    /// Service time: from the sending of the request to the end of the answer.
    Time,
}

/// What the subject of a check must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A status of these.
    OneOf(Statuses),
    /// Equal to this value; texts in it are templates.
    Equals(Value),
    /// A text that a regular expression matches somewhere.
    Matches(String),
    /// There (true), or not there (false).
    Exists(bool),
    /// Greater than this.
    Above(Bound),
    /// Less than this.
    Below(Bound),
}

/// A limit that a subject is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Of a value in JSON, a header or a cookie.
    Number(f64),
    /// Of a size.
    Bytes(ByteSize),
    /// Of a time.
    Duration(HumanDuration),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Duration(duration) => duration.fmt(f),
        }
    }
}

/// As it is written.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What reports call it; made from the rest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The status: one, a range (`2xx`, `200-204`), or a list of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Statuses>,
    /// Name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// Name of a cookie that the answer sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookie: Option<String>,
    /// A JSONPath (RFC 9535) into a body that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    /// The body; without a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "is_there")]
    #[schemars(with = "Option<bool>")]
    body: bool,
    /// Length of the body; without a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "is_there")]
    #[schemars(with = "Option<bool>")]
    size: bool,
    /// Service time; without a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "is_there")]
    #[schemars(with = "Option<bool>")]
    time: bool,
    /// Equal to this value; texts in it are templates.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    equals: Option<Value>,
    /// A regular expression that matches somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
    /// There (true), or not there (false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    /// Greater than this: a number, of `size` bytes (10KiB), of `time` a duration (500ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<WrittenBound>,
    /// Less than this: a number, of `size` bytes (10KiB), of `time` a duration (500ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<WrittenBound>,
}

/// The text of a limit: what it says depends on what is compared.
#[derive(Debug)]
struct WrittenBound(String);

impl Serialize for WrittenBound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<f64>() {
            Ok(number) => serializer.serialize_f64(number),
            Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for WrittenBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer).map(Self)
    }
}

impl JsonSchema for WrittenBound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"] })
    }
}

const SUBJECTS: &str = "`status`, `header`, `cookie`, `json`, `body`, `size` or `time`";

/// The conditions that a subject may have.
fn conditions_of(subject: &Subject) -> &'static [&'static str] {
    match subject {
        Subject::Status => &[],
        Subject::Header(_) | Subject::Cookie(_) | Subject::Json(_) => {
            &["equals", "matches", "exists", "above", "below"]
        }
        Subject::Body => &["equals", "matches"],
        Subject::Size | Subject::Time => &["above", "below"],
    }
}

fn bound(subject: &Subject, text: &str) -> Result<Bound, String> {
    match subject {
        Subject::Time => text.parse().map(Bound::Duration).map_err(|error: crate::units::UnitError| error.to_string()),
        Subject::Size => text.parse().map(Bound::Bytes),
        Subject::Status | Subject::Header(_) | Subject::Cookie(_) | Subject::Json(_) | Subject::Body => {
            let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
            number.map(Bound::Number).ok_or_else(|| {
                let shown: String = text.chars().take(80).collect();
                format!("`{shown}` is not a number")
            })
        }
    }
}

/// The only one of those found; `none` says what is missing, and `two` what two of them are.
fn only<T>(
    found: Vec<(&'static str, T)>,
    none: impl FnOnce() -> String,
    two: &str,
) -> Result<(&'static str, T), String> {
    let second = found.get(1).map(|(name, _)| *name);
    let (name, first) = found.into_iter().next().ok_or_else(none)?;
    match second {
        Some(second) => Err(format!("`{name}` and `{second}` are {two}: write each as a check of its own")),
        None => Ok((name, first)),
    }
}

impl TryFrom<Written> for Check {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, status, header, cookie, json, body, size, time, equals, matches, exists, above, below } =
            written;
        let mut subjects = Vec::new();
        subjects.extend(status.is_some().then_some(("status", Subject::Status)));
        subjects.extend(header.map(|name| ("header", Subject::Header(name))));
        subjects.extend(cookie.map(|name| ("cookie", Subject::Cookie(name))));
        subjects.extend(json.map(|path| ("json", Subject::Json(path))));
        subjects.extend(body.then_some(("body", Subject::Body)));
        subjects.extend(size.then_some(("size", Subject::Size)));
        subjects.extend(time.then_some(("time", Subject::Time)));
        let no_subject = || format!("says nothing of what to look at: give one of {SUBJECTS}");
        let (subject_name, subject) = only(subjects, no_subject, "two subjects")?;
        let taken = conditions_of(&subject);
        let mut conditions = Vec::new();
        conditions.extend(equals.map(|value| ("equals", Condition::Equals(value))));
        conditions.extend(matches.map(|regex| ("matches", Condition::Matches(regex))));
        conditions.extend(exists.map(|is_there| ("exists", Condition::Exists(is_there))));
        for (name, limit) in [("above", above), ("below", below)] {
            let Some(WrittenBound(text)) = limit else { continue };
            let bound = bound(&subject, &text).map_err(|problem| format!("`{name}`: {problem}"))?;
            conditions.push((name, if name == "above" { Condition::Above(bound) } else { Condition::Below(bound) }));
        }
        if let Some((name, _)) = conditions.iter().find(|(name, _)| !taken.contains(name)) {
            let instead = match taken {
                [] => "write the statuses that are right into `status`, as in {status: [200, 404]}".to_owned(),
                taken => format!("ask {}", taken.join(" or ")),
            };
            return Err(format!("`{name}` cannot be asked of `{subject_name}`: {instead}"));
        }
        let condition = match status {
            Some(statuses) => Condition::OneOf(statuses),
            None => {
                let no_condition = || format!("asks nothing of `{subject_name}`: give {}", taken.join(" or "));
                only(conditions, no_condition, "two conditions")?.1
            }
        };
        Ok(Self { name, subject, condition })
    }
}

impl From<Check> for Written {
    fn from(check: Check) -> Self {
        let mut written = Self { name: check.name, ..Self::default() };
        match check.subject {
            // Its statuses are the condition.
            Subject::Status => {}
            Subject::Header(name) => written.header = Some(name),
            Subject::Cookie(name) => written.cookie = Some(name),
            Subject::Json(path) => written.json = Some(path),
            Subject::Body => written.body = true,
            Subject::Size => written.size = true,
            Subject::Time => written.time = true,
        }
        match check.condition {
            Condition::OneOf(statuses) => written.status = Some(statuses),
            Condition::Equals(value) => written.equals = Some(value),
            Condition::Matches(regex) => written.matches = Some(regex),
            Condition::Exists(is_there) => written.exists = Some(is_there),
            Condition::Above(bound) => written.above = Some(WrittenBound(bound.to_string())),
            Condition::Below(bound) => written.below = Some(WrittenBound(bound.to_string())),
        }
        written
    }
}

impl JsonSchema for Check {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Written::json_schema(generator);
        schema.insert("description".to_owned(), "What is asked of an answer: one subject, and what it must be.".into());
        schema
    }
}

impl Check {
    /// What reports call it.
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let subject = match &self.subject {
            Subject::Status => "status".to_owned(),
            Subject::Header(name) => format!("header {name}"),
            Subject::Cookie(name) => format!("cookie {name}"),
            Subject::Json(path) => format!("json {path}"),
            Subject::Body => "body".to_owned(),
            Subject::Size => "size".to_owned(),
            Subject::Time => "time".to_owned(),
        };
        let label = match &self.condition {
            Condition::OneOf(statuses) => format!("{subject} is {statuses}"),
            Condition::Equals(value) => format!("{subject} equals {value}"),
            Condition::Matches(regex) => format!("{subject} matches {regex}"),
            Condition::Exists(true) => format!("{subject} exists"),
            Condition::Exists(false) => format!("{subject} does not exist"),
            Condition::Above(bound) => format!("{subject} above {bound}"),
            Condition::Below(bound) => format!("{subject} below {bound}"),
        };
        label.chars().map(|c| if c.is_control() { ' ' } else { c }).take(rule::NAME_MAX_CHARACTERS).collect()
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        if let Some(name) = &self.name {
            rule::check_display_name(&format!("{path}.name"), name)?;
        }
        match &self.subject {
            Subject::Header(name) => rule::check_header_name(&format!("{path}.header"), name),
            Subject::Cookie(name) => rule::check_pattern(&format!("{path}.cookie"), name),
            Subject::Json(text) => rule::check_pattern(&format!("{path}.json"), text),
            Subject::Status | Subject::Body | Subject::Size | Subject::Time => Ok(()),
        }?;
        match &self.condition {
            Condition::OneOf(statuses) => match statuses.problem() {
                Some(problem) => refuse(format!("{path}.status"), problem),
                None => Ok(()),
            },
            Condition::Matches(regex) => rule::check_regex(&format!("{path}.matches"), regex),
            Condition::Below(Bound::Bytes(ByteSize(0)) | Bound::Duration(HumanDuration(0))) => {
                refuse(format!("{path}.below"), "nothing is less than 0")
            }
            Condition::Equals(_) | Condition::Exists(_) | Condition::Above(_) | Condition::Below(_) => Ok(()),
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { name, subject, condition } = self;
        maybe(format!("{path}.name"), TextKind::Name, name, visit)?;
        let mut about = "equals";
        match subject {
            Subject::Header(name) => {
                one(format!("{path}.header"), TextKind::Name, name, visit)?;
                about = name.as_str();
            }
            Subject::Cookie(name) => {
                one(format!("{path}.cookie"), TextKind::Name, name, visit)?;
                about = "cookie";
            }
            Subject::Json(text) => {
                one(format!("{path}.json"), TextKind::Pattern, text, visit)?;
                about = text.as_str();
            }
            Subject::Status | Subject::Body | Subject::Size | Subject::Time => {}
        }
        match condition {
            Condition::Equals(value) => visit_value(&format!("{path}.equals"), about, value, visit),
            Condition::Matches(regex) => one(format!("{path}.matches"), TextKind::Pattern, regex, visit),
            Condition::OneOf(_) | Condition::Exists(_) | Condition::Above(_) | Condition::Below(_) => Ok(()),
        }
    }
}
