//! The report as one HTML file that opens from disk and asks for nothing from outside.
//!
//! Style, script and charts are inline, and a content security policy forbids every other source, so that even a report
//! with hostile text in it cannot load anything. All text from the report goes through [`escape::escape`]; every list
//! has a limit, and the page says what was left out.

use nuncius_schemas::report::Report;

use crate::format::{bytes, count, duration_f64, headline, share, utc};
use crate::study;
use crate::text::{first_reason, title};
use crate::traces::TraceView;

pub(crate) mod chart;
pub(crate) mod escape;
mod gates;
mod heat;
mod plots;
mod profiles;
mod series;
mod shown;
mod slowest;
pub(crate) mod tables;

pub use escape::escape;
pub use gates::section as gates;
pub use profiles::{PICTURE_MAX_BYTES, PICTURES_MAX, Picture};
pub(crate) use shown::TEXT_CHARACTERS;
pub use shown::tone;
pub use tables::table;

/// The style of reports, and of whatever else is to look like them.
pub const STYLE: &str = include_str!("html/style.css");
/// What a report does with a script: the read-out of its charts. It wants an element `tip`.
pub const SCRIPT: &str = include_str!("html/script.js");

/// Reasons in the header.
const REASONS_MAX: usize = 20;
/// Longest specification, in characters.
const SPEC_CHARACTERS: usize = 200_000;

/// The page of a report; where there is a `view`, traces are linked to it.
pub fn page(report: &Report, view: Option<&TraceView>) -> String {
    page_with(report, view, &[])
}

/// The same with pictures of profiles: [`PICTURES_MAX`] of them, of [`PICTURE_MAX_BYTES`] each; others are left out.
pub fn page_with(report: &Report, view: Option<&TraceView>, pictures: &[Picture]) -> String {
    let word = headline(report.status, report.verdict);
    document(&format!("{word} {}", title(report)), &sections(report, view, pictures, ""))
}

/// What the page of a report has within its frame, for whoever has another one. `charts` is a section that takes the
/// place of the charts over time, which are behind a choice below it then; empty where there is none.
pub fn sections(report: &Report, view: Option<&TraceView>, pictures: &[Picture], charts: &str) -> String {
    let mut out = String::with_capacity(256 * 1024);
    let word = headline(report.status, report.verdict);
    out.push_str(&header(report, &word, view));
    out.push_str(&cards(report));
    out.push_str(&study::section(report));
    out.push_str(&gates::section(&report.gates, true));
    out.push_str(&plots::section(report, charts));
    out.push_str(&tables::groups(report));
    out.push_str(&slowest::section(report, view));
    out.push_str(&tables::tracks(report));
    out.push_str(&tables::nodes(report));
    out.push_str(&profiles::section(report, pictures));
    out.push_str(&tables::events(report));
    out.push_str(&tables::metadata(report));
    out.push_str(&specification(report));
    out.push_str(&format!(
        "<footer>Nuncius {}, {}</footer>\n",
        escape(&report.version, 40),
        escape(&report.schema, 40)
    ));
    out
}

