//! What happened: in one experiment, and in all of them.

use nuncius_report::format::utc;
use nuncius_report::html::{escape, table};
use nuncius_schemas::event::{EventKind, ExperimentEvent};

use crate::frame::{Frame, frame};

/// Kinds of events that a form may ask for.
const KINDS: [EventKind; 7] = [
    EventKind::Status,
    EventKind::Gate,
    EventKind::Node,
    EventKind::Control,
    EventKind::Warning,
    EventKind::Experiment,
    EventKind::User,
];

/// What somebody changed beside experiments.
#[derive(Debug, Clone)]
pub struct Changed {
    /// When, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// Who, as far as it is known.
    pub who: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub what: String,
    /// Why; empty where nobody said.
    pub reason: String,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// A kind by name.
    pub kind: Option<String>,
    /// Text in the experiment or the message.
    pub text: Option<String>,
}

/// The page of one experiment.
pub fn page(within: &Frame, id: &str, events: &[ExperimentEvent]) -> String {
    let mut body = format!(
        "<h1 class=\"title\">Events of <a href=\"{}\">{}</a></h1>\n<section>\n",
        within.path(&format!("/runs/{id}")),
        escape(id, 128)
    );
    let row =
        |event: &ExperimentEvent| vec![at(event.at_unix_ms), event.kind.name().to_owned(), escape(&event.message, 600)];
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    body.push_str(&table(&["at", "kind", "what"], &rows, &[1, 2]));
    body.push_str("</section>\n");
    frame(within, "Events", "/events", &body)
}

/// The page of all: the latest first. `looked_at` is how many of the latest were looked at; `changed` is absent where
/// that cannot be known.
pub fn all(
    within: &Frame,
    events: &[ExperimentEvent],
    changed: Option<&[Changed]>,
    filter: &EventFilter,
    looked_at: usize,
) -> String {
    let mut body = String::from("<h1 class=\"title\">Events</h1>\n");
    body.push_str(&form(within, filter));
    body.push_str("<section id=\"events\" class=\"tall\" data-refresh>\n<h2>Of experiments</h2>\n");
    if events.is_empty() {
        body.push_str("<p class=\"note\">None.</p>\n");
    } else {
        let row = |event: &ExperimentEvent| {
            let id = escape(&event.experiment, 128);
            vec![
                at(event.at_unix_ms),
                event.kind.name().to_owned(),
                format!("<a href=\"{}\">{id}</a>", within.path(&format!("/runs/{}", event.experiment))),
                escape(&event.message, 600),
            ]
        };
        let rows: Vec<Vec<String>> = events.iter().map(row).collect();
        body.push_str(&table(&["at", "kind", "experiment", "what"], &rows, &[1, 2, 3]));
    }
    body.push_str(&format!("<p class=\"note\">Of the last {looked_at} events that the bus has.</p>\n</section>\n"));
    if let Some(changed) = changed {
        body.push_str(&changes(changed));
    }
    frame(within, "Events", "/events", &body)
}

/// A time that stays on its line.
fn at(unix_ms: u64) -> String {
    format!("<time>{}</time>", utc(unix_ms))
}

fn changes(changed: &[Changed]) -> String {
    let mut body = String::from(
        "<section id=\"changes\" class=\"tall\" data-refresh>\n<h2>Submitted, deleted, and changed beside them</h2>\n",
    );
    if changed.is_empty() {
        body.push_str("<p class=\"note\">None.</p>\n");
    } else {
        let row = |change: &Changed| {
            vec![
                at(change.at_unix_ms),
                escape(change.who.as_deref().unwrap_or("anybody here"), 64),
                escape(&change.action, 64),
                escape(&change.what, 200),
                escape(&change.reason, 500),
            ]
        };
        let rows: Vec<Vec<String>> = changed.iter().map(row).collect();
        body.push_str(&table(&["at", "who", "did", "what", "why"], &rows, &[1, 2, 3, 4]));
    }
    body.push_str("</section>\n");
    body
}

fn form(within: &Frame, filter: &EventFilter) -> String {
    let kinds: String = KINDS
        .iter()
        .map(|kind| {
            let selected = if filter.kind.as_deref() == Some(kind.name()) { " selected" } else { "" };
            format!("<option{selected}>{}</option>", kind.name())
        })
        .collect();
    format!(
        "<form method=\"get\" action=\"{}\" class=\"filter\">\n\
         <label>Kind <select name=\"kind\"><option value=\"\">any</option>{kinds}</select></label>\n\
         <label>Text <input type=\"search\" name=\"text\" value=\"{}\" maxlength=\"200\"></label>\n\
         <button>Show</button>\n</form>\n",
        within.path("/events"),
        escape(filter.text.as_deref().unwrap_or(""), 200)
    )
}
