//! What a search or a sweep found, as text and as part of the page.
//!
//! Layout: `page` is the part of the page, `words` are those of both; the text is here.

use nuncius_schemas::search::SearchReport;
use nuncius_schemas::sweep::SweepReport;

use crate::format::{count, duration_f64, plain};
use crate::text::table::{Paint, columns, fold};

mod page;
mod words;

pub(crate) use page::section;
use words::{
    NAME_CHARACTERS, REASON_CHARACTERS, ROWS_MAX, SEARCH_HEADING, asked, bound_text, bounds, search_row, sweep_tables,
};

/// What a search found, for a terminal.
pub(crate) fn search_lines(report: &SearchReport, paint: Paint, width: usize) -> String {
    let mut out = fold(&format!("  {}", asked(report)), width, 2);
    if let Some(finding) = &report.finding {
        for (what, bound) in bounds(finding.highest_passed, finding.lowest_not_passed) {
            out.push_str(&fold(&format!("  {what}: {}", bound_text(&bound)), width, 4));
        }
        let time = duration_f64(finding.time.0 as f64);
        out.push_str(&format!("  {} probes, {time} of load\n", count(u64::from(finding.probes))));
    }
    if !report.history.is_empty() {
        out.push('\n');
        let rows: Vec<Vec<String>> = report.history.iter().take(ROWS_MAX).map(search_row).collect();
        out.push_str(&columns(paint, &SEARCH_HEADING, &rows, &[3, 4, 5]));
    }
    out
}

/// What a sweep found, for a terminal.
pub(crate) fn sweep_lines(report: &SweepReport, paint: Paint, width: usize) -> String {
    let sweep = &report.sweep;
    let factors: Vec<String> = sweep
        .factors
        .iter()
        .map(|(name, factor)| format!("{} ({})", plain(name, NAME_CHARACTERS), factor.values.len()))
        .collect();
    let asked = format!(
        "  sweep over {}: {} combinations, {} repeats; {} of {} runs are over",
        factors.join(" × "),
        count(sweep.combinations()),
        sweep.repeats,
        count(report.runs.len() as u64),
        count(sweep.runs())
    );
    let mut out = fold(&asked, width, 2);
    if let Some(problem) = &report.problem {
        out.push_str(&fold(&format!("  {}", plain(problem, REASON_CHARACTERS)), width, 2));
    }
    for table in sweep_tables(report) {
        out.push_str(&format!("\n{}\n", paint.bold(table.title)));
        let heading: Vec<&str> = table.heading.iter().map(String::as_str).collect();
        out.push_str(&columns(paint, &heading, &table.rows, &table.left));
    }
    out
}

#[cfg(test)]
mod tests;
