//! The statistics as plain text: a block for all requests, and bars of `#` for nodes, devices and pods.

use crate::queue_client::statistics::{Count, Counted, NodeReport, NodesReport, Overall, RunTimes, Timing};

/// Length of the bar of 100 %.
const BAR_CHARACTERS: u64 = 60;
/// What heads the requests that no node answered for.
const WITHOUT_NODE: &str = "(no node)";
/// What heads the nodes beyond the limit.
const OTHER_NODES: &str = "(other nodes)";

/// All requests together.
pub(in crate::queue_client) fn overall(overall: &Overall) -> String {
    let Overall { parallel, pending, failed, timed_out, successful, elapsed_seconds, .. } = overall;
    let mut out = header("All requests");
    out.push_str(&format!("\n{parallel} requests in parallel.\n\n"));
    out.push_str(&format!(
        "{pending} pending, {failed} failed ({timed_out} timed out) and {successful} successful in {elapsed_seconds:.1} seconds\n"
    ));
    out.push_str(&format!("= {:.2} successful requests per second.\n", overall.successful_per_second));
    let timings =
        [("run time", overall.run), ("queue wait", overall.wait), ("communication overhead", overall.overhead)];
    let timings: Vec<(&str, Timing)> = timings.into_iter().filter_map(|(name, timing)| Some((name, timing?))).collect();
    if !timings.is_empty() {
        out.push_str("\nSuccessful requests, in seconds, max / average / min:\n");
        for (name, timing) in &timings {
            let Timing { max_seconds, mean_seconds, min_seconds, .. } = timing;
            out.push_str(&format!("- {max_seconds:.3} / {mean_seconds:.3} / {min_seconds:.3} {name}\n"));
        }
        out.push_str("p99 / p90 / p50:\n");
        for (name, timing) in &timings {
            let Timing { p99_seconds, p90_seconds, p50_seconds, .. } = timing;
            out.push_str(&format!("- {p99_seconds:.3} / {p90_seconds:.3} / {p50_seconds:.3} {name}\n"));
        }
    }
    out.push_str(&format!(
        "\nHTTP queries: {} completed, {} rejected.\n",
        overall.http_completed, overall.http_rejected
    ));
    out
}

/// Each node: successes, failures, devices, run times and errors.
pub(in crate::queue_client) fn nodes(nodes: &NodesReport) -> String {
    let mut out = header("Node statistics");
    let all = headed(nodes);
    if all.is_empty() {
        out.push_str("\nNothing has ended yet.\n");
        return out;
    }
    let rows = |of: fn(&NodeReport) -> u64| all.iter().map(|(name, node)| (*name, of(node))).collect::<Vec<_>>();
    out.push_str(&bars("Node", "Successes", nodes.successful, &rows(|node| node.successful)));
    if nodes.failed > 0 {
        out.push_str(&bars("Node", "Failures", nodes.failed, &rows(|node| node.failed)));
        if nodes.without_node.as_ref().is_some_and(|node| node.failed == nodes.failed) {
            out.push_str("No node answered for any of them: they were refused, or lost on the way.\n");
        }
    }
    for (name, node) in &all {
        out.push_str(&header(&format!("Node: {name}")));
        out.push_str(&counted("Device", node.successful, &node.devices));
        out.push_str(&run_times(node));
        out.push_str(&errors(node));
    }
    out
}

/// The pods of each node.
pub(in crate::queue_client) fn pods(nodes: &NodesReport) -> String {
    let mut out = header("Pod statistics by node");
    let all = headed(nodes);
    if all.is_empty() {
        out.push_str("\nNothing has ended yet.\n");
    }
    for (name, node) in all {
        out.push_str(&header(&format!("Node: {name}")));
        let pods = counted("Pod", node.successful, &node.pods);
        out.push_str(if pods.is_empty() { "\nNo successes in a pod.\n" } else { &pods });
    }
    out
}

/// All nodes with their names, the sums last.
fn headed(nodes: &NodesReport) -> Vec<(&str, &NodeReport)> {
    let named = nodes.nodes.iter().map(|node| (node.name.as_str(), node));
    let other = nodes.other_nodes.iter().map(|node| (OTHER_NODES, node));
    let without = nodes.without_node.iter().map(|node| (WITHOUT_NODE, node));
    named.chain(other).chain(without).collect()
}

fn header(title: &str) -> String {
    format!("\n{title}\n{}\n", "=".repeat(title.chars().count()))
}

/// A bar chart; names are aligned to the right. Empty without rows.
fn bars(left: &str, right: &str, total: u64, rows: &[(&str, u64)]) -> String {
    let Some(longest) = rows.iter().map(|(name, _)| name.chars().count()).max() else { return String::new() };
    let width = longest.max(left.len());
    let mut out = format!("\n{left:>width$} | {right}:\n{}+{}\n", "-".repeat(width + 1), "-".repeat(right.len() + 2));
    if total == 0 {
        out.push_str("None\n");
        return out;
    }
    for (name, part) in rows {
        let percent = 100.0 * *part as f64 / total as f64;
        out.push_str(&format!("{name:>width$} | {} {percent:.1}% ({part})\n", bar(total, *part)));
    }
    out
}

fn bar(total: u64, part: u64) -> String {
    let rounded = u128::from(total / 2) + u128::from(BAR_CHARACTERS) * u128::from(part);
    let length = (rounded / u128::from(total.max(1))).min(u128::from(BAR_CHARACTERS));
    "#".repeat(length as usize)
}

fn counted(left: &str, total: u64, counted: &Counted) -> String {
    let mut rows: Vec<(&str, u64)> =
        counted.named.iter().map(|Count { name, count }| (name.as_str(), *count)).collect();
    if counted.other > 0 {
        rows.push(("(other)", counted.other));
    }
    bars(left, "Successes", total, &rows)
}

fn run_times(node: &NodeReport) -> String {
    let Some(Timing { min_seconds, mean_seconds, p50_seconds, p90_seconds, p99_seconds, max_seconds }) = node.run
    else {
        return String::new();
    };
    let rows: Vec<(String, u64)> =
        node.run_times.iter().map(|RunTimes { to_seconds, count }| (up_to(*to_seconds), *count)).collect();
    let rows: Vec<(&str, u64)> = rows.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let mut out = bars("Run time", "Successes", node.successful, &rows);
    out.push_str(&format!("max / average / min: {max_seconds:.3} / {mean_seconds:.3} / {min_seconds:.3} seconds\n"));
    out.push_str(&format!("p99 / p90 / p50: {p99_seconds:.3} / {p90_seconds:.3} / {p50_seconds:.3} seconds\n"));
    out
}

fn up_to(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "longer".to_owned(), |seconds| format!("to {seconds} s"))
}

fn errors(node: &NodeReport) -> String {
    let Counted { named, other } = &node.errors;
    if named.is_empty() && *other == 0 {
        return String::new();
    }
    let mut out = String::from("\nErrors:\n");
    for Count { name, count } in named {
        out.push_str(&format!("- {count}: {name}\n"));
    }
    if *other > 0 {
        out.push_str(&format!("- {other}: other errors\n"));
    }
    if node.timed_out > 0 {
        out.push_str(&format!("{} of {} failures were over their time limit.\n", node.timed_out, node.failed));
    }
    out
}
