//! A request of a scenario: what is sent, what is taken from the answer, and what is asked of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::Auth;
use super::capture::Capture;
use super::check::Check;
use super::rule::{self, Reading, SpecError, refuse};
use super::value::{Texts, visit_value};
use crate::spec::expect::Expect;
use crate::spec::limits::TIMEOUT_MAX_NS;
use crate::spec::method::Method;
use crate::spec::text::{TextKind, Visit, maybe, one};
use crate::spec::validate::headers::check_headers;
use crate::units::HumanDuration;

/// Most captures, or checks, of one request.
pub const PER_REQUEST_MAX: usize = 64;
/// Most redirects that are followed for one request.
pub const REDIRECTS_MAX: u32 = 20;
/// Most parts of a `multipart` body, and most fields of a form or a query.
pub const FIELDS_MAX: usize = 256;

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVerb {
    /// `get`
    Get,
    /// `post`
    Post,
    /// `put`
    Put,
    /// `patch`
    Patch,
    /// `delete`
    Delete,
    /// `head`
    Head,
    /// `options`
    Options,
    /// `request`, which has the method among its fields.
    Request,
}

impl HttpVerb {
    /// Every verb.
    pub const ALL: [Self; 8] =
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Head, Self::Options, Self::Request];

    /// As it is written in a step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Head => "head",
            Self::Options => "options",
            Self::Request => "request",
        }
    }

    /// The method that it sends; `None` for `request`.
    pub const fn method(self) -> Option<&'static str> {
        match self {
            Self::Get => Some("GET"),
            Self::Post => Some("POST"),
            Self::Put => Some("PUT"),
            Self::Patch => Some("PATCH"),
            Self::Delete => Some("DELETE"),
            Self::Head => Some("HEAD"),
            Self::Options => Some("OPTIONS"),
            Self::Request => None,
        }
    }
}

/// A request. Texts in it are templates where nothing else is said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpStep {
    /// Path and query, joined to the target's, or a whole URL; the target itself when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Of `request` alone: the method, GET when absent; one that is not registered as `{custom: NAME}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Parameters that are put into the query, percent-encoded; a list is sent as one parameter for each item.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Texts>,
    /// Headers, beside the group's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body: a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Body: JSON. A text in it that is one template alone becomes what the template is: a number stays a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Body: the fields of a form, `application/x-www-form-urlencoded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<BTreeMap<String, Texts>>,
    /// Body: parts, `multipart/form-data` (RFC 7578).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipart: Option<Vec<Part>>,
    /// Body: a file of the bundle, sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Who it is sent as, instead of the group's; `none` for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// How many redirects are followed; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u32>,
    /// What counts as success; 200 to 399 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// What is taken from the answer, by the name of the variable that holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// What is asked of the answer; counted apart from failed requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
    /// Function of the script that sees the request, and may change it, before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_request: Option<String>,
    /// Function of the script that sees the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_response: Option<String>,
}

/// What follows from a failed check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCheckFailure {
    /// It is counted, and the user goes on.
    #[default]
    Count,
    /// The user's iteration ends there.
    Fail,
}

