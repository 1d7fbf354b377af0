//! The part of the page that a search or a sweep has in place of groups.

use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::search::{SearchOutcome, SearchReport};
use nuncius_schemas::sweep::SweepReport;

use super::words::{
    ROWS_MAX, SEARCH_HEADING, asked, bound_text, bounds, figure_title, is_shown, levels_text, load_number,
    outcome_text, search_row, sweep_tables,
};
use crate::format::count;
use crate::html::chart::{Axis, Chart, Line, figure};
use crate::html::escape::escape;
use crate::html::tables::{NAME_CHARACTERS, left_out, table};
use crate::html::{TEXT_CHARACTERS, tone};

/// Classes of the style sheet that tell curves apart: more curves than these are not drawn.
const CURVE_CLASSES: [&str; 8] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];

/// What came of a search or a sweep; nothing of any other experiment.
pub(crate) fn section(report: &Report) -> String {
    let mut out = String::new();
    if let Some(search) = &report.search {
        out.push_str(&search_section(search));
    }
    if let Some(sweep) = &report.sweep {
        out.push_str(&sweep_section(sweep));
    }
    out
}

fn search_section(report: &SearchReport) -> String {
    let mut out = format!("<section>\n<h2>Search</h2>\n<p class=\"sub\">{}</p>\n", escape(&asked(report), 400));
    if let Some(finding) = &report.finding {
        out.push_str("<dl class=\"facts\">\n");
        for (what, bound) in bounds(finding.highest_passed, finding.lowest_not_passed) {
            out.push_str(&format!("<div><dt>{what}</dt><dd>{}</dd></div>\n", escape(&bound_text(&bound), 200)));
        }
        out.push_str(&format!("<div><dt>probes</dt><dd>{}</dd></div>\n</dl>\n", count(u64::from(finding.probes))));
    }
    if report.history.is_empty() {
        out.push_str("<p class=\"note\">No probe is over.</p>\n</section>\n");
        return out;
    }
    out.push_str(&format!("<div class=\"charts\">\n{}</div>\n", figure(&loads_chart(report))));
    let rows: Vec<Vec<String>> = report
        .history
        .iter()
        .take(ROWS_MAX)
        .map(|record| {
            let mut cells: Vec<String> = search_row(record).iter().map(|cell| escape(cell, TEXT_CHARACTERS)).collect();
            if let Some(outcome) = cells.get_mut(4) {
                let tone = tone_of(record.outcome);
                *outcome = format!("<span class=\"badge small {tone}\">{}</span>", outcome_text(record.outcome));
            }
            cells
        })
        .collect();
    out.push_str(&table(&SEARCH_HEADING, &rows, &[3, 4, 5]));
    out.push_str(&left_out(report.history.len(), ROWS_MAX, "experiments"));
    out.push_str("</section>\n");
    out
}

fn tone_of(outcome: SearchOutcome) -> &'static str {
    match outcome {
        SearchOutcome::Pass => tone(RunStatus::Finished, Some(Verdict::Pass)),
        SearchOutcome::Fail => tone(RunStatus::Finished, Some(Verdict::Fail)),
        SearchOutcome::Undetermined => tone(RunStatus::Finished, Some(Verdict::Undetermined)),
        SearchOutcome::Invalid => tone(RunStatus::Finished, Some(Verdict::Invalid)),
        SearchOutcome::Broken => tone(RunStatus::Failed, None),
    }
}

/// Load by experiment, a colour for each outcome.
fn loads_chart(report: &SearchReport) -> Chart {
    let records = || report.history.iter().take(ROWS_MAX);
    let line = |name: &str, class: &'static str, wanted: &[SearchOutcome]| {
        let load = |outcome: SearchOutcome, load| wanted.contains(&outcome).then(|| load_number(load));
        let values = records().map(|record| load(record.outcome, record.probe.load)).collect();
        Line { name: name.to_owned(), class, values, dots: true, ..Line::default() }
    };
    Chart {
        title: "Load of each experiment".to_owned(),
        x_title: "experiment",
        x_axis: Axis::Experiments,
        y_axis: Axis::Amount,
        x: records().map(|record| f64::from(record.probe.number)).collect(),
        lines: vec![
            line("passed", "succeeded", &[SearchOutcome::Pass]),
            line("failed", "failed", &[SearchOutcome::Fail]),
            line("undetermined", "p95", &[SearchOutcome::Undetermined]),
            line("invalid or broken", "lag", &[SearchOutcome::Invalid, SearchOutcome::Broken]),
        ],
        ..Chart::default()
    }
}

fn sweep_section(report: &SweepReport) -> String {
    let runs = format!("{} of {} runs are over.", count(report.runs.len() as u64), count(report.sweep.runs()));
    let mut out = format!("<section>\n<h2>Sweep</h2>\n<p class=\"sub\">{runs}</p>\n");
    if let Some(problem) = &report.problem {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", escape(problem, TEXT_CHARACTERS)));
    }
    let charts: String = curve_charts(report).iter().map(figure).collect();
    if !charts.is_empty() {
        out.push_str(&format!("<div class=\"charts\">\n{charts}</div>\n"));
    }
    for part in sweep_tables(report) {
        let heading: Vec<String> = part.heading.iter().map(|cell| escape(cell, NAME_CHARACTERS)).collect();
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        let escaped = |row: &Vec<String>| row.iter().map(|cell| escape(cell, NAME_CHARACTERS)).collect();
        let rows: Vec<Vec<String>> = part.rows.iter().map(escaped).collect();
        out.push_str(&format!("<h3>{}</h3>\n{}", escape(part.title, 100), table(&heading, &rows, &part.left)));
    }
    out.push_str(&left_out(report.cells.len(), ROWS_MAX, "combinations"));
    out.push_str("</section>\n");
    out
}

/// Load against each figure that tables show, a curve for each combination of the other factors.
fn curve_charts(report: &SweepReport) -> Vec<Chart> {
    let points = || report.curves.iter().flat_map(|curve| &curve.points);
    let mut figures: Vec<&String> =
        points().flat_map(|point| point.figures.keys()).filter(|name| is_shown(name)).collect();
    figures.sort();
    figures.dedup();
    let mut x: Vec<f64> = points().map(|point| point.load).collect();
    x.sort_by(f64::total_cmp);
    x.dedup();
    if x.len() < 2 {
        return Vec::new();
    }
    figures.into_iter().map(|name| curve_chart(report, name, &x)).collect()
}

fn curve_chart(report: &SweepReport, name: &str, x: &[f64]) -> Chart {
    let curves = report.curves.iter().zip(CURVE_CLASSES);
    let lines = curves.map(|(curve, class)| {
        let at = |load: &f64| curve.points.iter().find(|point| point.load == *load)?.figures.get(name);
        let bar = |load: &f64| {
            let estimate = at(load)?;
            Some((*load, estimate.lower?.max(0.0), estimate.upper?))
        };
        Line {
            name: levels_text(&curve.levels),
            class,
            values: x.iter().map(|load| at(load).map(|estimate| estimate.mean)).collect(),
            bars: x.iter().filter_map(bar).collect(),
            ..Line::default()
        }
    });
    Chart {
        title: format!("{} by load (bars: 95 %)", figure_title(name)),
        x_title: "load",
        x_axis: Axis::Load,
        y_axis: if name.ends_with("_ns") { Axis::Time } else { Axis::Amount },
        x: x.to_vec(),
        lines: lines.collect(),
        ..Chart::default()
    }
}
