//! The slowest requests as lines.

use nuncius_schemas::report::Report;

use super::table::{Paint, columns};
use crate::format::{ABSENT, duration, plain};
use crate::traces::{TraceView, slowest};

/// Most of them that are shown.
const LINES_MAX: usize = 5;
/// Longest name, in characters.
const NAME_CHARACTERS: usize = 28;

/// A few of them, with their traces; nothing where no request was told.
pub(super) fn lines(report: &Report, paint: Paint, view: Option<&TraceView>) -> String {
    let all = slowest(report);
    if all.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(LINES_MAX)
        .map(|slow| {
            let request = slow.request;
            let trace = match (slow.page(view), request.span_id.as_str()) {
                (Some(page), _) => page,
                (None, "") => ABSENT.to_owned(),
                (None, span_id) => format!("span {}", plain(span_id, 16)),
            };
            vec![
                plain(&format!("{}/{}", slow.group, slow.step), NAME_CHARACTERS),
                duration(request.response_ns),
                duration(request.service_ns),
                slow.at(),
                slow.ended(),
                plain(&request.node, NAME_CHARACTERS),
                trace,
            ]
        })
        .collect();
    let heading = ["slowest", "response", "service", "ended at", "with", "node", "trace"];
    format!("\n{}", columns(paint, &heading, &rows, &[4, 5, 6]))
}
