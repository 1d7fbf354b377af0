//! One experiment: the same page while it runs and afterwards. The report is the same sections, saved.

use nuncius_report::format::{headline, utc};
use nuncius_report::html::{self, escape, tone};
use nuncius_report::traces::TraceView;
use nuncius_schemas::head::{ExperimentHead, shown_tags};
use nuncius_schemas::report::{GateReport, Report};

use crate::frame::{Frame, frame, part};
use crate::{steer, tags};

/// Longest reason in the head, in characters.
const REASON_CHARACTERS: usize = 2_000;

/// The page of an experiment that has ended, with its report.
pub fn ended(within: &Frame, report: &Report, view: Option<&TraceView>) -> String {
    let id = &report.id;
    let mut body = html::sections(report, view, &[], &charts(within, id, false, lag_limit_ns(report)));
    body.push_str("<section>\n<h2>Take it along</h2>\n<p class=\"links\">\n");
    for (path, name) in [("report.html", "report as one file"), ("report", "as JSON"), ("export", "everything as JSON")]
    {
        let link = within.path(&format!("/api/v1/experiments/{id}/{path}"));
        body.push_str(&format!("<a href=\"{link}\">{name}</a>\n"));
    }
    let trend = within.path(&format!("/experiments/{}", part(&report.name)));
    body.push_str(&format!("<a href=\"{trend}\">all runs of this name</a>\n</p>\n"));
    let tags = report.spec.as_ref().map(|spec| tags::links(within, &shown_tags(&spec.metadata))).unwrap_or_default();
    if !tags.is_empty() {
        body.push_str(&format!("<p>Others with the same tag: {tags}</p>\n"));
    }
    body.push_str("</section>\n");
    if within.may_administer {
        body.push_str(&removal(within, id));
    }
    frame(within, &format!("{} {}", headline(report.status, report.verdict), report.name), "/runs", &body)
}

/// An experiment that goes on.
#[derive(Debug, Clone)]
pub struct Live {
    /// What lists say of it.
    pub head: ExperimentHead,
    /// How its gates stand.
    pub gates: Vec<GateReport>,
    /// What lag makes it doubtful, in nanoseconds.
    pub lag_limit_ns: u64,
    /// Names of its groups, where they are known.
    pub groups: Vec<String>,
}

fn lag_limit_ns(report: &Report) -> u64 {
    report.spec.as_ref().map_or(0, |spec| spec.lag_limit.0)
}

/// The page of an experiment that goes on.
pub fn live(within: &Frame, live: &Live) -> String {
    let head = &live.head;
    let tone = tone(head.status, head.verdict);
    let tags = tags::links(within, &head.tags);
    let tags = if tags.is_empty() { tags } else { format!("<div><dt>tags</dt><dd>{tags}</dd></div>\n") };
    let mut body = format!(
        "<header class=\"{tone}\" data-live=\"{id}\">\n<div class=\"headline\"><span class=\"badge {tone}\" data-status>{}\
         </span><h1>{}</h1></div>\n<p class=\"reason\" data-told role=\"status\">{}</p>\n\
         <progress data-progress aria-label=\"Progress\" hidden></progress>\n<dl class=\"facts\">\n\
         <div><dt>experiment</dt><dd>{id}</dd></div>\n<div><dt>target</dt><dd>{}</dd></div>\n\
         <div><dt>submitted</dt><dd>{}</dd></div>\n{tags}</dl>\n</header>\n",
        escape(head.status.name(), 40),
        escape(&head.name, 200),
        escape(head.reason.as_deref().unwrap_or("under way"), REASON_CHARACTERS),
        escape(head.target.as_deref().unwrap_or("–"), 200),
        utc(head.submitted_unix_ms),
        id = escape(&head.id, 128),
    );
    body.push_str(TILES);
    body.push_str(&format!("<div id=\"gates\" data-refresh>\n{}</div>\n", html::gates(&live.gates, false)));
    body.push_str(&charts(within, &head.id, true, live.lag_limit_ns));
    body.push_str(
        "<section>\n<h2>Steps</h2>\n<div data-steps><p class=\"note\">Nothing has been told yet.</p></div>\n",
    );
    body.push_str("</section>\n<section>\n<h2>Events</h2>\n");
    body.push_str("<ol class=\"events\" tabindex=\"0\" data-happened></ol>\n</section>\n");
    if within.may_change {
        body.push_str(&controls(within, &head.id, &live.groups));
    }
    frame(within, &format!("{} {}", head.status.name(), head.name), "/runs", &body)
}

