//! What is taken from an answer into a variable.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::form::{is_there, some_value, text_or_map};
use super::rule::{self, SpecError, refuse};
use super::value::visit_value;
use crate::spec::text::{TextKind, Visit, maybe, one};

/// What is taken from an answer: the first that is found, or all. Where nothing is found and there is no default, the
/// step fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// Where it is looked for.
    pub from: CaptureFrom,
    /// All that are found, as a list, instead of the first.
    pub all: bool,
    /// What it is when nothing is found; it may be null, and holds no templates.
    pub default: Option<Value>,
}

/// Where something is looked for in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureFrom {
    /// A JSONPath (RFC 9535) into a body that is JSON.
    Json(String),
    /// The value of the header of this name.
    Header(String),
    /// A regular expression on the body: its first group, or the whole match when it has none.
    Regex(String),
    /// An element of an HTML body by a CSS selector: its text, or one of its attributes.
    Css {
        /// The selector.
        selector: String,
        /// The attribute; the element's text when absent.
        attribute: Option<String>,
    },
    /// The value of the cookie of this name that the answer sets.
    Cookie(String),
    /// The status, a number.
    Status,
    /// The whole body, as text.
    Body,
}

/// As it is written.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A JSONPath (RFC 9535) into a body that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    /// Name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// A regular expression on the body: its first group, or the whole match when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
    /// A CSS selector: the text of the element, or one of its attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    css: Option<String>,
    /// Beside `css`: the attribute whose value is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    /// Name of a cookie that the answer sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookie: Option<String>,
    /// The status; without a value. The word `status` alone is the same.
    #[serde(default, skip_serializing, deserialize_with = "is_there")]
    #[schemars(with = "Option<bool>")]
    status: bool,
    /// The whole body; without a value. The word `body` alone is the same.
    #[serde(default, skip_serializing, deserialize_with = "is_there")]
    #[schemars(with = "Option<bool>")]
    body: bool,
    /// All that are found, as a list, instead of the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// What it is when nothing is found. Without it the step fails then.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    default: Option<Value>,
}

const WHERE: &str = "`json`, `header`, `regex`, `css`, `cookie`, `status` or `body`";

impl Capture {
    fn of(from: CaptureFrom) -> Self {
        Self { from, all: false, default: None }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        match text {
            "status" => Ok(Self::of(CaptureFrom::Status)),
            "body" => Ok(Self::of(CaptureFrom::Body)),
            _ => {
                let shown: String = text.chars().take(80).collect();
                Err(format!(
                    "`{shown}` is no place in an answer: write a map with one of {WHERE}, as in {{json: $.token}}"
                ))
            }
        }
    }

    fn of_written(written: Written) -> Result<Self, String> {
        let Written { json, header, regex, css, attribute, cookie, status, body, all, default } = written;
        if attribute.is_some() && css.is_none() {
            return Err("`attribute` belongs to `css`".to_owned());
        }
        let mut found: Vec<(&str, CaptureFrom)> = Vec::new();
        found.extend(json.map(|path| ("json", CaptureFrom::Json(path))));
        found.extend(header.map(|name| ("header", CaptureFrom::Header(name))));
        found.extend(regex.map(|regex| ("regex", CaptureFrom::Regex(regex))));
        found.extend(css.map(|selector| ("css", CaptureFrom::Css { selector, attribute })));
        found.extend(cookie.map(|name| ("cookie", CaptureFrom::Cookie(name))));
        found.extend(status.then_some(("status", CaptureFrom::Status)));
        found.extend(body.then_some(("body", CaptureFrom::Body)));
        let second = found.get(1).map(|(name, _)| *name);
        let Some((name, from)) = found.into_iter().next() else {
            return Err(format!("says nothing of where to look: give one of {WHERE}"));
        };
        if let Some(second) = second {
            return Err(format!(
                "`{name}` and `{second}` are two places to look in: give one, and another its own name"
            ));
        }
        if matches!(from, CaptureFrom::Status | CaptureFrom::Body) && (all || default.is_some()) {
            return Err(format!("every answer has one {name}: leave out `all` and `default`"));
        }
        Ok(Self { from, all, default })
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        match &self.from {
            CaptureFrom::Json(text) => rule::check_pattern(&format!("{path}.json"), text),
            CaptureFrom::Header(name) => rule::check_header_name(&format!("{path}.header"), name),
            CaptureFrom::Regex(text) => rule::check_regex(&format!("{path}.regex"), text),
            CaptureFrom::Css { selector, attribute } => {
                rule::check_pattern(&format!("{path}.css"), selector)?;
                attribute.as_ref().map_or(Ok(()), |name| rule::check_pattern(&format!("{path}.attribute"), name))
            }
            CaptureFrom::Cookie(name) => rule::check_pattern(&format!("{path}.cookie"), name),
            CaptureFrom::Status | CaptureFrom::Body => Ok(()),
        }?;
        match self.default.as_ref().is_some_and(super::value::has_template) {
            true => refuse(
                format!("{path}.default"),
                "templates are not filled in here: `set` works out what depends on others",
            ),
            false => Ok(()),
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, name: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { from, all: _, default } = self;
        match from {
            CaptureFrom::Json(text) => one(format!("{path}.json"), TextKind::Pattern, text, visit)?,
            CaptureFrom::Header(text) => one(format!("{path}.header"), TextKind::Name, text, visit)?,
            CaptureFrom::Regex(text) => one(format!("{path}.regex"), TextKind::Pattern, text, visit)?,
            CaptureFrom::Css { selector, attribute } => {
                one(format!("{path}.css"), TextKind::Pattern, selector, visit)?;
                maybe(format!("{path}.attribute"), TextKind::Name, attribute, visit)?;
            }
            CaptureFrom::Cookie(text) => one(format!("{path}.cookie"), TextKind::Name, text, visit)?,
            CaptureFrom::Status | CaptureFrom::Body => {}
        }
        match default {
            Some(value) => visit_value(&format!("{path}.default"), name, value, visit),
            None => Ok(()),
        }
    }
}

impl Serialize for Capture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Written { all: self.all, default: self.default.clone(), ..Written::default() };
        match &self.from {
            CaptureFrom::Status => return serializer.serialize_str("status"),
            CaptureFrom::Body => return serializer.serialize_str("body"),
            CaptureFrom::Json(path) => written.json = Some(path.clone()),
            CaptureFrom::Header(name) => written.header = Some(name.clone()),
            CaptureFrom::Regex(regex) => written.regex = Some(regex.clone()),
            CaptureFrom::Css { selector, attribute } => {
                written.css = Some(selector.clone());
                written.attribute.clone_from(attribute);
            }
            CaptureFrom::Cookie(name) => written.cookie = Some(name.clone()),
        }
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Capture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = "`status`, `body`, or a map such as {json: $.token}";
        text_or_map(deserializer, wanted, Self::of_text, Self::of_written)
    }
}

impl JsonSchema for Capture {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Capture".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is taken from an answer: the first that is found, or all. Where nothing is found and \
                            there is no default, the step fails.",
            "anyOf": [{ "enum": ["status", "body"] }, Written::json_schema(generator)]
        })
    }
}
