//! What happens now.

use nuncius_report::format::{rate, utc};
use nuncius_report::html::{escape, table};
use nuncius_schemas::head::ExperimentHead;
use nuncius_schemas::node::{NodeInfo, Role};

use crate::frame::{Frame, frame};
use crate::queues::{self, QueueLine};
use crate::runs;

/// What there is at a moment.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// Everybody in the registry.
    pub nodes: Vec<NodeInfo>,
    /// Experiments that have not ended, each with what it offered and what succeeded in its last seconds, where that is
    /// known.
    pub running: Vec<(ExperimentHead, Vec<f64>)>,
    /// The last ones that have.
    pub ended: Vec<ExperimentHead>,
    /// Queues.
    pub queues: Vec<QueueLine>,
}

/// The page.
pub fn page(within: &Frame, now: &Now) -> String {
    let mut body = String::from("<h1 class=\"title\">Now</h1>\n<div id=\"now\" data-refresh>\n");
    body.push_str(&fleet(&now.nodes));
    body.push_str("<section class=\"stack heads\">\n<h2>Under way</h2>\n");
    if now.running.is_empty() {
        body.push_str("<p class=\"note\">No experiment waits or runs.</p>\n");
        if within.may_change {
            body.push_str(&format!(
                "<p><a class=\"button\" href=\"{}\">Start an example</a></p>\n",
                within.path("/new?example=smallest")
            ));
        }
    } else {
        body.push_str(&running(within, &now.running));
    }
    body.push_str("</section>\n");
    if !now.queues.is_empty() {
        body.push_str(&format!("<section>\n<h2>Queues</h2>\n{}</section>\n", queues::lines(&now.queues)));
    }
    body.push_str("<section class=\"stack heads ended\">\n<h2>Last verdicts</h2>\n");
    if now.ended.is_empty() {
        body.push_str("<p class=\"note\">None yet.</p>\n");
    } else {
        body.push_str(&experiments(within, &now.ended));
    }
    body.push_str("</section>\n</div>\n");
    frame(within, "Now", "/", &body)
}

fn experiments(within: &Frame, heads: &[ExperimentHead]) -> String {
    let row = |head: &ExperimentHead| {
        let mut cells = runs::row(within, head);
        // The bus does not know what was offered.
        cells.remove(3);
        cells
    };
    let rows: Vec<Vec<String>> = heads.iter().map(row).collect();
    table(&["verdict", "experiment", "target", "submitted", "took", "why"], &rows, &[1, 2, 5])
}

fn running(within: &Frame, running: &[(ExperimentHead, Vec<f64>)]) -> String {
    let row = |(head, rates): &(ExperimentHead, Vec<f64>)| {
        let mut cells = runs::row(within, head);
        // How long it took is not known yet, and what it offered is drawn.
        cells.splice(3..6, [sparkline(rates), utc(head.submitted_unix_ms)]);
        cells
    };
    let rows: Vec<Vec<String>> = running.iter().map(row).collect();
    table(&["status", "experiment", "target", "succeeded per second", "submitted", "why"], &rows, &[1, 2, 3, 5])
}

/// The last seconds as a line, with the last value beside it.
fn sparkline(rates: &[f64]) -> String {
    let most = rates.iter().copied().fold(0.0, f64::max);
    let Some(last) = rates.last() else { return "–".to_owned() };
    let (width, height) = (120.0, 24.0);
    let step = width / (rates.len().max(2) - 1) as f64;
    let mut line = String::new();
    for (index, rate) in rates.iter().enumerate() {
        let share = if most > 0.0 { rate / most } else { 0.0 };
        let y = height - 2.0 - share * (height - 4.0);
        line.push_str(&format!("{}{:.1} {y:.1}", if index == 0 { "M" } else { "L" }, index as f64 * step));
    }
    let last = rate(*last);
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Succeeded per second in the last {} seconds, {last} in the last\"><path d=\"{line}\"/></svg> \
         {last}",
        rates.len()
    )
}

/// How many of each role there are, and who works for something.
fn fleet(nodes: &[NodeInfo]) -> String {
    let mut out = String::from("<section class=\"cards\">\n");
    let count = |role: Role| nodes.iter().filter(|node| node.role == role).count();
    let busy = nodes.iter().filter(|node| node.role == Role::Client && node.experiment.is_some()).count();
    let cards = [
        ("client nodes", count(Role::Client), format!("{busy} at work"), count(Role::Client) == 0),
        ("daemons", count(Role::Experimentd), "take experiments".to_owned(), count(Role::Experimentd) == 0),
        ("workers", count(Role::Worker), "take jobs".to_owned(), false),
        ("processes", nodes.len(), "in the registry".to_owned(), false),
    ];
    for (name, number, note, is_notable) in cards {
        let class = if is_notable { "card notable" } else { "card" };
        out.push_str(&format!(
            "<div class=\"{class}\"><h3>{name}</h3><b>{number}</b><span>{}</span></div>\n",
            escape(&note, 80)
        ));
    }
    out.push_str("</section>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_reaches_from_edge_to_edge_and_nothing_is_no_line() {
        let svg = sparkline(&[0.0, 5.0, 10.0]);
        assert!(svg.contains("d=\"M0.0 22.0L60.0 12.0L120.0 2.0\"") && svg.ends_with(" 10.0/s"), "{svg}");
        assert!(sparkline(&[7.0]).contains("M0.0 2.0"));
        assert!(!sparkline(&[0.0, 0.0]).contains("NaN"));
        assert_eq!(sparkline(&[]), "–");
    }
}
