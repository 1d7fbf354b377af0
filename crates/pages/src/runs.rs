//! The list of experiments.

use nuncius_report::format::{count, duration_f64, headline, utc};
use nuncius_report::html::{escape, table, tone};
use nuncius_schemas::head::ExperimentHead;
use nuncius_schemas::run::RunStatus;

use crate::compare::COMPARED_MAX;
use crate::frame::{Frame, frame};
use crate::tags;

/// Longest reason in the list, in characters.
const REASON_CHARACTERS: usize = 160;
/// Longest name or target in the list, in characters.
const NAME_CHARACTERS: usize = 80;

/// What the list is of.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// The experiments, the latest submission first, each with its figures where they are known.
    pub experiments: Vec<(ExperimentHead, Figures)>,
    /// What was asked for, as it stands in the form.
    pub filter: Filter,
    /// The query of the next page; absent on the last.
    pub next: Option<String>,
    /// Daemons that did not answer: what they have stored is missing.
    pub silent: usize,
}

/// What a report says of a run in a few figures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// The largest p99 of its groups' iterations, in nanoseconds, and whether it is known from below only.
    pub p99: Option<(u64, bool)>,
    /// Iterations that succeeded per second, over all groups.
    pub succeeded_per_second: Option<f64>,
}

impl Figures {
    /// The p99 as a cell.
    pub(crate) fn p99_cell(&self) -> String {
        self.p99.map_or_else(
            || "–".to_owned(),
            |(p99_ns, at_least)| format!("{}{}", if at_least { "≥" } else { "" }, duration_f64(p99_ns as f64)),
        )
    }
}

/// What the form asks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Status by name.
    pub status: Option<String>,
    /// Verdict by name.
    pub verdict: Option<String>,
    /// The whole name.
    pub name: Option<String>,
    /// Who wanted it.
    pub creator: Option<String>,
    /// Tags, as they were written.
    pub tags: Vec<String>,
    /// Text in id, name, creator, target or reason.
    pub text: Option<String>,
}

/// The page.
pub fn page(within: &Frame, runs: &Runs) -> String {
    let mut body = String::from("<h1 class=\"title\">Runs</h1>\n");
    body.push_str(&form(within, &runs.filter));
    if runs.silent > 0 {
        body.push_str(&format!(
            "<p class=\"missing\" role=\"status\">{} daemons did not answer: what they have stored is not listed.</p>\n",
            runs.silent
        ));
    }
    if runs.experiments.is_empty() {
        body.push_str("<section><p class=\"note\">No experiment is here.</p></section>\n");
        return frame(within, "Runs", "/runs", &body);
    }
    body.push_str(&format!(
        "<form method=\"get\" action=\"{}\" data-compare=\"{COMPARED_MAX}\">\n<section class=\"stack heads marked\">\n\
         <input type=\"hidden\" name=\"baseline\" value=\"\" disabled>\n",
        within.path("/compare")
    ));
    let marked = |(head, figures): &(ExperimentHead, Figures)| {
        let id = escape(&head.id, 128);
        let mut cells = row(within, head);
        let mark = format!("<input type=\"checkbox\" name=\"id\" value=\"{id}\" aria-label=\"Mark {id}\">");
        cells.insert(0, mark);
        cells.insert(5, figures.p99_cell());
        cells
    };
    let rows: Vec<Vec<String>> = runs.experiments.iter().map(marked).collect();
    let heading = ["mark", "verdict", "experiment", "target", "offered", "p99", "submitted", "took", "why"];
    body.push_str(&table(&heading, &rows, &[1, 2, 3, 8]));
    body.push_str(&format!(
        "<p><button>Compare those that are marked</button> <span class=\"note\" data-marked role=\"status\">2 to \
         {COMPARED_MAX}: each against the one that was marked first, else against the earliest.</span></p>\n\
         </section>\n</form>\n"
    ));
    if let Some(next) = &runs.next {
        let link = within.path("/runs");
        body.push_str(&format!("<p><a rel=\"next\" href=\"{link}?{}\">Earlier ones</a></p>\n", escape(next, 2_000)));
    }
    frame(within, "Runs", "/runs", &body)
}

