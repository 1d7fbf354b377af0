//! The report of a scaling experiment, as text for a terminal and as one self-contained HTML file.

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::scaling::ScalingReport;

use crate::format::{count, plain, utc};
use crate::text::table::{Paint, columns, fold};
use crate::text::{SENTENCE_CHARACTERS, TextOptions, colour_of};

mod page;
mod plots;
mod words;

use words::{
    LAW, STEP_HEADING, STEPS_MAX, device_text, fit_text, knee_text, no_fit_text, number, parameters, step_cells, title,
    workers_text,
};

/// The whole report for a terminal: the verdict and why, then the steps, the fitted law and the knee.
pub fn text(report: &ScalingReport, options: TextOptions) -> String {
    let paint = Paint(options.colour);
    let width = options.width.max(40);
    let mut out = verdict_lines(report, paint, width);
    out.push_str(&step_lines(report, paint, width));
    out.push_str(&law_lines(report, paint, width));
    out.push_str(&format!("\n{}\n", paint.bold("knee")));
    out.push_str(&fold(&format!("  {}", plain(&knee_text(report), SENTENCE_CHARACTERS)), width, 2));
    out
}

/// The whole report as a page that opens from disk and asks for nothing from outside.
pub fn html(report: &ScalingReport) -> String {
    page::page(report)
}

/// What was asked of the steps.
fn asked(report: &ScalingReport) -> String {
    let least = format!("asked for an efficiency of {} or more", number(report.min_efficiency));
    match report.judge_up_to {
        Some(most) => format!("{least} up to {}", workers_text(most)),
        None => least,
    }
}

fn verdict_lines(report: &ScalingReport, paint: Paint, width: usize) -> String {
    let word = report.verdict.name().to_uppercase();
    let rest = format!("{}: {}", plain(&title(report), 160), plain(&report.reason, SENTENCE_CHARACTERS));
    let folded = fold(&format!("{word} {rest}"), width, 2);
    let after = folded.strip_prefix(&word).unwrap_or(&folded).trim_end();
    let facts = fold(&format!("  from {}, {}", utc(report.started_unix_ms), asked(report)), width, 2);
    let verdict = paint.with(colour_of(RunStatus::Finished, Some(report.verdict)), &word);
    let mut out = format!("{verdict}{}\n{}\n", paint.bold(after), paint.dim(facts.trim_end()));
    if let Some(device) = &report.device {
        out.push_str(&fold(&format!("  emulated: {}", plain(&device_text(device), SENTENCE_CHARACTERS)), width, 4));
    }
    out
}

fn step_lines(report: &ScalingReport, paint: Paint, width: usize) -> String {
    let mut out = format!("\n{}\n", paint.bold("steps"));
    if report.steps.is_empty() {
        out.push_str("  nothing was measured\n");
        return out;
    }
    let shown = || report.steps.iter().take(STEPS_MAX);
    let rows: Vec<Vec<String>> = shown().map(step_cells).collect();
    out.push_str(&columns(paint, &STEP_HEADING, &rows, &[STEP_HEADING.len() - 1]));
    if report.steps.len() > STEPS_MAX {
        out.push_str(&format!("  {STEPS_MAX} of {} steps are shown\n", count(report.steps.len() as u64)));
    }
    for step in shown().filter(|step| step.outcome != Verdict::Pass) {
        let reason = format!("  {}: {}", workers_text(step.workers), plain(&step.reason, SENTENCE_CHARACTERS));
        out.push_str(&fold(&reason, width, 4));
    }
    out
}

fn law_lines(report: &ScalingReport, paint: Paint, width: usize) -> String {
    let mut out = format!("\n{}  {LAW}\n", paint.bold("scalability law"));
    let Some(fit) = &report.fit else {
        let reason = format!("  not fitted: {}", plain(&no_fit_text(report), SENTENCE_CHARACTERS));
        out.push_str(&fold(&reason, width, 2));
        return out;
    };
    let rows: Vec<Vec<String>> =
        parameters(fit).map(|(name, cells)| [&[name.to_owned()][..], &cells].concat()).to_vec();
    out.push_str(&columns(paint, &["", "estimate", "95 %"], &rows, &[]));
    out.push_str(&fold(&format!("  {}", fit_text(report, fit)), width, 2));
    out
}

#[cfg(test)]
mod tests;