impl OnCheckFailure {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One part of a `multipart` body: a value, or a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of its field.
    pub name: String,
    /// Its text; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A file of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Media type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Name that is told to the server; that of the file when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Payload<'a> {
    /// A text.
    Text(&'a str),
    /// JSON.
    Json(&'a Value),
    /// The fields of a form.
    Form(&'a BTreeMap<String, Texts>),
    /// Parts.
    Multipart(&'a [Part]),
    /// A file of the bundle.
    File(&'a str),
}

impl HttpStep {
    /// A request of this path or URL with everything else as when it is not said.
    pub fn of_url(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Whether nothing is said but its path or URL.
    pub fn is_short(&self) -> bool {
        *self == Self::of_url(self.url.as_str())
    }

    /// The body, if there is one.
    pub fn payload(&self) -> Option<Payload<'_>> {
        self.payloads().into_iter().flatten().map(|(_, payload)| payload).next()
    }

    /// All bodies that are written, each with its field: more than one is refused.
    fn payloads(&self) -> [Option<(&'static str, Payload<'_>)>; 5] {
        [
            self.body.as_ref().map(|text| ("body", Payload::Text(text))),
            self.json.as_ref().map(|value| ("json", Payload::Json(value))),
            self.form.as_ref().map(|fields| ("form", Payload::Form(fields))),
            self.multipart.as_ref().map(|parts| ("multipart", Payload::Multipart(parts))),
            self.file.as_ref().map(|file| ("file", Payload::File(file))),
        ]
    }

    pub(crate) fn check(&self, path: &str, verb: HttpVerb, reading: Reading) -> Result<(), SpecError> {
        if self.method.is_some() && verb.method().is_some() {
            let problem = format!("`{}` says the method: write `request` for another one", verb.name());
            return refuse(format!("{path}.method"), problem);
        }
        rule::check_url(&format!("{path}.url"), &self.url, reading)?;
        check_fields(&format!("{path}.query"), &self.query)?;
        rule::at_most(&format!("{path}.headers"), self.headers.len(), rule::ENTRIES_MAX)?;
        check_headers(&format!("{path}.headers"), self.headers.iter())?;
        self.check_payload(path)?;
        if let Some(auth) = &self.auth {
            auth.check(&format!("{path}.auth"), reading)?;
            if let Some(name) = self.headers.keys().find(|name| name.eq_ignore_ascii_case("authorization"))
                && *auth != Auth::None
            {
                return refuse(format!("{path}.headers.{name}"), "is made of `auth`: give one of them");
            }
        }
        if self.timeout.is_some_and(|timeout| timeout.0 == 0 || timeout.0 > TIMEOUT_MAX_NS) {
            return refuse(format!("{path}.timeout"), "0s would let nothing through, and 1h is the longest");
        }
        if self.redirects.is_some_and(|redirects| redirects > REDIRECTS_MAX) {
            return refuse(format!("{path}.redirects"), format!("more than {REDIRECTS_MAX}"));
        }
        if let Some(problem) = self.expect.as_ref().and_then(|expect| expect.status.problem()) {
            return refuse(format!("{path}.expect.status"), problem);
        }
        rule::at_most(&format!("{path}.capture"), self.capture.len(), PER_REQUEST_MAX)?;
        for (name, capture) in &self.capture {
            let path = format!("{path}.capture.{}", name.chars().take(64).collect::<String>());
            rule::check_variable_name(&path, name)?;
            capture.check(&path)?;
        }
        rule::at_most(&format!("{path}.checks"), self.checks.len(), PER_REQUEST_MAX)?;
        for (index, check) in self.checks.iter().enumerate() {
            check.check(&format!("{path}.checks[{index}]"))?;
        }
        if self.on_check_failure != OnCheckFailure::default() && self.checks.is_empty() {
            return refuse(format!("{path}.on_check_failure"), "there are no `checks` that could fail");
        }
        for (name, function) in self.functions() {
            rule::check_function_name(&format!("{path}.{name}"), function)?;
        }
        Ok(())
    }

    /// The functions of the script that it calls, each with its field.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("before_request", &self.before_request), ("after_response", &self.after_response)]
            .into_iter()
            .filter_map(|(field, function)| Some((field, function.as_deref()?)))
    }

    fn check_payload(&self, path: &str) -> Result<(), SpecError> {
        let mut payloads = self.payloads().into_iter().flatten();
        let Some((first, payload)) = payloads.next() else { return Ok(()) };
        if let Some((second, _)) = payloads.next() {
            return refuse(format!("{path}.{second}"), format!("a request has one body, and `{first}` is one already"));
        }
        match payload {
            Payload::Text(_) | Payload::Json(_) => Ok(()),
            Payload::Form(fields) => check_fields(&format!("{path}.form"), fields),
            Payload::File(file) => rule::check_file_name(&format!("{path}.file"), file),
            Payload::Multipart(parts) => {
                if parts.is_empty() {
                    return refuse(format!("{path}.multipart"), "empty: a body has at least one part");
                }
                rule::at_most(&format!("{path}.multipart"), parts.len(), FIELDS_MAX)?;
                let mut numbered = parts.iter().enumerate();
                numbered.try_for_each(|(index, part)| part.check(&format!("{path}.multipart[{index}]")))
            }
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            url,
            method: _,
            query,
            headers,
            body,
            json,
            form,
            multipart,
            file,
            auth,
            timeout: _,
            redirects: _,
            expect,
            capture,
            checks,
            on_check_failure: _,
            before_request,
            after_response,
        } = self;
        one(format!("{path}.url"), TextKind::Url, url, visit)?;
        for (name, texts) in query {
            texts.visit_texts(&format!("{path}.query.{name}"), name, visit)?;
        }
        for (name, value) in headers {
            one(format!("{path}.headers.{name}"), TextKind::Header(name), value, visit)?;
        }
        maybe(format!("{path}.body"), TextKind::Body, body, visit)?;
        if let Some(value) = json {
            visit_value(&format!("{path}.json"), "json", value, visit)?;
        }
        for (name, texts) in form.iter_mut().flatten() {
            texts.visit_texts(&format!("{path}.form.{name}"), name, visit)?;
        }
        for (index, part) in multipart.iter_mut().flatten().enumerate() {
            part.visit_texts(&format!("{path}.multipart[{index}]"), visit)?;
        }
        maybe(format!("{path}.file"), TextKind::File, file, visit)?;
        if let Some(auth) = auth {
            auth.visit_texts(&format!("{path}.auth"), visit)?;
        }
        if let Some(Expect { status: _ }) = expect {}
        for (name, capture) in capture {
            capture.visit_texts(&format!("{path}.capture.{name}"), name, visit)?;
        }
        for (index, check) in checks.iter_mut().enumerate() {
            check.visit_texts(&format!("{path}.checks[{index}]"), visit)?;
        }
        maybe(format!("{path}.before_request"), TextKind::Name, before_request, visit)?;
        maybe(format!("{path}.after_response"), TextKind::Name, after_response, visit)
    }
}

impl Part {
    fn check(&self, path: &str) -> Result<(), SpecError> {
        match (&self.value, &self.file) {
            (Some(_), Some(_)) | (None, None) => refuse(path, "a part has either `value` or `file`"),
            (None, Some(file)) => rule::check_file_name(&format!("{path}.file"), file),
            (Some(_), None) => Ok(()),
        }?;
        if self.name.is_empty() {
            return refuse(format!("{path}.name"), "empty: a part has the name of its field");
        }
        let texts =
            [("name", Some(&self.name)), ("type", self.media_type.as_ref()), ("filename", self.filename.as_ref())];
        for (field, text) in texts {
            // They stand in lines of their own, within quotes.
            if text.is_some_and(|text| text.len() > 256 || text.chars().any(|c| c.is_control() || c == '"')) {
                return refuse(format!("{path}.{field}"), "over 256 bytes, or holds quotes or control characters");
            }
        }
        Ok(())
    }

    fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { name, value, file, media_type, filename } = self;
        if let Some(value) = value {
            one(format!("{path}.value"), TextKind::Value(name), value, visit)?;
        }
        one(format!("{path}.name"), TextKind::Name, name, visit)?;
        maybe(format!("{path}.file"), TextKind::File, file, visit)?;
        maybe(format!("{path}.type"), TextKind::Name, media_type, visit)?;
        maybe(format!("{path}.filename"), TextKind::Name, filename, visit)
    }
}

pub(super) fn check_fields(path: &str, fields: &BTreeMap<String, Texts>) -> Result<(), SpecError> {
    rule::at_most(path, fields.len(), FIELDS_MAX)?;
    match fields.keys().find(|name| name.is_empty() || name.len() > 256) {
        Some(name) => refuse(
            format!("{path}.{}", name.chars().take(64).collect::<String>()),
            "its name is empty or over 256 bytes",
        ),
        None => Ok(()),
    }
}
