//! The report of a scaling experiment, as text for a terminal and as one self-contained HTML file.

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::scaling::{EmulatedDevice, ScalingEstimate, ScalingReport, ScalingStep, UslFit};

use crate::format::{ABSENT, count, plain, rate, utc};
use crate::text::table::{Paint, columns, fold};
use crate::text::{SENTENCE_CHARACTERS, TextOptions, colour_of};

mod page;
mod plots;

/// Most steps that are shown.
const STEPS_MAX: usize = 64;

/// The law that is fitted.
const LAW: &str = "X(N) = λN / (1 + α(N − 1) + βN(N − 1))";

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

fn title(report: &ScalingReport) -> String {
    format!("scaling of {} ({})", report.queue, report.id)
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

/// What the device would be if it were there.
fn device_text(device: &EmulatedDevice) -> String {
    let EmulatedDevice { name, lanes, work, alpha, beta } = device;
    let lanes = if *lanes == 1 { "1 lane".to_owned() } else { format!("{} lanes", count(u64::from(*lanes))) };
    format!("no real device: {name} stands for one, {lanes}, work {work}, α {}, β {}", number(*alpha), number(*beta))
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

const STEP_HEADING: [&str; 10] =
    ["workers", "slots", "runs", "succeeded", "failed", "rate", "95 %", "efficiency", "95 %", "outcome"];

/// The cells of a step, as [`STEP_HEADING`] names them.
fn step_cells(step: &ScalingStep) -> Vec<String> {
    let (succeeded, failed) = jobs(step);
    let estimate = |estimate: Option<&ScalingEstimate>, show: fn(f64) -> String| match estimate {
        Some(estimate) => [show(estimate.value), interval(estimate, show)],
        None => [ABSENT.to_owned(), ABSENT.to_owned()],
    };
    let mut cells = vec![
        step.workers.to_string(),
        step.slots.to_string(),
        step.measurements.len().to_string(),
        count(succeeded),
        count(failed),
    ];
    cells.extend(estimate(step.jobs_per_second.as_ref(), rate));
    cells.extend(estimate(step.efficiency.as_ref(), ratio));
    cells.push(outcome_text(step));
    cells
}

/// Jobs of all measurements of a step that succeeded, and that did not.
fn jobs(step: &ScalingStep) -> (u64, u64) {
    step.measurements.iter().fold((0, 0), |(succeeded, failed): (u64, u64), measurement| {
        (succeeded.saturating_add(measurement.succeeded), failed.saturating_add(measurement.failed))
    })
}

fn outcome_text(step: &ScalingStep) -> String {
    let name = step.outcome.name();
    if step.judged { name.to_owned() } else { format!("{name}, not judged") }
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

/// The name of each parameter with its estimate and its interval.
fn parameters(fit: &UslFit) -> [(&'static str, [String; 2]); 3] {
    let cells = |estimate: &ScalingEstimate, show: fn(f64) -> String| [show(estimate.value), interval(estimate, show)];
    [
        ("λ, one worker", cells(&fit.lambda, rate)),
        ("α, contention", cells(&fit.alpha, number)),
        ("β, coherency", cells(&fit.beta, number)),
    ]
}

fn no_fit_text(report: &ScalingReport) -> String {
    report.fit_problem.clone().unwrap_or_else(|| "no reason was recorded".to_owned())
}

/// How well the law fits and where it is highest.
fn fit_text(report: &ScalingReport, fit: &UslFit) -> String {
    let largest = report.steps.iter().map(|step| step.workers).max().unwrap_or(0);
    let peak = match fit.peak_workers.filter(|peak| peak.is_finite()) {
        None => "by the law throughput never falls".to_owned(),
        Some(peak) => {
            let place = if peak < 10.0 { format!("{peak:.1}") } else { count(peak.round() as u64) };
            let beyond = if peak > f64::from(largest) {
                format!(", extrapolated: the largest step has {}", workers_text(largest))
            } else {
                String::new()
            };
            let doubt = if fit.beta.lower.is_none_or(|lower| lower <= 0.0) {
                "; β may be 0, and then it never falls"
            } else {
                ""
            };
            format!("by the law throughput is highest at {place} workers{beyond}{doubt}")
        }
    };
    format!("R² {}; {peak}", ratio(fit.r_squared))
}

fn knee_text(report: &ScalingReport) -> String {
    match report.knee {
        Some(knee) => format!("{}: {}", workers_text(knee), report.knee_reason),
        None => format!("none: {}", report.knee_reason),
    }
}

fn workers_text(workers: u32) -> String {
    if workers == 1 { "1 worker".to_owned() } else { format!("{} workers", count(u64::from(workers))) }
}

/// `9.80/s to 10.2/s`; an end that the data did not set is open.
fn interval(estimate: &ScalingEstimate, show: fn(f64) -> String) -> String {
    match (estimate.lower, estimate.upper) {
        (None, None) => "unknown".to_owned(),
        // The step that others are compared with is 1 by definition.
        (Some(lower), Some(upper)) if lower == upper => ABSENT.to_owned(),
        (Some(lower), Some(upper)) => format!("{} to {}", show(lower), show(upper)),
        (Some(lower), None) => format!("{} or more", show(lower)),
        (None, Some(upper)) => format!("{} or less", show(upper)),
    }
}

/// A share of 1 with three digits after the point.
fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { ABSENT.to_owned() }
}

/// A number with three significant digits, as short as it can be: `0.9`, `0.000512`, `1.20e-7`.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-5..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (2.0 - size.log10().floor()).clamp(0.0, 8.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests;
