//! The slowest requests of a report, and links to where their traces can be looked at.

use nuncius_schemas::metric::SlowRequest;
use nuncius_schemas::report::Report;

/// Most of them that a report shows, over all groups and steps.
pub(crate) const SHOWN_MAX: usize = 20;

/// The address of a viewer of traces cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of Jaeger's pages: write it as http://HOST:16686 or https://HOST/jaeger")]
pub struct TraceViewError(String);

/// Where traces can be looked at: Jaeger's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceView {
    /// Without a slash at its end.
    base: String,
}

impl TraceView {
    /// Jaeger's pages at this address.
    ///
    /// # Errors
    /// What is no address of HTTP, or holds what an address does not.
    pub fn jaeger(address: &str) -> Result<Self, TraceViewError> {
        let refused = || TraceViewError(address.chars().take(200).collect());
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let host = rest.ok_or_else(refused)?.split('/').next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '?' | '#' | '@');
        if host.is_empty() || !address.chars().all(is_plain) {
            return Err(refused());
        }
        Ok(Self { base: address.trim_end_matches('/').to_owned() })
    }

    /// The page of a trace, with a span of it found; `None` for ids that are none, for whoever wrote them may be a
    /// stranger.
    pub fn page(&self, trace_id: &str, span_id: Option<&str>) -> Option<String> {
        let is_id = |id: &str, digits| id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id(trace_id, 32) {
            return None;
        }
        let found = match span_id {
            Some(span_id) if is_id(span_id, 16) => format!("?uiFind={span_id}"),
            Some(_) => return None,
            None => String::new(),
        };
        Some(format!("{}/trace/{trace_id}{found}", self.base))
    }
}

/// One of the slowest requests and whose it was.
pub(crate) struct Slow<'a> {
    pub(crate) group: &'a str,
    pub(crate) step: &'a str,
    pub(crate) request: &'a SlowRequest,
}

/// Those of all groups and steps, the slowest first.
pub(crate) fn slowest(report: &Report) -> Vec<Slow<'_>> {
    let steps = report.groups.iter().flat_map(|group| group.steps.iter().map(move |step| (group, step)));
    let mut slowest: Vec<Slow<'_>> = steps
        .flat_map(|(group, step)| {
            step.slowest.iter().map(|request| Slow { group: &group.name, step: &step.name, request })
        })
        .collect();
    slowest.sort_by_key(|slow| std::cmp::Reverse(slow.request.response_ns));
    slowest
}

impl Slow<'_> {
    /// How it ended, in a word.
    pub(crate) fn ended(&self) -> String {
        match (self.request.failure, self.request.status) {
            (None, 0) => "succeeded".to_owned(),
            (Some(kind), 0) => kind.name().to_owned(),
            (_, status) => status.to_string(),
        }
    }

    /// When it ended, in seconds of run time.
    pub(crate) fn at(&self) -> String {
        format!("{:.2} s", self.request.done_ns as f64 / 1e9)
    }

    /// Where its trace can be looked at.
    pub(crate) fn page(&self, view: Option<&TraceView>) -> Option<String> {
        view?.page(&self.request.trace_id, Some(&self.request.span_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_of_an_address_and_ids_and_of_nothing_else() {
        let view = TraceView::jaeger("https://host:16686/jaeger/").unwrap();
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(view.page(trace, None).unwrap(), format!("https://host:16686/jaeger/trace/{trace}"));
        assert_eq!(
            view.page(trace, Some(span)).unwrap(),
            format!("https://host:16686/jaeger/trace/{trace}?uiFind={span}")
        );
        for (trace_id, span_id) in [("", None), (trace, Some("")), ("../../evil", None), (trace, Some("\"><script>"))] {
            assert_eq!(view.page(trace_id, span_id), None, "{trace_id} {span_id:?}");
        }
        for address in
            ["", "jaeger", "javascript:alert(1)", "http://", "http://h/\"><script>", "http://a b", "http://u@h"]
        {
            assert!(TraceView::jaeger(address).is_err(), "{address}");
        }
    }
}