fn form(within: &Frame, filter: &Filter) -> String {
    let options = |chosen: &Option<String>, names: &[&str]| {
        let mut out = String::from("<option value=\"\">any</option>");
        for name in names {
            let selected = if chosen.as_deref() == Some(name) { " selected" } else { "" };
            out.push_str(&format!("<option{selected}>{name}</option>"));
        }
        out
    };
    // Another one can be added to those that were asked for.
    let tag = |tag: &str| {
        format!(
            "<label>Tag <input name=\"tag\" value=\"{}\" maxlength=\"129\" placeholder=\"name=value\"></label>\n",
            escape(tag, 200)
        )
    };
    let tags: String = filter.tags.iter().map(String::as_str).chain([""]).map(tag).collect();
    let statuses = ["submitted", "planned", "preparing", "running", "draining", "finished", "failed", "cancelled"];
    format!(
        "<form method=\"get\" action=\"{}\" class=\"filter\">\n\
         <label>Status <select name=\"status\">{}</select></label>\n\
         <label>Verdict <select name=\"verdict\">{}</select></label>\n\
         <label>Name <input name=\"name\" value=\"{}\" maxlength=\"200\"></label>\n\
         <label>Creator <input name=\"creator\" value=\"{}\" maxlength=\"200\"></label>\n\
         {tags}<label>Text <input type=\"search\" name=\"text\" value=\"{}\" maxlength=\"200\"></label>\n\
         <button>Show</button>\n</form>\n",
        within.path("/runs"),
        options(&filter.status, &statuses),
        options(&filter.verdict, &["pass", "undetermined", "fail", "invalid"]),
        escape(filter.name.as_deref().unwrap_or(""), 200),
        escape(filter.creator.as_deref().unwrap_or(""), 200),
        escape(filter.text.as_deref().unwrap_or(""), 200)
    )
}

/// A row of a table of experiments: verdict, experiment, target, offered, submitted, took, why.
pub(crate) fn row(within: &Frame, head: &ExperimentHead) -> Vec<String> {
    let id = escape(&head.id, 128);
    let offered = match (head.offered, head.scheduled) {
        (Some(offered), Some(scheduled)) if scheduled > 0 => format!("{} of {}", count(offered), count(scheduled)),
        (Some(offered), _) => count(offered),
        (None, _) => "–".to_owned(),
    };
    let took = match (head.started_unix_ms, head.ended_unix_ms) {
        (Some(started), Some(ended)) => duration_f64(ended.saturating_sub(started) as f64 * 1e6),
        (_, _) => "–".to_owned(),
    };
    vec![
        badge(head),
        format!(
            "<a href=\"{}\">{}</a><br><span class=\"note\">{id}{}</span>{}",
            within.path(&format!("/runs/{}", head.id)),
            escape(&head.name, NAME_CHARACTERS),
            head.creator.as_ref().map_or_else(String::new, |creator| format!(", {}", escape(creator, 64))),
            tagged(within, head)
        ),
        escape(head.target.as_deref().unwrap_or("–"), NAME_CHARACTERS),
        offered,
        utc(head.submitted_unix_ms),
        took,
        escape(head.reason.as_deref().unwrap_or(""), REASON_CHARACTERS),
    ]
}

fn tagged(within: &Frame, head: &ExperimentHead) -> String {
    let links = tags::first_links(within, &head.tags);
    if links.is_empty() { links } else { format!("<div class=\"tags\">{links}</div>") }
}

/// The verdict of an experiment, or where it is, in its colour.
pub(crate) fn badge(head: &ExperimentHead) -> String {
    let word = match head.status {
        RunStatus::Finished | RunStatus::Failed | RunStatus::Cancelled => headline(head.status, head.verdict),
        RunStatus::Submitted | RunStatus::Planned | RunStatus::Preparing | RunStatus::Running | RunStatus::Draining => {
            head.status.name().to_owned()
        }
    };
    format!("<span class=\"badge small {}\">{}</span>", tone(head.status, head.verdict), escape(&word, 40))
}
