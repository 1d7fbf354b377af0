//! The page of a scaling experiment.

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::scaling::{ScalingMeasurement, ScalingReport, ScalingStep, UslFit};

use super::plots::charts;
use super::{
    LAW, STEP_HEADING, STEPS_MAX, device_text, fit_text, jobs, knee_text, no_fit_text, number, outcome_text,
    parameters, step_cells, title,
};
use crate::format::{ABSENT, count, duration_f64, rate, utc};
use crate::html::escape::escape;
use crate::html::tables::{NAME_CHARACTERS, ROWS_MAX, left_out, notable, table};
use crate::html::{TEXT_CHARACTERS, document, tone};

pub(super) fn page(report: &ScalingReport) -> String {
    let mut body = header(report);
    let charts = charts(report);
    if charts.is_empty() {
        body.push_str("<section>\n<h2>Charts</h2>\n<p class=\"note\">Nothing was measured.</p>\n</section>\n");
    } else {
        body.push_str(&format!("<section>\n<h2>Charts</h2>\n<div class=\"charts\">\n{charts}</div>\n</section>\n"));
    }
    body.push_str(&steps(report));
    body.push_str(&law(report));
    body.push_str(&measurements(report));
    body.push_str("<footer>Nuncius</footer>\n");
    document(&format!("{} {}", report.verdict.name().to_uppercase(), title(report)), &body)
}

fn tone_of(verdict: Verdict) -> &'static str {
    tone(RunStatus::Finished, Some(verdict))
}

fn header(report: &ScalingReport) -> String {
    let tone = tone_of(report.verdict);
    let mut out = format!(
        "<header class=\"{tone}\">\n<div class=\"headline\"><span class=\"badge {tone}\">{}</span><h1>{}</h1></div>\n",
        report.verdict.name().to_uppercase(),
        escape(&title(report), 200)
    );
    out.push_str(&format!("<p class=\"reason\">{}</p>\n", escape(&report.reason, TEXT_CHARACTERS)));
    let mut facts = vec![
        ("scaling", report.id.clone()),
        ("queue", report.queue.clone()),
        ("from", utc(report.started_unix_ms)),
        ("least efficiency", number(report.min_efficiency)),
        ("judged up to", report.judge_up_to.map_or_else(|| "every step".to_owned(), super::workers_text)),
        ("knee", report.knee.map_or_else(|| ABSENT.to_owned(), super::workers_text)),
    ];
    if let Some(device) = &report.device {
        facts.push(("emulated", device_text(device)));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        out.push_str(&format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value, 200)));
    }
    out.push_str("</dl>\n</header>\n");
    out
}

fn steps(report: &ScalingReport) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report.steps.iter().take(STEPS_MAX).map(step_row).collect();
    let heading: Vec<&str> = STEP_HEADING.into_iter().chain(["reason"]).collect();
    let left = [heading.len() - 2, heading.len() - 1];
    format!(
        "<section>\n<h2>Steps</h2>\n{}{}<h3>Knee</h3>\n<p>{}</p>\n</section>\n",
        table(&heading, &rows, &left),
        left_out(report.steps.len(), STEPS_MAX, "steps"),
        escape(&knee_text(report), TEXT_CHARACTERS)
    )
}

fn step_row(step: &ScalingStep) -> Vec<String> {
    let mut cells = step_cells(step);
    // The figures are of this crate's making; only the outcome and the failures look different here.
    if let Some(outcome) = cells.last_mut() {
        let tone = tone_of(step.outcome);
        *outcome = format!("<span class=\"badge small {tone}\">{}</span>", outcome_text(step));
    }
    if let Some(failed) = cells.get_mut(4) {
        *failed = notable(jobs(step).1);
    }
    cells.push(escape(&step.reason, TEXT_CHARACTERS));
    cells
}

fn law(report: &ScalingReport) -> String {
    let found = match &report.fit {
        None => format!("<p class=\"note\">Not fitted: {}.</p>\n", escape(&no_fit_text(report), TEXT_CHARACTERS)),
        Some(fit) => {
            let rows: Vec<Vec<String>> =
                parameters(fit).map(|(name, cells)| [&[name.to_owned()][..], &cells].concat()).to_vec();
            let table = table(&["parameter", "estimate", "95 %"], &rows, &[]);
            format!("{table}<p>{}</p>\n", escape(&fit_text(report, fit), TEXT_CHARACTERS))
        }
    };
    format!("<section>\n<h2>Scalability law</h2>\n<p class=\"sub\">{LAW}</p>\n{found}</section>\n")
}

fn measurements(report: &ScalingReport) -> String {
    let all: usize = report.steps.iter().map(|step| step.measurements.len()).sum();
    if all == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .steps
        .iter()
        .flat_map(|step| step.measurements.iter().map(|measurement| (step.workers, measurement)))
        .take(ROWS_MAX)
        .map(|(workers, measurement)| measurement_row(workers, measurement, report.fit.as_ref()))
        .collect();
    let heading =
        ["experiment", "workers", "length", "succeeded", "failed", "rate", "against the law", "run p50", "wait p50"];
    format!(
        "<section>\n<h2>Measurements</h2>\n<details>\n<summary>{} measurements</summary>\n{}{}</details>\n</section>\n",
        count(all as u64),
        table(&heading, &rows, &[]),
        left_out(all, ROWS_MAX, "measurements")
    )
}

fn measurement_row(workers: u32, measurement: &ScalingMeasurement, fit: Option<&UslFit>) -> Vec<String> {
    let seconds = |seconds: f64| duration_f64(seconds * 1e9);
    let fitted = fit.map(|fit| fit.jobs_per_second(f64::from(workers)));
    let residual = fitted.map(|fitted| (measurement.jobs_per_second - fitted) / fitted * 100.0);
    vec![
        escape(&measurement.experiment, NAME_CHARACTERS),
        workers.to_string(),
        seconds(measurement.seconds),
        count(measurement.succeeded),
        notable(measurement.failed),
        rate(measurement.jobs_per_second),
        residual.filter(|r| r.is_finite()).map_or_else(|| ABSENT.to_owned(), |percent| format!("{percent:+.2}%")),
        measurement.run_p50_seconds.map_or_else(|| ABSENT.to_owned(), seconds),
        measurement.wait_p50_seconds.map_or_else(|| ABSENT.to_owned(), seconds),
    ]
}
