//! What the search page asks for, and the traces that are meant.

use std::collections::BTreeMap;
use std::str::FromStr;

use nuncius_schemas::units::HumanDuration;
use serde_json::Value;

use crate::jaeger;
use crate::kept::{Kept, KeptSpan, Trace, TraceId};

/// Traces shown where nobody says how many.
const LIMIT_DEFAULT: usize = 20;
/// Most traces shown.
const LIMIT_MAX: usize = 1_500;

/// A search; a trace is meant when one of its spans is like all of this.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Traces by their ids, instead of a search.
    pub(crate) ids: Vec<TraceId>,
    service: Option<String>,
    operation: Option<String>,
    tags: BTreeMap<String, String>,
    /// Microseconds since 1970.
    start_us: Option<u64>,
    end_us: Option<u64>,
    duration_min_us: Option<u64>,
    duration_max_us: Option<u64>,
    limit: usize,
}

/// 32 hex digits, or fewer: Jaeger leaves zeros at the beginning out.
pub(crate) fn trace_id(text: &str) -> Result<TraceId, String> {
    let number = (1..=32).contains(&text.len()).then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(u128::to_be_bytes).ok_or_else(|| format!("{text:?} is no trace id: it has 1 to 32 hexadecimal digits"))
}

impl Query {
    /// Reads the part of an address behind the question mark; what is not known is passed over, as Jaeger does.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self { limit: LIMIT_DEFAULT, ..Self::default() };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            if value.is_empty() {
                continue;
            }
            match &*key {
                "traceID" => query.ids.push(trace_id(&value)?),
                "service" => query.service = Some(value.into_owned()),
                "operation" if value != "all" => query.operation = Some(value.into_owned()),
                "tags" => query.tags = tags(&value)?,
                "start" => query.start_us = Some(number("start", &value)?),
                "end" => query.end_us = Some(number("end", &value)?),
                "minDuration" => query.duration_min_us = Some(duration_us("minDuration", &value)?),
                "maxDuration" => query.duration_max_us = Some(duration_us("maxDuration", &value)?),
                "limit" => query.limit = number::<usize>("limit", &value)?.clamp(1, LIMIT_MAX),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The traces that are meant, the latest first.
    pub(crate) fn found<'a>(&self, kept: &'a Kept) -> Vec<(&'a TraceId, &'a Trace)> {
        let mut found: Vec<_> = if self.ids.is_empty() {
            kept.traces().filter(|(_, trace)| trace.spans.values().any(|span| self.means(span))).collect()
        } else {
            kept.traces().filter(|(id, _)| self.ids.contains(id)).collect()
        };
        found.sort_by_key(|(id, trace)| (std::cmp::Reverse(start_ns(trace)), **id));
        found.truncate(self.limit);
        found
    }

    fn means(&self, kept: &KeptSpan) -> bool {
        let (span, start_us) = (&kept.span, kept.span.start_time_unix_nano / 1_000);
        let duration_us = jaeger::duration_us(span);
        self.service.as_ref().is_none_or(|service| *service == kept.process.service)
            && self.operation.as_ref().is_none_or(|operation| *operation == span.name)
            && self.start_us.is_none_or(|bound| start_us >= bound)
            && self.end_us.is_none_or(|bound| start_us <= bound)
            && self.duration_min_us.is_none_or(|bound| duration_us >= bound)
            && self.duration_max_us.is_none_or(|bound| duration_us <= bound)
            && self.tags.iter().all(|(key, value)| has_tag(kept, key, value))
    }
}

/// When the first span of a trace began, unix nanoseconds.
fn start_ns(trace: &Trace) -> u64 {
    trace.spans.values().map(|kept| kept.span.start_time_unix_nano).min().unwrap_or_default()
}

/// Of the span or of its process.
fn has_tag(kept: &KeptSpan, key: &str, value: &str) -> bool {
    if key == "span.kind" {
        return jaeger::kind(&kept.span) == Some(value);
    }
    if key == "error" {
        let is_error = kept.span.status.as_ref().is_some_and(|status| status.code == 2);
        return is_error.to_string() == value;
    }
    let mut attributes = kept.span.attributes.iter().chain(&kept.process.attributes);
    attributes.any(|attribute| {
        let found = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        attribute.key == key && found.is_some_and(|found| jaeger::as_text(found) == value)
    })
}

/// A JSON object of texts.
fn tags(text: &str) -> Result<BTreeMap<String, String>, String> {
    let parsed: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("tags: {error}; write them as a JSON object"))?;
    let text_of = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(parsed.into_iter().map(|(key, value)| (key, text_of(value))).collect())
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}={text}: write a whole number"))
}

fn duration_us(name: &str, text: &str) -> Result<u64, String> {
    // Some of the pages say `1µs` with either of the two letters that look so.
    let duration: HumanDuration =
        text.replace('\u{3bc}', "\u{b5}").parse().map_err(|error| format!("{name}: {error}"))?;
    Ok(duration.0 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::tests::{export, span, text};

    fn kept() -> Kept {
        let mut kept = Kept::new(1 << 20, 100);
        let mut slow = span(2, 2, Some(1), "get");
        slow.end_time_unix_nano += 250_000_000;
        slow.attributes = vec![text("nuncius.experiment.id", "demo")];
        kept.add(export("nuncius-experimentd", vec![span(1, 1, None, "run"), span(2, 1, None, "run")]));
        kept.add(export("nuncius-client", vec![span(1, 3, Some(1), "get"), slow]));
        kept
    }

    fn found(query: &str) -> Vec<u8> {
        Query::parse(query).unwrap().found(&kept()).into_iter().map(|(id, _)| id[15]).collect()
    }

    #[test]
    fn a_trace_is_meant_when_one_of_its_spans_is_like_all_that_is_asked() {
        assert_eq!(found("service=nuncius-client&lookback=1h&limit=20"), [1, 2]);
        assert_eq!(found("service=nuncius-client&minDuration=200ms"), [2]);
        assert_eq!(found("service=nuncius-client&operation=run"), [0; 0]);
        assert_eq!(found("service=nuncius-client&operation=all&limit=1"), [1]);
        assert_eq!(found("tags=%7B%22nuncius.experiment.id%22%3A%22demo%22%7D"), [2]);
        assert_eq!(found("start=1002500&service=nuncius-client"), [1]);
        assert_eq!(found("traceID=2&traceID=00000000000000000000000000000001"), [1, 2]);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (query, told) in [
            ("start=yesterday", "start=yesterday: write a whole number"),
            ("traceID=xyz", "no trace id"),
            ("minDuration=long", "minDuration"),
            ("tags=a", "JSON object"),
        ] {
            let problem = Query::parse(query).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
        assert!(Query::parse("unknown=1&limit=").is_ok());
    }
}
