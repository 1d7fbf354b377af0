//! The tables of the page.

use std::fmt::Write as _;

use nuncius_schemas::report::{GroupReport, Report, StepReport};

use super::escape::escape;
use super::shown::TEXT_CHARACTERS;
use crate::format::{bytes, count, duration, duration_f64, duration_or_absent, rate, share, utc};
use crate::text::{
    CLOSED_NOTE, QUANTILES, TRACK_HEADING, UNVERIFIED_NOTE, clock_words, cycles_line, is_planned, meter_line,
    quantity_cells, shown_quantities, track_row, warm_up_line,
};

/// Most gates, groups, steps, kinds of failure, nodes and metadata entries that are shown, each.
pub(crate) const ROWS_MAX: usize = 500;
/// Most groups, and most steps of each, with their tables.
const GROUPS_MAX: usize = 64;
/// Most events: half of them from the beginning, half from the end.
const EVENTS_MAX: usize = 500;
/// Longest name in a cell, in characters.
pub(crate) const NAME_CHARACTERS: usize = 160;

/// A sentence that says that of `all` only `shown` are there, or nothing.
pub(crate) fn left_out(all: usize, shown: usize, what: &str) -> String {
    if all <= shown {
        return String::new();
    }
    format!("<p class=\"note\">{} of {} {what} are shown.</p>\n", count(shown as u64), count(all as u64))
}

/// A table of cells that are HTML already. The first column and those in `left` are text, the others numbers; a last
/// column of text is sentences. Where it is wider than its place it can be scrolled with the keyboard, too.
pub fn table(heading: &[&str], rows: &[Vec<String>], left: &[usize]) -> String {
    let class = |index: usize| match (index == 0 || left.contains(&index), index + 1 == heading.len()) {
        (false, _) => " class=\"n\"",
        (true, true) if index > 0 => " class=\"long\"",
        (true, _) => " class=\"t\"",
    };
    let mut out = String::from("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>");
    for (index, cell) in heading.iter().enumerate() {
        let _ = write!(out, "<th{}>{cell}</th>", class(index));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{cell}</td>", class(index));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

pub(crate) fn groups(report: &Report) -> String {
    let mut out = String::new();
    for group in report.groups.iter().take(GROUPS_MAX) {
        out.push_str(&group_section(group));
    }
    out.push_str(&left_out(report.groups.len(), GROUPS_MAX, "groups"));
    out
}

fn group_section(group: &GroupReport) -> String {
    let model = if group.open { "open model" } else { "closed model" };
    let engine = format!("{:?}", group.engine).to_lowercase();
    let mut out = format!(
        "<section>\n<h2>Group {}</h2>\n<p class=\"sub\">{engine}, {model}, <code>{}</code>",
        escape(&group.name, NAME_CHARACTERS),
        escape(&group.target, 400)
    );
    if let Some(scheduled) = group.scheduled {
        let _ = write!(out, ", offered {} of {} scheduled", count(group.offered), count(scheduled));
    }
    out.push_str("</p>\n");
    if group.tls_verified == Some(false) {
        let _ = writeln!(out, "<p class=\"warn\">{UNVERIFIED_NOTE}</p>");
    }
    if group.steps.is_empty() {
        out.push_str("<p class=\"note\">Nothing was measured.</p>\n</section>\n");
        return out;
    }
    let steps: Vec<&StepReport> = group.steps.iter().take(GROUPS_MAX).collect();
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            vec![
                escape(&step.name, NAME_CHARACTERS),
                count(step.planned),
                count(step.sent),
                count(step.succeeded),
                notable(step.failed),
                notable(step.censored),
                count(step.retried),
                rate(step.succeeded_per_second),
                bytes(step.bytes_sent),
                bytes(step.bytes_received),
            ]
        })
        .collect();
    let planned = if is_planned(group) { "planned" } else { "begun" };
    let heading =
        ["step", planned, "sent", "succeeded", "failed", "censored", "retried", "rate", "bytes sent", "received"];
    out.push_str(&table(&heading, &rows, &[]));
    if let Some(warm_up) = &group.warm_up {
        let _ = writeln!(out, "<p>{}</p>", warm_up_line(warm_up));
    }
    if let Some(cycles) = &group.cycles {
        let _ = writeln!(out, "<p>{}</p>", cycles_line(cycles));
    }
    for meter in &group.meters {
        let _ = writeln!(out, "<p>{}</p>", escape(&meter_line(meter), TEXT_CHARACTERS));
    }
    for (name, times, what) in steps.iter().flat_map(|step| {
        [
            (&step.name, step.skipped, "skipped by the rules of the test"),
            (&step.name, step.redirects, "redirects followed"),
        ]
    }) {
        if times > 0 {
            let _ = writeln!(out, "<p>{}: {} {what}</p>", escape(name, NAME_CHARACTERS), count(times));
        }
    }
    if !is_planned(group) {
        let _ = writeln!(out, "<p class=\"note\">{CLOSED_NOTE}</p>");
    }
    let rows: Vec<Vec<String>> = steps.iter().flat_map(|step| quantity_rows(is_planned(group), step)).collect();
    let heading: Vec<&str> = ["step", "quantity"]
        .into_iter()
        .chain(QUANTILES.iter().map(|(_, name)| *name))
        .chain(["max", "samples"])
        .collect();
    out.push_str(&table(&heading, &rows, &[1]));
    if steps.iter().any(|step| step.quantities.values().any(|summary| summary.censored > 0)) {
        out.push_str(
            "<p class=\"note\">≥: known from below only, because of requests that were unanswered at the stop.</p>\n",
        );
    }
    out.push_str(&statuses(&steps));
    out.push_str(&failures(&steps));
    out.push_str(&checks(&steps));
    out.push_str(&hosts(&steps));
    out.push_str(&left_out(group.steps.len(), GROUPS_MAX, "steps"));
    out.push_str("</section>\n");
    out
}

