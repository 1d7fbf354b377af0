//! The live view of a run: rows of fixed columns for pipes and files, or a block that a terminal redraws.
//!
//! Both are made of merged seconds. The block fits any terminal: what there is no room for goes, the weightiest last.

use nuncius_schemas::second::{Counts, Distribution, ExperimentSecond, GroupSecond, NodeSecond, StepSecond};
use nuncius_stats::second::add_distribution;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::TextOptions;
use super::table::Paint;
use crate::format::{ABSENT, count, duration_or_absent, failure_words, plain};

/// Nodes that the block names; of the others the worst lag is told.
const NODES_SHOWN: usize = 8;
/// Groups that the block names.
const GROUPS_SHOWN: usize = 16;
/// Kinds of failure that the block names.
const FAILURES_SHOWN: usize = 6;
/// Columns of a group's name in rows.
const NAME_COLUMNS: usize = 20;
/// Narrowest terminal that is written for.
const WIDTH_MIN: usize = 20;

/// The heading of the rows that [`progress_rows`] gives.
pub fn progress_heading() -> String {
    let mut out = format!("{:>12}  {:<NAME_COLUMNS$}", "second", "group");
    for (heading, width, _) in COLUMNS {
        out.push_str(&format!("  {heading:>width$}"));
    }
    out
}

/// One second of a run: a row for each group, of columns that never change their width, without newlines.
pub fn progress_rows(second: &ExperimentSecond) -> Vec<String> {
    let groups = second.groups.iter().map(|group| {
        let cells = Cells::of(group);
        let mut out = format!("{:>12}  {:<NAME_COLUMNS$}", position(second), plain(&group.name, NAME_COLUMNS));
        for (_, width, of) in COLUMNS {
            out.push_str(&format!("  {:>width$}", fitted(&of(&cells), width)));
        }
        out
    });
    groups.collect()
}

