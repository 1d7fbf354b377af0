//! The slowest requests, each with the way to its trace.

use nuncius_schemas::report::Report;

use super::escape::escape;
use super::tables::{NAME_CHARACTERS, left_out, table};
use crate::format::duration;
use crate::traces::{SHOWN_MAX, TraceView, slowest};

/// The section; nothing where no request was told.
pub(crate) fn section(report: &Report, view: Option<&TraceView>) -> String {
    let all = slowest(report);
    if all.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(SHOWN_MAX)
        .map(|slow| {
            let request = slow.request;
            let ids = match request.trace_id.as_str() {
                "" => "-".to_owned(),
                trace_id => format!("<code>{}</code>", escape(&format!("{trace_id} {}", request.span_id), 80)),
            };
            let trace = match slow.page(view) {
                Some(page) => {
                    let page = escape(&page, 2_000);
                    format!("<a href=\"{page}\" rel=\"noreferrer noopener\">{ids}</a>")
                }
                None => ids,
            };
            vec![
                escape(slow.group, NAME_CHARACTERS),
                escape(slow.step, NAME_CHARACTERS),
                duration(request.response_ns),
                duration(request.service_ns),
                slow.at(),
                escape(&slow.ended(), NAME_CHARACTERS),
                escape(&request.node, NAME_CHARACTERS),
                trace,
            ]
        })
        .collect();
    let heading = ["group", "step", "response", "service", "ended at", "with", "node", "trace and span"];
    let has_unsampled = all.iter().take(SHOWN_MAX).any(|slow| !slow.request.sampled);
    let note = if has_unsampled {
        "<p class=\"note\">Of a request that was not sampled beforehand its trace has the client's span alone.</p>\n"
    } else {
        ""
    };
    format!(
        "<section>\n<h2>Slowest requests</h2>\n{}{note}{}</section>\n",
        table(&heading, &rows, &[1, 5, 6, 7]),
        left_out(all.len(), SHOWN_MAX, "slowest requests")
    )
}