pub(crate) fn notable(number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("<b class=\"bad\">{}</b>", count(number)) }
}

fn quantity_rows(is_planned: bool, step: &StepReport) -> Vec<Vec<String>> {
    shown_quantities(is_planned)
        .iter()
        .map(|quantity| {
            let mut row = vec![escape(&step.name, NAME_CHARACTERS), quantity.name().to_owned()];
            row.extend(quantity_cells(step.quantities.get(quantity)));
            row
        })
        .collect()
}

/// Answers by status, those that succeeded included.
fn statuses(steps: &[&StepReport]) -> String {
    let all: usize = steps.iter().map(|step| step.statuses.len()).sum();
    if all == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .flat_map(|step| {
            let answered: u64 = step.statuses.iter().map(|status| status.count).sum();
            step.statuses.iter().map(move |status| (step, status, answered))
        })
        .take(ROWS_MAX)
        .map(|(step, status, answered)| {
            let of_all = status.count as f64 / answered.max(1) as f64;
            vec![escape(&step.name, NAME_CHARACTERS), status.status.to_string(), count(status.count), share(of_all)]
        })
        .collect();
    let table = table(&["step", "status", "answers", "of all answers"], &rows, &[]);
    format!("<h3>Statuses</h3>\n{table}{}", left_out(all, ROWS_MAX, "statuses"))
}

fn failures(steps: &[&StepReport]) -> String {
    let all: usize = steps.iter().map(|step| step.failures.len()).sum();
    if all == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .flat_map(|step| step.failures.iter().map(move |failure| (step, failure)))
        .take(ROWS_MAX)
        .map(|(step, failure)| {
            let status = if failure.status == 0 { "-".to_owned() } else { failure.status.to_string() };
            let sample = failure.sample.as_deref().unwrap_or("-");
            vec![
                escape(&step.name, NAME_CHARACTERS),
                failure.kind.name().to_owned(),
                status,
                count(failure.count),
                format!("<code>{}</code>", escape(sample, TEXT_CHARACTERS)),
            ]
        })
        .collect();
    let table = table(&["step", "failure", "status", "count", "one of them"], &rows, &[1, 4]);
    format!("<h3>Failures</h3>\n{table}{}", left_out(all, ROWS_MAX, "kinds of failure"))
}

fn checks(steps: &[&StepReport]) -> String {
    let all: usize = steps.iter().map(|step| step.checks.len()).sum();
    if all == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .flat_map(|step| step.checks.iter().map(move |check| (step, check)))
        .take(ROWS_MAX)
        .map(|(step, check)| {
            let made = check.passed.saturating_add(check.failed);
            vec![
                escape(&step.name, NAME_CHARACTERS),
                escape(&check.name, NAME_CHARACTERS),
                count(check.passed),
                notable(check.failed),
                share(check.failed as f64 / made.max(1) as f64),
            ]
        })
        .collect();
    let table = table(&["step", "check", "passed", "failed", "of all"], &rows, &[1]);
    format!("<h3>Checks</h3>\n{table}{}", left_out(all, ROWS_MAX, "checks"))
}