/// The block that a terminal of `columns` × `rows` redraws, of lines that each fit. In the first: where the run is;
/// then each group, the totals, failures by kind, and every node's lag.
pub fn progress_block(second: &ExperimentSecond, options: TextOptions, rows: usize) -> String {
    let paint = Paint(options.colour);
    let width = options.width.max(WIDTH_MIN);
    let mut lines = Vec::new();
    // Where it is comes first: at the narrowest there is no room for more.
    let place = format!("{} {}  {}", position(second), second.status.name(), second.experiment);
    lines.push(paint.bold(&cut(&place, width)));
    if let Some(total) = second.seconds_total.filter(|total| *total > 0 && width >= 30) {
        let done = (f64::from(second.second.saturating_add(1).min(total)) / f64::from(total)).clamp(0.0, 1.0);
        let cells = (width - 9).min(60);
        let full = (done * cells as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(cells.saturating_sub(full)));
        lines.push(format!("  {bar} {:>3.0} %", done * 100.0));
    }
    lines.extend(group_lines(second, paint, width));
    lines.extend(total_lines(second, width));
    lines.extend(failure_lines(second, paint, width));
    lines.extend(node_lines(&second.nodes, width));
    // A block that is higher than the terminal could not be drawn over itself.
    lines.truncate(rows.saturating_sub(1).max(1));
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

/// What is shown of a group in a second.
struct Cells {
    /// Iterations taken from the schedule, or begun.
    iterations: u64,
    /// Requests that ended.
    requests: u64,
    failed: u64,
    in_flight: u64,
    latency: Distribution,
    of: &'static str,
}

/// A column: its heading, its width, and what stands in it.
type Column = (&'static str, usize, fn(&Cells) -> String);

const COLUMNS: [Column; 8] = [
    ("iterations/s", 12, |cells| count(cells.iterations)),
    ("requests/s", 11, |cells| count(cells.requests)),
    ("failed/s", 9, |cells| count(cells.failed)),
    ("in flight", 10, |cells| count(cells.in_flight)),
    ("p50", 7, |cells| duration_or_absent(cells.latency.p50_ns)),
    ("p95", 7, |cells| duration_or_absent(cells.latency.p95_ns)),
    ("p99", 7, |cells| duration_or_absent(cells.latency.p99_ns)),
    ("of", 8, |cells| cells.of.to_owned()),
];

/// Columns of the block with the width from which on each has room, in the order they stand.
const BLOCK: [(Column, usize); 8] = [
    (("iter/s", 8, |cells| count(cells.iterations)), 34),
    (("req/s", 8, |cells| count(cells.requests)), 20),
    (("failed/s", 8, |cells| count(cells.failed)), 44),
    (("flying", 8, |cells| count(cells.in_flight)), 72),
    (("p50", 7, |cells| duration_or_absent(cells.latency.p50_ns)), 82),
    (("p95", 7, |cells| duration_or_absent(cells.latency.p95_ns)), 62),
    (("p99", 7, |cells| duration_or_absent(cells.latency.p99_ns)), 53),
    (("of", 8, |cells| cells.of.to_owned()), 94),
];

impl Cells {
    fn of(group: &GroupSecond) -> Self {
        let response = group.iteration().map(|step| step.response.clone()).filter(|response| response.count > 0);
        let (latency, of) = match response {
            Some(response) => (response, "response"),
            // Without a planned instant: the service of all steps; where nothing succeeded, of what failed.
            None => {
                let service = sum_of(group, |step| &step.service);
                let failed = sum_of(group, |step| &step.failed_service);
                match (service.count, failed.count) {
                    (1.., _) => (service, "service"),
                    (0, 1..) => (failed, "failed"),
                    (0, 0) => (service, ABSENT),
                }
            }
        };
        Self {
            iterations: group.iteration().map_or(0, |step| step.offered),
            requests: group.steps.iter().map(|step| step.succeeded + step.failed).sum(),
            failed: group.steps.iter().map(|step| step.failed).sum(),
            in_flight: group.iteration().map_or(0, |step| step.in_flight),
            latency,
            of,
        }
    }
}

/// A distribution over all steps of a group.
fn sum_of(group: &GroupSecond, of: fn(&StepSecond) -> &Distribution) -> Distribution {
    let mut sum = Distribution::default();
    for step in &group.steps {
        // What the daemon made is readable; of what is not, nothing is shown.
        let _ = add_distribution(&mut sum, of(step));
    }
    sum
}

/// `seconds past/total`, and how many seconds beyond the load's end.
fn position(second: &ExperimentSecond) -> String {
    let past = second.second.saturating_add(1);
    match second.seconds_total {
        Some(total) if past > total => format!("{total}/{total}s+{}", past - total),
        Some(total) => format!("{past}/{total}s"),
        None => format!("{past}s"),
    }
}

/// A number in at most `width` characters: shortened rather than cut.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().map_or_else(|_| plain(text, width), short)
}

/// A count in at most five characters.
fn short(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["", "k", "M", "G", "T"] {
        if value < 999.5 {
            return if unit.is_empty() || value >= 99.95 {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1_000.0;
    }
    format!("{value:.0}P")
}

/// `text` in at most `width` columns of a terminal.
fn cut(text: &str, width: usize) -> String {
    let mut columns = 0;
    plain(text, width.max(1))
        .chars()
        .take_while(|c| {
            columns += c.width().unwrap_or(0);
            columns <= width
        })
        .collect()
}

fn group_lines(second: &ExperimentSecond, paint: Paint, width: usize) -> Vec<String> {
    let columns: Vec<Column> = BLOCK.iter().filter(|(_, from)| width >= *from).map(|(column, _)| *column).collect();
    let taken: usize = columns.iter().map(|(_, width, _)| width + 1).sum();
    let name_width = width.saturating_sub(taken + 2).clamp(1, 24);
    let mut heading = format!("  {:<name_width$}", "");
    columns.iter().for_each(|(name, width, _)| heading.push_str(&format!(" {name:>width$}")));
    let mut lines = vec![paint.dim(&cut(&heading, width))];
    for group in second.groups.iter().take(GROUPS_SHOWN) {
        let cells = Cells::of(group);
        let name = cut(&group.name, name_width);
        // Padded by columns, not by characters.
        let mut line = format!("  {name}{}", " ".repeat(name_width.saturating_sub(name.width())));
        for (_, width, of) in &columns {
            line.push_str(&format!(" {:>width$}", fitted(&of(&cells), *width)));
        }
        let line = cut(&line, width);
        lines.push(if cells.failed > 0 { paint.with("31", &line) } else { line });
    }
    let hidden = second.groups.len().saturating_sub(GROUPS_SHOWN);
    if hidden > 0 {
        lines.push(cut(&format!("  and {hidden} more groups"), width));
    }
    lines
}

fn total_lines(second: &ExperimentSecond, width: usize) -> Vec<String> {
    let sum = |of: fn(&GroupSecond) -> &Counts| {
        second.groups.iter().map(of).fold(Counts::default(), |sum, counts| Counts {
            offered: sum.offered + counts.offered,
            sent: sum.sent + counts.sent,
            succeeded: sum.succeeded + counts.succeeded,
            failed: sum.failed + counts.failed,
            censored: sum.censored + counts.censored,
        })
    };
    let iterations = sum(|group| &group.so_far.iterations);
    let requests = sum(|group| &group.so_far.requests);
    let words = [
        format!("{} iterations", count(iterations.offered)),
        format!("{} requests sent", count(requests.sent)),
        format!("{} succeeded", count(requests.succeeded)),
        format!("{} failed", count(requests.failed)),
        format!("{} censored", count(requests.censored)),
    ];
    wrapped("so far", &words, width)
}

/// Words, one after the other, in as many lines as they need.
fn wrapped(label: &str, words: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = format!("  {label}");
    for (index, word) in words.iter().enumerate() {
        let comma = if index == 0 { " " } else { ", " };
        if line.chars().count() + comma.len() + word.chars().count() < width {
            line.push_str(comma);
        } else {
            lines.push(cut(&line, width));
            line = "  ".to_owned();
        }
        line.push_str(word);
    }
    lines.push(cut(&line, width));
    lines
}

fn failure_lines(second: &ExperimentSecond, paint: Paint, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &second.groups {
        for failure in &group.so_far.failures {
            let text = format!(
                "  {} failed {}",
                group.name,
                failure_words(failure.kind, failure.status, failure.count, failure.sample.as_deref())
            );
            lines.push((failure.count, paint.with("31", &cut(&text, width))));
        }
    }
    lines.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    lines.into_iter().take(FAILURES_SHOWN).map(|(_, line)| line).collect()
}

fn node_lines(nodes: &[NodeSecond], width: usize) -> Vec<String> {
    let mut worst: Vec<&NodeSecond> = nodes.iter().collect();
    if worst.len() > NODES_SHOWN {
        worst.sort_by_key(|node| std::cmp::Reverse(node.lag_p99_ns));
    }
    let name_width = (width / 3).clamp(6, 28);
    let mut lines = Vec::new();
    for node in worst.iter().take(NODES_SHOWN) {
        let mut line =
            format!("  {:<name_width$} lag p99 {}", plain(&node.node, name_width), duration_or_absent(node.lag_p99_ns));
        line.push_str(&format!(", {} iterations/s, {} in flight", count(node.offered), count(node.in_flight)));
        lines.push(cut(&line, width));
    }
    let hidden = worst.get(NODES_SHOWN..).unwrap_or_default();
    if let Some(lag) = hidden.iter().filter_map(|node| node.lag_p99_ns).max() {
        let text = format!("  and {} more, lag p99 at most {}", hidden.len(), duration_or_absent(Some(lag)));
        lines.push(cut(&text, width));
    } else if !hidden.is_empty() {
        lines.push(cut(&format!("  and {} more", hidden.len()), width));
    }
    lines
}

#[cfg(test)]
mod tests;