/// A whole page around `body`, which is HTML; `title` is text.
pub(crate) fn document(title: &str, body: &str) -> String {
    let mut out = String::with_capacity(body.len() + 16 * 1024);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ");
    out.push_str("style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.push_str(&format!("<title>{} – Nuncius</title>\n", escape(title, 240)));
    out.push_str(&format!("<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}"));
    out.push_str(&format!("</main>\n<div id=\"tip\" hidden></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    out
}

fn header(report: &Report, word: &str, view: Option<&TraceView>) -> String {
    let mut out = format!(
        "<header class=\"{}\">\n<div class=\"headline\"><span class=\"badge {}\">{}</span><h1>{}</h1></div>\n",
        tone(report.status, report.verdict),
        tone(report.status, report.verdict),
        escape(word, 40),
        escape(&title(report), 200)
    );
    out.push_str(&format!("<p class=\"reason\">{}</p>\n", escape(&first_reason(report), TEXT_CHARACTERS)));
    if report.reasons.len() > 1 {
        out.push_str("<ul class=\"reasons\">\n");
        for reason in report.reasons.iter().skip(1).take(REASONS_MAX) {
            out.push_str(&format!("<li>{}</li>\n", escape(reason, TEXT_CHARACTERS)));
        }
        out.push_str("</ul>\n");
        if report.reasons.len() > REASONS_MAX + 1 {
            let left_out = report.reasons.len() - REASONS_MAX - 1;
            out.push_str(&format!("<p class=\"note\">{left_out} further reasons are not shown.</p>\n"));
        }
    }
    let mut facts = vec![("experiment", report.id.clone()), ("status", report.status.name().to_owned())];
    if let Some(verdict) = report.verdict {
        facts.push(("verdict", verdict.name().to_owned()));
    }
    facts.extend(report.creator.clone().map(|creator| ("creator", creator)));
    facts.push(("submitted", utc(report.submitted_unix_ms)));
    facts.extend(report.started_unix_ms.map(|at| ("load from", utc(at))));
    facts.extend(report.ended_unix_ms.map(|at| ("ended", utc(at))));
    if report.offered_seconds > 0.0 {
        facts.push(("load for", duration_f64(report.offered_seconds * 1e9)));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        out.push_str(&format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value, 200)));
    }
    if let Some(trace) = &report.trace_id {
        let page = view.and_then(|view| view.page(trace, None));
        let trace = escape(trace, 200);
        let shown = match page {
            Some(page) => format!("<a href=\"{}\" rel=\"noreferrer noopener\">{trace}</a>", escape(&page, 2_000)),
            None => trace,
        };
        out.push_str(&format!("<div><dt>trace</dt><dd>{shown}</dd></div>\n"));
    }
    out.push_str("</dl>\n</header>\n");
    out
}

/// The figures everybody asks for first.
fn cards(report: &Report) -> String {
    if report.groups.is_empty() {
        return String::new();
    }
    // The last step of a group is its whole iteration.
    let wholes = || report.groups.iter().filter_map(|group| Some((group, group.steps.last()?)));
    let total = |of: fn(&nuncius_schemas::report::StepReport) -> u64| wholes().map(|(_, step)| of(step)).sum::<u64>();
    let (succeeded, failed, censored) = (total(|s| s.succeeded), total(|s| s.failed), total(|s| s.censored));
    let ended = succeeded + failed;
    let part = |number: u64, whole: u64| if whole == 0 { 0.0 } else { number as f64 / whole as f64 };
    let mut cards = Vec::new();
    if report.scheduled > 0 || report.offered > 0 {
        let note = if report.deficit == 0 {
            format!("all of {} scheduled", count(report.scheduled))
        } else {
            let (scheduled, deficit) = (count(report.scheduled), count(report.deficit));
            format!("of {scheduled} scheduled, deficit {deficit}{}", crate::text::unaccounted(report))
        };
        let note = if report.groups.iter().all(|group| group.open) { note } else { format!("{note}, open groups") };
        cards.push(("offered", count(report.offered), note, report.deficit > 0));
    }
    cards.push((
        "succeeded",
        count(succeeded),
        format!("{} of those that ended", share(part(succeeded, ended))),
        false,
    ));
    cards.push(("failed", count(failed), share(part(failed, ended)), failed > 0));
    let requests = || report.groups.iter().flat_map(|group| group.steps.iter().filter(|step| !step.is_iteration));
    let (sent, received) = (requests().map(|s| s.bytes_sent).sum(), requests().map(|s| s.bytes_received).sum());
    cards.push(("censored", count(censored), "unanswered or unsent at the stop".to_owned(), censored > 0));
    let slowest = report
        .groups
        .iter()
        .filter_map(|group| {
            let step = group.steps.last()?;
            let quantity = if group.open { "response" } else { "service" };
            let (_, summary) = step.quantities.iter().find(|(q, _)| q.name() == quantity)?;
            let p99 = summary.quantiles.iter().find(|q| (q.quantile - 0.99).abs() < 1e-9)?;
            Some((p99, format!("{quantity}, {}/{}", group.name, step.name)))
        })
        .max_by_key(|(p99, _)| p99.value_ns);
    if let Some((p99, what)) = slowest {
        cards.push(("p99", crate::format::quantile_value(p99), what, false));
    }
    if sent > 0 || received > 0 {
        cards.push(("received", bytes(received), format!("{} sent", bytes(sent)), false));
    }
    let mut out = String::from("<section class=\"cards\">\n");
    for (name, value, note, notable) in cards {
        let class = if notable { "card notable" } else { "card" };
        out.push_str(&format!(
            "<div class=\"{class}\"><h3>{name}</h3><b>{}</b><span>{}</span></div>\n",
            escape(&value, 40),
            escape(&note, 200)
        ));
    }
    out.push_str("</section>\n");
    out
}

fn specification(report: &Report) -> String {
    let Some(spec) = &report.spec else { return String::new() };
    let text = match serde_json::to_string_pretty(spec) {
        Ok(text) => text,
        Err(error) => format!("the specification cannot be shown: {error}"),
    };
    let note = if text.chars().count() > SPEC_CHARACTERS {
        format!("<p class=\"note\">Only the first {} characters are shown.</p>\n", count(SPEC_CHARACTERS as u64))
    } else {
        String::new()
    };
    format!(
        "<section>\n<h2>Specification</h2>\n<details>\n<summary>as submitted, redacted</summary>\n{note}<pre tabindex=\"0\">{}</pre>\n</details>\n</section>\n",
        escape(&text, SPEC_CHARACTERS)
    )
}

#[cfg(test)]
mod tests;
