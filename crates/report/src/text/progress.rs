//! The live view of a run: one line a second, or a block that is redrawn.

use nuncius_schemas::event::{NodeProgress, Progress};

use super::TextOptions;
use super::table::Paint;
use crate::format::{count, duration_or_absent, plain};

/// Nodes that the block names; of the others the worst lag is told.
const NODES_SHOWN: usize = 8;
/// Widest line, in columns.
const LINE_COLUMNS: usize = 100;

/// One second of a run in one line of at most 100 columns, without a newline.
pub fn progress_line(progress: &Progress) -> String {
    let line = format!(
        "{:>8}  offered {}/s  answered {}/s  failed {}  in flight {}  p50 {} p95 {} p99 {}",
        position(progress),
        count(progress.offered),
        count(progress.answered),
        count(progress.failed),
        count(progress.in_flight),
        duration_or_absent(progress.response_p50_ns),
        duration_or_absent(progress.response_p95_ns),
        duration_or_absent(progress.response_p99_ns),
    );
    if line.chars().count() <= LINE_COLUMNS {
        return line;
    }
    // Very large numbers: shorter words rather than missing figures.
    let line = format!(
        "{} off {}/s ans {}/s fail {} fly {} p50 {} p95 {} p99 {}",
        position(progress),
        short(progress.offered),
        short(progress.answered),
        short(progress.failed),
        short(progress.in_flight),
        duration_or_absent(progress.response_p50_ns),
        duration_or_absent(progress.response_p95_ns),
        duration_or_absent(progress.response_p99_ns),
    );
    plain(&line, LINE_COLUMNS)
}

/// The block that `watch` redraws: where the run is, this second, the totals, and every node's lag. Ends with a newline.
pub fn progress_block(progress: &Progress, options: TextOptions) -> String {
    let paint = Paint(options.colour);
    let width = options.width.clamp(40, LINE_COLUMNS);
    let mut out = paint.bold(&format!("{} {}", plain(&progress.experiment, 64), progress.status.name()));
    out.push_str(&format!("  {}\n", position(progress)));
    if let Some(total) = progress.seconds_total.filter(|total| *total > 0) {
        let done = (f64::from(progress.second.saturating_add(1).min(total)) / f64::from(total)).clamp(0.0, 1.0);
        let cells = width.saturating_sub(12).min(60);
        let full = (done * cells as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(cells.saturating_sub(full)));
        out.push_str(&format!("  {bar} {:>3.0} %\n", done * 100.0));
    }
    let failed = format!("{} failed", count(progress.failed));
    let failed = if progress.failed > 0 { paint.with("31", &failed) } else { failed };
    out.push_str(&format!(
        "  now    {} offered/s, {} answered/s, {failed}, {} in flight\n",
        count(progress.offered),
        count(progress.answered),
        count(progress.in_flight)
    ));
    out.push_str(&format!(
        "         response p50 {}  p95 {}  p99 {}\n",
        duration_or_absent(progress.response_p50_ns),
        duration_or_absent(progress.response_p95_ns),
        duration_or_absent(progress.response_p99_ns)
    ));
    out.push_str(&format!(
        "  total  {} offered, {} succeeded, {} failed, {} censored\n",
        count(progress.offered_total),
        count(progress.succeeded_total),
        count(progress.failed_total),
        count(progress.censored_total)
    ));
    out.push_str(&node_lines(&progress.nodes));
    out
}

/// `seconds past/total`.
fn position(progress: &Progress) -> String {
    match progress.seconds_total {
        Some(total) => format!("{}/{total}s", progress.second.saturating_add(1)),
        None => format!("{}s", progress.second.saturating_add(1)),
    }
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

fn node_lines(nodes: &[NodeProgress]) -> String {
    let mut worst: Vec<&NodeProgress> = nodes.iter().collect();
    if worst.len() > NODES_SHOWN {
        worst.sort_by_key(|node| std::cmp::Reverse(node.lag_p99_ns));
    }
    let mut out = String::new();
    for node in worst.iter().take(NODES_SHOWN) {
        out.push_str(&format!(
            "  {:<28}  {:>9} offered/s  {:>9} in flight  lag p99 {}\n",
            plain(&node.node, 28),
            count(node.offered),
            count(node.in_flight),
            duration_or_absent(node.lag_p99_ns)
        ));
    }
    let hidden = worst.get(NODES_SHOWN..).unwrap_or_default();
    if let Some(lag) = hidden.iter().filter_map(|node| node.lag_p99_ns).max() {
        out.push_str(&format!("  and {} more, lag p99 at most {}\n", hidden.len(), duration_or_absent(Some(lag))));
    } else if !hidden.is_empty() {
        out.push_str(&format!("  and {} more\n", hidden.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncius_schemas::run::RunStatus;

    fn progress() -> Progress {
        Progress {
            experiment: "e12".to_owned(),
            status: RunStatus::Running,
            second: 11,
            seconds_total: Some(60),
            offered: 1_000,
            answered: 998,
            failed: 2,
            in_flight: 14,
            offered_total: 12_000,
            succeeded_total: 11_990,
            failed_total: 4,
            censored_total: 0,
            response_p50_ns: Some(1_200_000),
            response_p95_ns: Some(3_400_000),
            response_p99_ns: None,
            nodes: vec![NodeProgress {
                node: "n1".to_owned(),
                offered: 1_000,
                in_flight: 14,
                lag_p99_ns: Some(55_000),
            }],
        }
    }

    #[test]
    fn the_live_line_says_what_matters_in_100_columns() {
        assert_eq!(
            progress_line(&progress()),
            "  12/60s  offered 1,000/s  answered 998/s  failed 2  in flight 14  p50 1.20ms p95 3.40ms p99 -"
        );
        let mut huge = progress();
        (huge.offered, huge.answered, huge.failed, huge.in_flight) = (u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        (huge.second, huge.seconds_total) = (u32::MAX, Some(u32::MAX));
        assert!(progress_line(&huge).chars().count() <= 100);
    }

    #[test]
    fn the_live_block_names_the_worst_nodes_and_counts_the_rest() {
        let mut many = progress();
        many.nodes = (0..20u64)
            .map(|i| NodeProgress { node: format!("n{i}"), offered: i, in_flight: 0, lag_p99_ns: Some(i * 1_000) })
            .collect();
        let text = progress_block(&many, TextOptions::default());
        assert!(text.contains("  n19 "), "{text}");
        assert!(!text.contains("  n3 "), "{text}");
        assert!(text.contains("and 12 more, lag p99 at most 11.0µs"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