fn hosts(steps: &[&StepReport]) -> String {
    // One alone did what the step did.
    let told = || steps.iter().filter(|step| step.hosts.len() > 1);
    let all: usize = told().map(|step| step.hosts.len()).sum();
    if all == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = told()
        .flat_map(|step| step.hosts.iter().map(move |host| (step, host)))
        .take(ROWS_MAX)
        .map(|(step, host)| {
            let ended = step.succeeded.saturating_add(step.failed);
            vec![
                escape(&step.name, NAME_CHARACTERS),
                escape(&host.host, NAME_CHARACTERS),
                count(host.succeeded),
                notable(host.failed),
                share((host.succeeded + host.failed) as f64 / ended.max(1) as f64),
                host.mean_service_ns().map_or_else(|| "-".to_owned(), duration_f64),
            ]
        })
        .collect();
    let table = table(&["step", "host", "succeeded", "failed", "of all", "mean service"], &rows, &[1]);
    format!("<h3>Hosts</h3>\n{table}{}", left_out(all, ROWS_MAX, "hosts"))
}

pub(crate) fn tracks(report: &Report) -> String {
    if report.tracks.is_empty() {
        return String::new();
    }
    let escaped = |row: Vec<String>| row.iter().map(|cell| escape(cell, NAME_CHARACTERS)).collect();
    let rows: Vec<Vec<String>> = report.tracks.iter().take(ROWS_MAX).map(track_row).map(escaped).collect();
    let left = left_out(report.tracks.len(), ROWS_MAX, "tracks");
    format!("<section><h2>Messages</h2>{}{left}</section>", table(&TRACK_HEADING, &rows, &[]))
}

pub(crate) fn nodes(report: &Report) -> String {
    if report.nodes.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .nodes
        .iter()
        .take(ROWS_MAX)
        .map(|node| {
            let labels: Vec<String> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let lost = match &node.lost {
                Some(reason) => format!("<br><b class=\"bad\">lost: {}</b>", escape(reason, TEXT_CHARACTERS)),
                None => String::new(),
            };
            vec![
                format!("{}{lost}", escape(&node.name, NAME_CHARACTERS)),
                escape(&node.host, NAME_CHARACTERS),
                escape(&labels.join(" "), 400),
                node.shards.to_string(),
                count(node.offered),
                clock_words(node),
                duration_or_absent(node.lag_p99_ns),
                share(node.run_delay_share),
                duration(node.throttled_ns),
                bytes(node.resident_bytes_max),
                escape(&node.version, 40),
            ]
        })
        .collect();
    let heading = [
        "node",
        "host",
        "labels",
        "shards",
        "offered",
        "clock drift",
        "lag p99",
        "run delay",
        "throttled",
        "memory",
        "version",
    ];
    format!(
        "<section>\n<h2>Nodes</h2>\n{}{}</section>\n",
        table(&heading, &rows, &[1, 2]),
        left_out(report.nodes.len(), ROWS_MAX, "nodes")
    )
}

pub(crate) fn events(report: &Report) -> String {
    if report.events.is_empty() {
        return String::new();
    }
    let half = EVENTS_MAX / 2;
    let all = report.events.len();
    let zero = report.started_unix_ms.unwrap_or(report.submitted_unix_ms);
    let mut out = String::from("<section>\n<h2>Events</h2>\n<ol class=\"events\" tabindex=\"0\">\n");
    for (index, event) in report.events.iter().enumerate() {
        if all > EVENTS_MAX && index == half {
            let _ = writeln!(out, "<li class=\"note\">{} events are not shown</li>", count((all - EVENTS_MAX) as u64));
        }
        if all > EVENTS_MAX && index >= half && index < all - half {
            continue;
        }
        let after_ms = event.at_unix_ms as f64 - zero as f64;
        let sign = if after_ms > 0.0 { "+" } else { "" };
        let data: Vec<String> = event.data.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let data =
            if data.is_empty() { String::new() } else { format!(" <small>{}</small>", escape(&data.join(" "), 400)) };
        let _ = writeln!(
            out,
            "<li class=\"{kind}\"><time title=\"{}\">{sign}{}</time><span class=\"kind\">{kind}</span><span>{}{data}</span></li>",
            utc(event.at_unix_ms),
            duration_f64(after_ms * 1e6),
            escape(&event.message, TEXT_CHARACTERS),
            kind = event.kind.name(),
        );
    }
    out.push_str("</ol>\n</section>\n");
    out
}

pub(crate) fn metadata(report: &Report) -> String {
    let Some(spec) = report.spec.as_ref().filter(|spec| !spec.metadata.is_empty()) else { return String::new() };
    let rows: Vec<Vec<String>> = spec
        .metadata
        .iter()
        .take(ROWS_MAX)
        .map(|(name, value)| vec![escape(name, NAME_CHARACTERS), escape(value, TEXT_CHARACTERS)])
        .collect();
    format!(
        "<section>\n<h2>Metadata</h2>\n{}{}</section>\n",
        table(&["name", "value"], &rows, &[1]),
        left_out(spec.metadata.len(), ROWS_MAX, "metadata entries")
    )
}
