//! A request as handlers see it: who asks, for what, with every word of the path and the query checked.

use std::net::SocketAddr;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequest, RawPathParams, Request};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, IF_MATCH};
use nuncius_schemas::names::check_token;
use nuncius_schemas::tag::{TAGS_MAX, TagError, WantedTag};
use serde::de::DeserializeOwned;

use super::parameter::{Kind, Parameter};
use super::state::ApiState;
use crate::access::Who;
use crate::answer;
use crate::problem::Problem;

/// Longest text of a parameter, in bytes.
const TEXT_MAX_BYTES: usize = 512;

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) who: Who,
    pub(crate) headers: HeaderMap,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Body,
}

impl FromRequest<ApiState> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let path = {
            use axum::extract::FromRequestParts;
            let found = RawPathParams::from_request_parts(&mut head, state).await;
            let found = found.map_err(|_| Problem::parameter("path", "the path is not UTF-8"))?;
            found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let who = head.extensions.remove::<Who>().ok_or_else(|| Problem::internal("nobody let this request in"))?;
        let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Ok(Self { who, headers: head.headers, path, query, body })
    }
}

/// The peer of a request, as whoever accepted the connection knows it.
pub(crate) fn peer_of(request: &Request) -> SocketAddr {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    request.extensions().get::<SocketAddr>().copied().unwrap_or(unknown)
}

/// Refuses parameters that a path does not have, have twice, or that are not what they should be.
///
/// # Errors
/// The first of them, by name.
pub(crate) fn check_query(query: Option<&str>, known: &[Parameter]) -> Result<(), Problem> {
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
            let text = match names.as_slice() {
                [] => "this path takes no parameter".to_owned(),
                names => format!("there is no such parameter; there are {}", names.join(", ")),
            };
            return Err(Problem::parameter(&name, text));
        };
        let before = seen.iter().filter(|before| **before == name).count();
        if before >= TAGS_MAX {
            return Err(Problem::parameter(&name, format!("given more than {TAGS_MAX} times")));
        }
        if before > 0 && !parameter.may_repeat() {
            return Err(Problem::parameter(&name, "given twice"));
        }
        seen.push(name.into_owned());
        check_value(parameter, &value)?;
    }
    Ok(())
}

fn check_value(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let wrong = |text: String| Err(Problem::parameter(parameter.name, text));
    if value.len() > TEXT_MAX_BYTES || value.contains('\0') {
        return wrong(format!("at most {TEXT_MAX_BYTES} bytes of text"));
    }
    let is_right = match parameter.kind {
        Kind::Text => true,
        Kind::Most(_) => value.parse::<u64>().is_ok(),
        Kind::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
        Kind::Choice(choices) => choices.contains(&value),
        Kind::Choices(choices) => value.split(',').all(|value| choices.contains(&value)),
        Kind::Tags => value.is_empty() || value.parse::<WantedTag>().is_ok(),
        Kind::Time => time_of(value).is_some(),
        Kind::Flag => matches!(value, "true" | "false"),
    };
    match (is_right, parameter.kind) {
        (true, _) => Ok(()),
        (false, Kind::Choice(choices) | Kind::Choices(choices)) => wrong(format!("there are {}", choices.join(", "))),
        (false, Kind::Time) => wrong("write a time as 2026-11-30T12:00:00Z, or milliseconds since 1970".to_owned()),
        (false, Kind::Tags) => wrong(TagError.to_string()),
        (false, Kind::Flag) => wrong("write true or false".to_owned()),
        (false, Kind::Text | Kind::Most(_) | Kind::Number) => wrong("write a number".to_owned()),
    }
}