/// The figures that everybody asks for first, filled in by the script.
const TILES: &str = "<section class=\"cards\" data-tiles>\n\
    <div class=\"card\"><h3>offered</h3><b data-tile=\"offered\">–</b><span data-tile=\"deficit\">of what is scheduled</span></div>\n\
    <div class=\"card\"><h3>succeeded</h3><b data-tile=\"succeeded\">–</b><span>up to now</span></div>\n\
    <div class=\"card\"><h3>failed</h3><b data-tile=\"failed\">–</b><span data-tile=\"failed_share\">up to now</span></div>\n\
    <div class=\"card\"><h3>p99</h3><b data-tile=\"p99\">–</b><span>of the last second</span></div>\n\
    <div class=\"card\"><h3>lag p99</h3><b data-tile=\"lag\">–</b><span>the generator's own delay</span></div>\n\
    <div class=\"card\"><h3>in flight</h3><b data-tile=\"in_flight\">–</b><span>at the end of the second</span></div>\n\
    </section>\n<noscript><p class=\"missing\">Without a script this page does not follow: load it anew.</p></noscript>\n";

/// Where the script draws: from the series of the interface, and from what is told live.
fn charts(within: &Frame, id: &str, is_live: bool, lag_limit_ns: u64) -> String {
    let at = |what: &str| within.path(&format!("/api/v1/experiments/{id}/{what}"));
    let (series, nodes, events) = (at("series"), at("nodes"), at("events"));
    let stream = if is_live { format!(" data-stream=\"{}\"", at("live")) } else { String::new() };
    format!(
        "<section>\n<h2>Over time</h2>\n<div class=\"charts\" data-series=\"{series}\" data-nodes=\"{nodes}\" \
         data-events=\"{events}\" data-lag-limit=\"{lag_limit_ns}\"{stream}></div>\n\
         <details data-last>\n<summary>The last minute as a table</summary>\n<div></div>\n</details>\n\
         <noscript><p class=\"note\">Charts need a script.</p></noscript>\n</section>\n"
    )
}

/// A form that deletes it; whoever means it writes its id.
fn removal(within: &Frame, id: &str) -> String {
    let action = within.path(&format!("/runs/{id}/remove"));
    let id = escape(id, 128);
    format!(
        "<section>\n<h2>Delete</h2>\n<form method=\"post\" action=\"{action}\" class=\"filter\">\n\
         <label>Write {id} to confirm <input name=\"confirm\" required maxlength=\"64\" autocomplete=\"off\"></label>\n\
         <label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n\
         <button class=\"danger\">Delete the experiment</button>\n</form>\n\
         <p class=\"note\">Everything that is stored of it goes: report, seconds, records, telemetry. Who has deleted \
         it, and why, is kept.</p>\n</section>\n"
    )
}

fn controls(within: &Frame, id: &str, groups: &[String]) -> String {
    let action = within.path(&format!("/runs/{id}/cancel"));
    let load = steer::form(within, id, groups);
    format!(
        "<section>\n<h2>Control</h2>\n<h3>Change the load</h3>\n{load}<h3>End it at once</h3>\n\
         <form method=\"post\" action=\"{action}\" class=\"filter\">\n\
         <label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n\
         <button class=\"danger\">Cancel the experiment</button>\n</form>\n\
         <p class=\"note\">It reports what it has.</p>\n</section>\n"
    )
}
