//! The report for programs.

use nuncius_schemas::report::Report;
use serde::Serialize;

use crate::traces::{Slow, TraceView, slowest};

/// Why a report could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the report of experiment `{id}` cannot be written as json: {source}; a value in it has no json form")]
pub struct JsonError {
    id: String,
    source: serde_json::Error,
}

/// The report with links to traces.
#[derive(Serialize)]
struct Linked<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The page of the experiment's trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_url: Option<String>,
    /// The pages of the slowest requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slowest_urls: Vec<SlowLink<'a>>,
}

/// One of the slowest requests.
#[derive(Serialize)]
struct SlowLink<'a> {
    group: &'a str,
    step: &'a str,
    response_ns: u64,
    span_id: &'a str,
    url: String,
}

/// The report as indented JSON with a newline at its end; it reads back to the same report. Where there is a `view`,
/// `trace_url` and `slowest_urls` say where traces are to be looked at.
///
/// # Errors
/// When a value has no JSON form.
pub fn pretty(report: &Report, view: Option<&TraceView>) -> Result<String, JsonError> {
    let linked = Linked {
        report,
        trace_url: report.trace_id.as_deref().and_then(|trace| view?.page(trace, None)),
        slowest_urls: slowest(report).iter().filter_map(|slow| link_of(slow, view)).collect(),
    };
    let mut text =
        serde_json::to_string_pretty(&linked).map_err(|source| JsonError { id: report.id.clone(), source })?;
    text.push('\n');
    Ok(text)
}

fn link_of<'a>(slow: &Slow<'a>, view: Option<&TraceView>) -> Option<SlowLink<'a>> {
    Some(SlowLink {
        group: slow.group,
        step: slow.step,
        response_ns: slow.request.response_ns,
        span_id: &slow.request.span_id,
        url: slow.page(view)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        let mut report = crate::fixture::checkout();
        let steps = report.groups.iter_mut().flat_map(|group| &mut group.steps);
        for summary in steps.flat_map(|step| step.quantities.values_mut().chain(step.failed_quantities.values_mut())) {
            // Fractions that JSON and back do not round.
            summary.curve = vec![(0.5, 1), (0.75, 2)];
            summary.mean_ns = summary.mean_ns.round();
        }
        let text = pretty(&report, None).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.ends_with("}\n") && !text.contains("_url"));
        let linked = pretty(&report, Some(&TraceView::jaeger("http://jaeger:16686").unwrap())).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&linked).unwrap(), report);
        let page = "http://jaeger:16686/trace/0af7651916cd43dd8448eb211c80319c";
        let linked: serde_json::Value = serde_json::from_str(&linked).unwrap();
        assert_eq!(linked["trace_url"], page);
        assert_eq!(linked["slowest_urls"][0]["url"], format!("{page}?uiFind=b7ad6b7169203331"));
    }
}
