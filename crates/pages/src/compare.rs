//! Experiments against each other.

use nuncius_report::comparison::{ComparedRuns, ComparedSide, part_name, rows};
use nuncius_report::format::headline;
use nuncius_report::html::{escape, table, tone};
use nuncius_schemas::comparison::{ComparisonVerdict, PartName};

use crate::frame::{Frame, frame};

/// Most experiments that are compared at a time.
pub const COMPARED_MAX: usize = 5;

/// The page of experiments that were compared, each with the same baseline. `ids` are all of them, the baseline among
/// them.
pub fn page(within: &Frame, compared: &[ComparedRuns], ids: &[String]) -> String {
    let Some(first) = compared.first() else { return choose(within, ids.len()) };
    let is_any = |verdict| compared.iter().any(|one| one.comparison.verdict == verdict);
    let verdict = [ComparisonVerdict::Different, ComparisonVerdict::TooLittleData]
        .into_iter()
        .find(|verdict| is_any(*verdict))
        .unwrap_or(ComparisonVerdict::NotShownToDiffer);
    let class = class_of(verdict);
    let candidates: Vec<String> = compared.iter().map(|one| escape(&one.candidate.id, 128)).collect();
    let mut body = format!(
        "<header class=\"{class}\">\n<div class=\"headline\"><span class=\"badge {class}\">{}</span>\
         <h1>{} → {}</h1></div>\n<p class=\"reason\">{}</p>\n<dl class=\"facts\">\n\
         <div><dt>baseline</dt><dd>{}</dd></div>\n",
        escape(&verdict.name().to_uppercase(), 40),
        escape(&first.baseline.id, 128),
        candidates.join(", "),
        escape(&nuncius_report::comparison::together(&first.comparison), 600),
        side(within, &first.baseline),
    );
    for one in compared {
        body.push_str(&format!(
            "<div><dt>candidate, {}</dt><dd>{} <a class=\"note\" href=\"{}\">as baseline</a></dd></div>\n",
            escape(one.comparison.verdict.name(), 40),
            side(within, &one.candidate),
            within.path(&link(&one.candidate.id, ids)),
        ));
    }
    body.push_str("</dl>\n</header>\n");
    for one in compared {
        body.push_str(&differences(one, compared.len() > 1));
    }
    match compared {
        [only] => body.push_str(&in_detail(only)),
        many => body.push_str(&side_by_side(many)),
    }
    frame(within, "Compare", "/runs", &body)
}

const fn class_of(verdict: ComparisonVerdict) -> &'static str {
    match verdict {
        ComparisonVerdict::Different => "fail",
        ComparisonVerdict::NotShownToDiffer => "pass",
        ComparisonVerdict::TooLittleData => "undetermined",
    }
}

/// The page of the same experiments with this baseline.
fn link(baseline: &str, ids: &[String]) -> String {
    let all: String = ids.iter().map(|id| format!("&id={id}")).collect();
    format!("/compare?baseline={baseline}{all}")
}

fn side(within: &Frame, side: &ComparedSide) -> String {
    format!(
        "<a href=\"{}\">{}</a> <span class=\"note\">{}</span> <span class=\"badge small {}\">{}</span>",
        within.path(&format!("/runs/{}", side.id)),
        escape(&side.name, 120),
        escape(&side.id, 128),
        tone(side.status, side.verdict),
        escape(&headline(side.status, side.verdict), 40)
    )
}

fn differences(compared: &ComparedRuns, is_named: bool) -> String {
    if compared.spec_differences.is_empty() {
        return String::new();
    }
    let of = if is_named { format!(", {}", escape(&compared.candidate.id, 128)) } else { String::new() };
    let mut out = format!("<section>\n<h2>What differs in their specifications{of}</h2>\n<ul>\n");
    for difference in &compared.spec_differences {
        out.push_str(&format!("<li><code>{}</code></li>\n", escape(difference, 400)));
    }
    out.push_str("</ul>\n</section>\n");
    out
}

fn in_detail(compared: &ComparedRuns) -> String {
    let mut out = String::new();
    for part in &compared.comparison.parts {
        let cells: Vec<Vec<String>> =
            rows(part).into_iter().map(|row| row.iter().map(|cell| escape(cell, 400)).collect()).collect();
        let heading = ["figure", "baseline", "candidate", "difference", "from … to", "seen from", "verdict"];
        out.push_str(&section(&part.name, &table(&heading, &cells, &[6])));
    }
    out
}

fn section(name: &PartName, table: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{table}</section>\n", escape(&part_name(name), 200))
}

/// Each figure with the baseline's value, and of each candidate its own, the difference and the verdict.
fn side_by_side(compared: &[ComparedRuns]) -> String {
    let mut names: Vec<&PartName> = Vec::new();
    for part in compared.iter().flat_map(|one| &one.comparison.parts) {
        if !names.contains(&&part.name) {
            names.push(&part.name);
        }
    }
    let mut out = String::new();
    for name in names {
        let of = |one: &ComparedRuns| {
            let part = one.comparison.parts.iter().find(|part| part.name == *name);
            part.map(rows).unwrap_or_default()
        };
        let all: Vec<Vec<Vec<String>>> = compared.iter().map(of).collect();
        let Some(longest) = all.iter().max_by_key(|rows| rows.len()) else { continue };
        let figure = |row: &Vec<String>| {
            let at = |row: &[String], index: usize| escape(row.get(index).map_or("–", String::as_str), 400);
            let mut cells = vec![at(row, 0), at(row, 1)];
            cells.extend(all.iter().map(|rows| match rows.iter().find(|other| other.first() == row.first()) {
                Some(found) => {
                    let is_different = found.get(6).is_some_and(|verdict| verdict == "different");
                    let class = if is_different { "bad" } else { "note" };
                    let (value, difference, verdict) = (at(found, 2), at(found, 3), at(found, 6));
                    format!("{value}<br>{difference} <span class=\"{class}\">{verdict}</span>")
                }
                None => "–".to_owned(),
            }));
            cells
        };
        let cells: Vec<Vec<String>> = longest.iter().map(figure).collect();
        let ids: Vec<String> = compared.iter().map(|one| escape(&one.candidate.id, 128)).collect();
        let heading: Vec<&str> = ["figure", "baseline"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        out.push_str(&section(name, &table(&heading, &cells, &[])));
    }
    out
}

/// The page that says which ones are wanted.
pub fn choose(within: &Frame, given: usize) -> String {
    let body = format!(
        "<section>\n<h1>Compare</h1>\n<p class=\"reason\">Mark 2 to {COMPARED_MAX} experiments in the \
         <a href=\"{}\">list</a>: {given} were marked.</p>\n</section>\n",
        within.path("/runs")
    );
    frame(within, "Compare", "/runs", &body)
}
