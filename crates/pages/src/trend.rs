//! All runs of one name, over time.

use nuncius_report::format::{rate, utc};
use nuncius_report::html::{escape, table};
use nuncius_schemas::head::ExperimentHead;

use crate::frame::{Frame, frame};
use crate::runs::{Figures, badge};

/// One run of a name.
#[derive(Debug, Clone)]
pub struct TrendRun {
    /// The run.
    pub head: ExperimentHead,
    /// Its figures, where it has a report.
    pub figures: Figures,
}

/// The page.
pub fn page(within: &Frame, name: &str, runs: &[TrendRun]) -> String {
    let mut body = format!(
        "<h1 class=\"title\">{}</h1>\n<p class=\"sub\">All runs of this name: is it still as it was?</p>\n",
        escape(name, 200)
    );
    if runs.is_empty() {
        body.push_str("<section><p class=\"note\">No run has this name.</p></section>\n");
        return frame(within, name, "/runs", &body);
    }
    // The oldest first, as a chart reads.
    let data = serde_json::json!({
        "submitted": runs.iter().rev().map(|run| run.head.submitted_unix_ms / 1_000).collect::<Vec<u64>>(),
        "p99_ns": runs.iter().rev().map(|run| run.figures.p99.map(|(p99_ns, _)| p99_ns)).collect::<Vec<Option<u64>>>(),
        "rate": runs.iter().rev().map(|run| run.figures.succeeded_per_second).collect::<Vec<Option<f64>>>(),
    });
    body.push_str(&format!(
        "<section>\n<h2>Over runs</h2>\n<div class=\"charts\" data-trend=\"{}\"></div>\n</section>\n",
        escape(&data.to_string(), 1_000_000)
    ));
    let row = |run: &TrendRun| {
        vec![
            badge(&run.head),
            format!("<a href=\"{}\">{}</a>", within.path(&format!("/runs/{}", run.head.id)), escape(&run.head.id, 128)),
            utc(run.head.submitted_unix_ms),
            run.figures.p99_cell(),
            run.figures.succeeded_per_second.map_or_else(|| "–".to_owned(), rate),
            escape(run.head.reason.as_deref().unwrap_or(""), 160),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let heading = ["verdict", "experiment", "submitted", "p99", "succeeded", "why"];
    body.push_str(&format!("<section>\n<h2>Runs</h2>\n{}</section>\n", table(&heading, &rows, &[1, 5])));
    frame(within, name, "/runs", &body)
}
