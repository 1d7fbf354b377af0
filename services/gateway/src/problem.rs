//! What is told of a request that is not done: `application/problem+json` (RFC 9457), with a stable code, and the path
//! of the field where there is one.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use nuncius_bus::{BusError, TypedError};
use nuncius_control::ControlError;
use nuncius_jobs::JobError;
use nuncius_schemas::codec::CodecError;
use schemars::JsonSchema;
use serde::Serialize;

/// What `type` begins with.
const TYPE_PREFIX: &str = "urn:nuncius:problem:";
/// Longest detail, in characters.
const DETAIL_MAX: usize = 2_000;

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(Box<ProblemTold>);

/// What is told of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemTold {
    /// `urn:nuncius:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What the status means.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What programs go by; it stays what it is.
    code: String,
    /// What is wrong and what to do.
    detail: String,
    /// The path of the field that is wrong: `groups[0].rate`, or the name of a parameter or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The line on which it was written, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        Self(Box::new(ProblemTold {
            kind: format!("{TYPE_PREFIX}{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.chars().take(DETAIL_MAX).collect(),
            field: None,
            line: None,
            column: None,
            headers: Vec::new(),
        }))
    }

    /// Of a field of the request.
    pub(crate) fn field(mut self, field: &str) -> Self {
        self.0.field = Some(field.chars().take(DETAIL_MAX).collect());
        self
    }

    /// With a header of the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// What a client asked for that makes no sense.
    pub(crate) fn parameter(field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail).field(field)
    }

    /// Nothing of this name.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// Something that a person has to look at.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Not now.
    pub(crate) fn busy(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).header(RETRY_AFTER, "5")
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn field_path(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    pub(crate) fn place(&self) -> (Option<u64>, Option<u64>) {
        (self.0.line, self.0.column)
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self.0.title = status.canonical_reason().unwrap_or("Error").to_owned();
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&*self.0).unwrap_or_default();
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.0.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        answer
    }
}

impl From<CodecError> for Problem {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Field { field, problem, position } => {
                let mut told = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", problem).field(&field);
                if let Some(position) = position {
                    told.0.line = Some(position.line as u64);
                    told.0.column = Some(position.column as u64);
                }
                told
            }
            CodecError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", error.to_string()),
            CodecError::Unreadable { .. } | CodecError::Foreign { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "unreadable", error.to_string())
            }
            CodecError::Encode(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        Self::of_bus(&error)
    }
}

impl Problem {
    fn of_bus(error: &BusError) -> Self {
        let told = error.to_string();
        match error {
            BusError::NotPermitted { .. } => Self::new(StatusCode::BAD_GATEWAY, "not-permitted-by-nats", told),
            BusError::WrongLastSequence { .. } => Self::new(StatusCode::CONFLICT, "changed", told),
            BusError::PayloadTooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", told),
            BusError::Timeout { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", told),
            BusError::Connect { .. }
            | BusError::Closed
            | BusError::NoStreamsYet { .. }
            | BusError::NoResponders { .. }
            | BusError::NoStream { .. }
            | BusError::NotFound { .. }
            | BusError::StreamReset { .. }
            | BusError::JetStream { .. } => Self::busy("bus-unavailable", told),
            BusError::InvalidSubject { .. } | BusError::InvalidHeader { .. } | BusError::InvalidKey { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "invalid-name", told)
            }
            BusError::Options(_)
            | BusError::Refused { .. }
            | BusError::ConfigMismatch { .. }
            | BusError::BadAnswer { .. } => Self::new(StatusCode::BAD_GATEWAY, "bus-refused", told),
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let told = error.to_string();
        let conflict = |code: &str| Self::new(StatusCode::CONFLICT, code, told.clone());
        if error.is_not_found() {
            return Self::not_found(told);
        }
        if let Some(bus) = error.bus() {
            return Self::of_bus(bus);
        }
        match error {
            ControlError::Name(_) | ControlError::Ambiguous { .. } => Self::parameter("id", told),
            ControlError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", told),
            ControlError::NobodyTakes | ControlError::NotTaken(_) => Self::busy("no-daemon", told),
            ControlError::Refused { ref problem, .. } | ControlError::NotAdmitted(ref problem) => {
                let is_taken = problem.starts_with("id: ") && problem.contains("exists already");
                let code = if is_taken { "id-taken" } else { "refused" };
                let status = if is_taken { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
                let refused = Self::new(status, code, told.clone());
                match field_of(problem) {
                    Some(field) => refused.field(field),
                    None => refused,
                }
            }
            ControlError::Taken { .. } => conflict("id-taken").field("id"),
            ControlError::NotDone { .. } | ControlError::Ended { .. } => conflict("ended"),
            ControlError::NotEnded { .. } => conflict("not-ended"),
            ControlError::RecordUnreadable { .. } => conflict("unreadable-record"),
            ControlError::OutOfReach { .. } => conflict("out-of-reach"),
            ControlError::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "changed", told),
            ControlError::NobodyHolds { .. } | ControlError::DaemonGone | ControlError::Closed => {
                Self::busy("no-daemon", told)
            }
            ControlError::Busy(_) => Self::busy("busy", told),
            ControlError::Unanswered(_) | ControlError::ExportSlow(_) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", told)
            }
            ControlError::Route { ref field, ref problem } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", problem.clone()).field(field)
            }
            ControlError::Mark(ref error) => Self::parameter(error.field, error.problem.as_str()),
            ControlError::Compare(_) => Self::parameter("confidence", told),
            ControlError::Resource(_) => conflict("not-offered"),
            ControlError::Bus(_)
            | ControlError::Typed(_)
            | ControlError::Unreadable(_)
            | ControlError::Document { .. }
            | ControlError::App(_)
            | ControlError::ArchiveRefused(_)
            | ControlError::Unexpected
            | ControlError::ExportShort { .. }
            | ControlError::NoExperiment { .. }
            | ControlError::NoneYet
            | ControlError::NoReport { .. }
            | ControlError::NoSeconds { .. }
            | ControlError::NoRoute { .. }
            | ControlError::NoApp { .. } => Self::new(StatusCode::BAD_GATEWAY, "daemon-refused", told),
        }
    }
}

/// The field at the beginning of what a daemon says: a path without blanks before a colon.
fn field_of(problem: &str) -> Option<&str> {
    let (field, _) = problem.split_once(": ")?;
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_.[]-".contains(c);
    (!field.is_empty() && field.chars().all(is_path)).then_some(field)
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let told = error.to_string();
        match &error {
            JobError::NoQueue { .. } | JobError::NoDeadLetter { .. } => Self::not_found(told),
            JobError::Bus(bus) | JobError::Typed(TypedError::Bus(bus)) => Self::of_bus(bus),
            JobError::Queue(_) | JobError::Name(_) => Self::parameter("queue", told),
            _ => Self::new(StatusCode::CONFLICT, "queue-refused", told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_a_daemon_names_is_told_as_one() {
        assert_eq!(field_of("groups[0].rate: too much"), Some("groups[0].rate"));
        assert_eq!(field_of("no node is there: start one"), None);
        assert_eq!(field_of("nothing"), None);
    }
}
