//! Job queues, and what was given up in them.

use nuncius_report::format::{count, utc};
use nuncius_report::html::{escape, table};

use crate::frame::{Frame, frame};

/// One queue at a moment.
#[derive(Debug, Clone, Default)]
pub struct QueueLine {
    /// Its name.
    pub name: String,
    /// Whether it takes and gives jobs.
    pub state: String,
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs by how they ended: succeeded, failed, dead, dropped.
    pub ended: [u64; 4],
    /// Workers that take its jobs.
    pub workers: usize,
}

/// A job that was given up.
#[derive(Debug, Clone)]
pub struct DeadJob {
    /// The queue.
    pub queue: String,
    /// Identifier of the job.
    pub id: String,
    /// Who submitted it.
    pub client: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was given up, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// Why, for people.
    pub reason: String,
}

/// The page; `dead` are the latest of each queue, of which `dead_shown_max` are looked at.
pub fn page(within: &Frame, queues: &[QueueLine], dead: &[DeadJob], dead_shown_max: usize) -> String {
    let mut body = String::from("<h1 class=\"title\">Queues</h1>\n<section id=\"queues\" data-refresh>\n");
    if queues.is_empty() {
        body.push_str("<p class=\"note\">There is no queue. <code>nuncius queue create NAME</code> makes one.</p>\n");
    } else {
        body.push_str(&lines(queues));
    }
    body.push_str("</section>\n<div id=\"dead\" data-refresh>\n");
    if !dead.is_empty() {
        body.push_str(&given_up(within, dead, dead_shown_max));
    }
    body.push_str("</div>\n");
    if within.may_change && !queues.is_empty() {
        body.push_str(&states(within, queues));
    }
    frame(within, "Queues", "/queues", &body)
}

fn given_up(within: &Frame, dead: &[DeadJob], most: usize) -> String {
    let row = |job: &DeadJob| {
        let mut cells = vec![
            escape(&job.queue, 128),
            escape(&job.id, 128),
            escape(&job.client, 128),
            count(u64::from(job.attempts)),
            utc(job.at_unix_ms),
            escape(&job.reason, 400),
        ];
        if within.may_change {
            // The queue and the job are values, so that no name can lead elsewhere.
            let id = escape(&job.id, 128);
            let mark = format!(
                "<input type=\"checkbox\" name=\"job\" value=\"{}/{id}\" aria-label=\"Mark {id}\">",
                escape(&job.queue, 128)
            );
            cells.insert(0, mark);
        }
        cells
    };
    let rows: Vec<Vec<String>> = dead.iter().map(row).collect();
    let note = format!("<p class=\"note\">At most {most} of each queue are shown, the oldest first.</p>\n");
    let heading = ["queue", "job", "client", "attempts", "given up at", "why"];
    if !within.may_change {
        let list = table(&heading, &rows, &[1, 2, 4, 5]);
        return format!("<section class=\"stack dead\">\n<h2>Given up</h2>\n{list}{note}</section>\n");
    }
    let remove = match within.may_administer {
        true => "<button name=\"do\" value=\"remove\" class=\"danger\">Remove</button>\n",
        false => "",
    };
    let heading: Vec<&str> = std::iter::once("mark").chain(heading).collect();
    let list = table(&heading, &rows, &[1, 2, 3, 5, 6]);
    format!(
        "<section class=\"stack dead\">\n<h2>Given up</h2>\n<form method=\"post\" action=\"{}\">\n{list}\
         <div class=\"filter\">\n<label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n\
         <button name=\"do\" value=\"retry\">Run again</button>\n{remove}</div>\n</form>\n{note}</section>\n",
        within.path("/queues/dead")
    )
}

fn states(within: &Frame, queues: &[QueueLine]) -> String {
    let names: String = queues.iter().map(|queue| format!("<option>{}</option>", escape(&queue.name, 128))).collect();
    format!(
        "<section>\n<h2>Open, pause or drain</h2>\n<form method=\"post\" action=\"{}\" class=\"filter\">\n\
         <label>Queue <select name=\"queue\">{names}</select></label>\n\
         <label>State <select name=\"state\"><option>open</option><option>paused</option><option>draining</option>\
         </select></label>\n<label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n\
         <button>Set</button>\n</form>\n</section>\n",
        within.path("/queues/state")
    )
}

/// The queues as a table.
pub(crate) fn lines(queues: &[QueueLine]) -> String {
    let row = |queue: &QueueLine| {
        let [succeeded, failed, dead, dropped] = queue.ended;
        vec![
            escape(&queue.name, 128),
            escape(&queue.state, 40),
            count(queue.waiting),
            count(queue.running),
            count(succeeded),
            count(failed),
            count(dead),
            count(dropped),
            queue.workers.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = queues.iter().map(row).collect();
    let heading = ["queue", "state", "waiting", "running", "succeeded", "failed", "dead", "dropped", "workers"];
    table(&heading, &rows, &[1])
}