/// Milliseconds since the Unix epoch.
fn time_of(text: &str) -> Option<u64> {
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

impl Asked {
    fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A text of the query; an empty one is none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// Whether a flag is set.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// A number of the query.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    /// A number with a fraction.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.parse().ok()
    }

    /// A time of the query, milliseconds since the Unix epoch.
    pub(crate) fn time(&self, name: &str) -> Option<u64> {
        time_of(self.value(name)?)
    }

    /// Those of a closed list that the query names.
    pub(crate) fn choices<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let texts = self.text(name).into_iter().flat_map(|text| text.split(','));
        texts.filter_map(|text| serde_json::from_value(text.into()).ok()).collect()
    }

    /// The tags that the query names; an empty one is none.
    pub(crate) fn tags(&self, name: &str) -> Vec<WantedTag> {
        self.query.iter().filter(|(known, _)| known == name).filter_map(|(_, value)| value.parse().ok()).collect()
    }

    /// How many entries are wanted.
    ///
    /// # Errors
    /// More than there may be, which is told.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        match self.count("limit").map(|count| usize::try_from(count).unwrap_or(usize::MAX)) {
            None => Ok(usual.min(most)),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::parameter("limit", format!("give 1 to {most}"))),
        }
    }

    /// A word of the path.
    pub(crate) fn word(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// A name of the path; what cannot be one names nothing that is there.
    ///
    /// # Errors
    /// What is no token.
    pub(crate) fn token(&self, kind: &'static str, name: &str) -> Result<&str, Problem> {
        let word = self.word(name);
        check_token(kind, word).map_err(|error| Problem::not_found(error.to_string()).field(name))?;
        Ok(word)
    }

    /// The id of the experiment that the path names.
    ///
    /// # Errors
    /// What is no id.
    pub(crate) fn id(&self) -> Result<&str, Problem> {
        self.token("experiment", "id")
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the body says it is, without parameters.
    pub(crate) fn content_type(&self) -> Option<String> {
        let text = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The revision that `If-Match` names.
    ///
    /// # Errors
    /// What is no tag of a revision.
    pub(crate) fn if_match(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.headers.get(IF_MATCH) else { return Ok(None) };
        let revision = value.to_str().ok().and_then(|text| text.trim().strip_prefix("\"r")?.strip_suffix('"'));
        match revision.and_then(|text| u64::from_str(text).ok()) {
            Some(revision) => Ok(Some(revision)),
            None => {
                let text = "the header if-match must be the etag of what was read";
                Err(Problem::new(StatusCode::PRECONDITION_FAILED, "changed", text).field("if-match"))
            }
        }
    }

    /// Takes the body out, and leaves the rest.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// A small document of the body; an absent one is its default.
    ///
    /// # Errors
    /// What it is not, with the field.
    pub(crate) async fn document<T: DeserializeOwned + Default>(&mut self, most: usize) -> Result<T, Problem> {
        let bytes = answer::body(self.take_body(), most, "this request").await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(T::default());
        }
        let node = nuncius_schemas::codec::read_tree(&bytes)?;
        Ok(nuncius_schemas::codec::from_tree(&node)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter::new("limit", Kind::Most(100), ""),
        Parameter::new("status", Kind::Choices(&["running", "failed"]), ""),
        Parameter::new("from", Kind::Time, ""),
        Parameter::new("tag", Kind::Tags, ""),
    ];

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        let fine = [
            "",
            "limit=1",
            "status=running,failed",
            "from=2026-11-30T12:00:00%2B01:00",
            "from=1700000000000",
            "tag=nightly&tag=branch%3Dmain&tag=",
        ];
        for query in fine {
            assert_eq!(check_query(Some(query), KNOWN), Ok(()), "{query}");
        }
        for (query, field) in [
            ("limit=-1", "limit"),
            ("limit=1&limit=2", "limit"),
            ("status=running,", "status"),
            ("status=RUNNING", "status"),
            ("from=yesterday", "from"),
            ("<script>=1", "<script>"),
            ("limit=%00", "limit"),
            ("tag=%3Dmain", "tag"),
            (&"&tag=a".repeat(TAGS_MAX + 1), "tag"),
        ] {
            assert_eq!(check_query(Some(query), KNOWN).unwrap_err().field_path(), Some(field), "{query}");
        }
        assert_eq!(time_of("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(time_of("1960-01-01T00:00:00Z"), None);
    }
}
