//! The report for a terminal, and the live view of a run.

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::meter::MeterUnit;
use nuncius_schemas::metric::{CheckCount, sum_checks};
use nuncius_schemas::report::{
    CyclesReport, GateReport, GroupReport, MeterReport, NodeReport, Report, StepReport, Summary, WarmUpReport,
};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::spec::EngineKind;
use nuncius_schemas::track::TrackReport;

use crate::format::{ABSENT, failure_words, gate_value, headline, quantile_name, quantile_value, signed_duration};
pub use crate::format::{bytes, count, duration, duration_f64, duration_or_absent, plain, rate, share, stamp, utc};
use crate::study;
use crate::traces::TraceView;

mod profiles;
pub mod progress;
mod slowest;
pub(crate) mod table;

pub use progress::{progress_block, progress_heading, progress_rows};
use table::{Paint, columns, fold};

/// Quantiles that the tables show, with their headings.
pub(crate) const QUANTILES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9")];

/// What a group is told whose TLS peers were not checked.
pub(crate) const UNVERIFIED_NOTE: &str = "tls: the certificates of its peers were not checked (tls.verify: false)";

/// What a closed group is told instead of its response time.
pub(crate) const CLOSED_NOTE: &str = "closed model: no planned instant, response is not shown";

/// Longest name in a table, in characters.
const NAME_CHARACTERS: usize = 28;
/// Longest reason, message or sample, in characters.
pub(crate) const SENTENCE_CHARACTERS: usize = 400;

/// How the text is to look. Whether colours are wanted (`NO_COLOR`, a pipe) is for the caller to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Use ANSI colours.
    pub colour: bool,
    /// Columns of the terminal; sentences are folded to it, tables keep their own width.
    pub width: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { colour: false, width: 100 }
    }
}

/// Rows as lines below a heading, columns of which `left` holds the index (and the first) to the left, the others to
/// the right.
pub fn table(heading: &[&str], rows: &[Vec<String>], left: &[usize], options: TextOptions) -> String {
    table::columns_after("", Paint(options.colour), heading, rows, left)
}

/// The whole report: the verdict and why, then the load, the groups, the gates, the nodes and the slowest requests.
/// Where there is a `view`, it says where traces are to be looked at.
pub fn summary(report: &Report, options: TextOptions, view: Option<&TraceView>) -> String {
    let paint = Paint(options.colour);
    let width = options.width.max(40);
    let mut out = verdict_lines(report, paint, width);
    if report.search.is_none() && report.sweep.is_none() {
        out.push_str(&load_lines(report, paint, width));
    }
    if let Some(search) = &report.search {
        out.push_str(&study::search_lines(search, paint, width));
    }
    if let Some(sweep) = &report.sweep {
        out.push_str(&study::sweep_lines(sweep, paint, width));
    }
    for group in &report.groups {
        out.push('\n');
        out.push_str(&group_lines(group, paint, width));
    }
    out.push_str(&gate_lines(&report.gates, paint, width));
    out.push_str(&track_lines(&report.tracks, paint));
    out.push_str(&node_lines(&report.nodes, paint, width));
    out.push_str(&profiles::lines(&report.profiles, paint, width));
    out.push_str(&slowest::lines(report, paint, view));
    if let Some(trace) = &report.trace_id {
        out.push_str(&format!("\ntrace {}\n", plain(trace, 64)));
        if let Some(page) = view.and_then(|view| view.page(trace, None)) {
            out.push_str(&format!("  {page}\n"));
        }
    }
    out
}

/// The weightiest reason, or what the verdict means where none was given.
pub(crate) fn first_reason(report: &Report) -> String {
    if let Some(reason) = report.reasons.first() {
        return reason.clone();
    }
    let words = match (report.status, report.verdict) {
        (RunStatus::Finished, Some(Verdict::Pass)) if report.gates.is_empty() => "no gates were set",
        (RunStatus::Finished, Some(Verdict::Pass)) => "every gate held",
        (RunStatus::Finished, Some(Verdict::Fail)) => "a gate did not hold",
        (RunStatus::Finished, Some(Verdict::Undetermined)) => "too little data to decide every gate",
        (RunStatus::Finished, Some(Verdict::Invalid)) => "the measurement cannot be trusted",
        (RunStatus::Finished, None) => "the run has not been judged",
        (RunStatus::Cancelled, _) => "ended by request",
        (RunStatus::Failed, _) => "the run could not go on; no reason was recorded",
        _ => "the run has not ended yet",
    };
    words.to_owned()
}

/// The experiment as `name (id)`, or the id alone when they are the same.
pub(crate) fn title(report: &Report) -> String {
    if report.name.is_empty() || report.name == report.id {
        report.id.clone()
    } else {
        format!("{} ({})", report.name, report.id)
    }
}

pub(crate) fn colour_of(status: RunStatus, verdict: Option<Verdict>) -> &'static str {
    match (status, verdict) {
        (RunStatus::Finished, Some(Verdict::Pass)) => "1;32",
        (RunStatus::Finished, Some(Verdict::Fail)) | (RunStatus::Failed, _) => "1;31",
        (RunStatus::Finished, Some(Verdict::Invalid)) => "1;35",
        _ => "1;33",
    }
}

fn verdict_lines(report: &Report, paint: Paint, width: usize) -> String {
    let word = headline(report.status, report.verdict);
    let rest = format!("{}: {}", plain(&title(report), 160), plain(&first_reason(report), SENTENCE_CHARACTERS));
    let folded = fold(&format!("{word} {rest}"), width, 2);
    let after = folded.strip_prefix(&word).unwrap_or(&folded).trim_end();
    let mut out = paint.with(colour_of(report.status, report.verdict), &word);
    out.push_str(&paint.bold(after));
    out.push('\n');
    for reason in report.reasons.iter().skip(1) {
        out.push_str(&fold(&format!("  also: {}", plain(reason, SENTENCE_CHARACTERS)), width, 8));
    }
    out
}

fn load_lines(report: &Report, paint: Paint, width: usize) -> String {
    let mut facts = vec![format!("{} of load", duration_f64(report.offered_seconds.max(0.0) * 1e9))];
    if let Some(started) = report.started_unix_ms {
        facts.push(format!("from {}", utc(started)));
    }
    if let Some(creator) = &report.creator {
        facts.push(format!("by {}", plain(creator, 64)));
    }
    if report.status != RunStatus::Finished {
        facts.push(match report.verdict {
            Some(verdict) => format!("status {}, verdict {}", report.status.name(), verdict.name()),
            None => format!("status {}", report.status.name()),
        });
    }
    let mut out = paint.dim(fold(&format!("  {}", facts.join(", ")), width, 2).trim_end());
    out.push('\n');
    if report.scheduled > 0 || report.offered > 0 {
        let deficit = format!("deficit {}", count(report.deficit));
        let deficit = if report.deficit > 0 { paint.with("33", &deficit) } else { deficit };
        let share =
            if report.scheduled > 0 { share(report.deficit as f64 / report.scheduled as f64) } else { "0%".to_owned() };
        out.push_str(&format!(
            "  offered {} of {} scheduled, {deficit} ({share}){}\n",
            count(report.offered),
            count(report.scheduled),
            unaccounted(report)
        ));
    }
    out
}

/// What part of the deficit a lost node may have offered after all; nothing when none was lost.
pub(crate) fn unaccounted(report: &Report) -> String {
    match report.unaccounted {
        0 => String::new(),
        unaccounted => format!(", {} of it not accounted for", count(unaccounted)),
    }
}

fn group_lines(group: &GroupReport, paint: Paint, width: usize) -> String {
    let model = if group.open { "open" } else { "closed" };
    let engine = format!("{:?}", group.engine).to_lowercase();
    let mut out = paint.bold(&format!("group {}", plain(&group.name, 64)));
    out.push_str(&format!("  {engine}, {model} model, {}", plain(&group.target, 120)));
    if let Some(scheduled) = group.scheduled {
        out.push_str(&format!(", offered {} of {}", count(group.offered), count(scheduled)));
    }
    out.push('\n');
    if group.steps.is_empty() {
        out.push_str("  nothing was measured\n");
        return out;
    }
    let rows: Vec<Vec<String>> = group
        .steps
        .iter()
        .map(|step| {
            vec![
                plain(&step.name, NAME_CHARACTERS),
                count(step.planned),
                count(step.sent),
                count(step.succeeded),
                count(step.failed),
                count(step.censored),
                rate(step.succeeded_per_second),
            ]
        })
        .collect();
    let planned = if is_planned(group) { "planned" } else { "begun" };
    let heading = ["step", planned, "sent", "succeeded", "failed", "censored", "rate"];
    out.push_str(&columns(paint, &heading, &rows, &[]));
    for step in &group.steps {
        out.push_str(&quantity_table(group, step, paint));
        out.push_str(&failure_lines(step, paint, width));
    }
    if group.tls_verified == Some(false) {
        out.push_str(&format!("  {UNVERIFIED_NOTE}\n"));
    }
    if let Some(warm_up) = &group.warm_up {
        out.push_str(&format!("  {}\n", warm_up_line(warm_up)));
    }
    if let Some(cycles) = &group.cycles {
        out.push_str(&format!("  {}\n", cycles_line(cycles)));
    }
    for meter in &group.meters {
        out.push_str(&fold(&format!("  {}", meter_line(meter)), width, 6));
    }
    if !is_planned(group) {
        out.push_str(&format!("  {CLOSED_NOTE}\n"));
    }
    out
}

/// Whether what a group does has a planned instant: from a schedule, or from the plan of each servo.
pub(crate) fn is_planned(group: &GroupReport) -> bool {
    group.open || group.engine == EngineKind::Servo
}

/// What began before anything counts.
pub(crate) fn warm_up_line(warm_up: &WarmUpReport) -> String {
    let WarmUpReport { seconds, iterations, sent, redirects, succeeded, failed, censored } = warm_up;
    let redirects = if *redirects == 0 { String::new() } else { format!(" and {redirects} redirects followed") };
    format!(
        "warm-up of {seconds} s, counted in nothing else: {iterations} iterations, {sent} requests sent{redirects}, {succeeded} \
         succeeded, {failed} failed, {censored} censored"
    )
}

/// How many cycles servos completed, and how evenly.
pub(crate) fn cycles_line(cycles: &CyclesReport) -> String {
    let evenness = match cycles.unevenness {
        Some(share) => format!("(max - min)/average {:.1}%", share * 100.0),
        None => "nothing to compare".to_owned(),
    };
    let CyclesReport { servos, total, min, max, average, idle, .. } = cycles;
    let (total, servos) = (count(*total), count(*servos));
    let idle = if *idle > 0 { format!("; {} servos completed none", count(*idle)) } else { String::new() };
    format!("cycles {total} of {servos} servos: {min} to {max}, average {average:.2}, {evenness}{idle}")
}

/// A check by name, and how often it failed.
pub(crate) fn check_words(check: &CheckCount) -> String {
    let all = check.passed.saturating_add(check.failed);
    let of_all = share(check.failed as f64 / all.max(1) as f64);
    format!("`{}` failed {} of {} times ({of_all})", plain(&check.name, 64), count(check.failed), count(all))
}

/// What a meter says.
pub(crate) fn meter_line(meter: &MeterReport) -> String {
    let name = plain(&meter.name, NAME_CHARACTERS);
    let Some(values) = &meter.values else {
        let per_second = meter_value(meter.unit, meter.sum_per_second);
        return format!("{name} {} ({per_second} per second)", meter_value(meter.unit, meter.sum as f64));
    };
    let shown =
        |(quantile, value): &(f64, f64)| format!(", {} {}", quantile_name(*quantile), meter_value(meter.unit, *value));
    let quantiles: String = values.quantiles.iter().map(shown).collect();
    let [min, mean, max] = [values.min, values.mean, values.max].map(|value| meter_value(meter.unit, value));
    format!("{name} {} values: {min} to {max}, mean {mean}{quantiles}", count(values.count))
}

fn meter_value(unit: MeterUnit, value: f64) -> String {
    match unit {
        MeterUnit::Nanoseconds => duration_f64(value),
        MeterUnit::Bytes => bytes(value.round().max(0.0) as u64),
        MeterUnit::Number if value.fract() == 0.0 => count(value.max(0.0) as u64),
        MeterUnit::Number => format!("{value:.2}"),
    }
}

/// The quantities a group shows: without a planned instant nothing that counts from one.
pub(crate) fn shown_quantities(is_planned: bool) -> &'static [Quantity] {
    if is_planned { &Quantity::ALL } else { &[Quantity::Service, Quantity::Blocked] }
}

/// The cells of one quantity: p50 p90 p95 p99 p99.9 max and the number of observations.
pub(crate) fn quantity_cells(summary: Option<&Summary>) -> Vec<String> {
    let Some(summary) = summary else { return vec![ABSENT.to_owned(); QUANTILES.len() + 2] };
    let mut cells: Vec<String> = QUANTILES
        .iter()
        .map(|(wanted, _)| {
            let found = summary.quantiles.iter().find(|q| (q.quantile - wanted).abs() < 1e-9);
            found.map_or_else(|| ABSENT.to_owned(), quantile_value)
        })
        .collect();
    cells.push(match (summary.count, summary.censored + summary.overflow) {
        (0, _) => ABSENT.to_owned(),
        (_, 0) => duration(summary.max_ns),
        // What was cut off at the stop, or beyond the histogram, may have been longer.
        _ => format!("≥{}", duration(summary.max_ns)),
    });
    cells.push(match summary.censored {
        0 => count(summary.count),
        censored => format!("{} + {} censored", count(summary.count), count(censored)),
    });
    cells
}

fn quantity_table(group: &GroupReport, step: &StepReport, paint: Paint) -> String {
    let name = plain(&step.name, NAME_CHARACTERS);
    let rows: Vec<Vec<String>> = shown_quantities(is_planned(group))
        .iter()
        .map(|quantity| {
            let mut row = vec![format!("{name} {}", quantity.name())];
            row.extend(quantity_cells(step.quantities.get(quantity)));
            row
        })
        .collect();
    let heading: Vec<&str> =
        [""].into_iter().chain(QUANTILES.iter().map(|(_, name)| *name)).chain(["max", "samples"]).collect();
    columns(paint, &heading, &rows, &[])
}

fn failure_lines(step: &StepReport, paint: Paint, width: usize) -> String {
    let mut out = String::new();
    for failure in &step.failures {
        let words = failure_words(failure.kind, failure.status, failure.count, failure.sample.as_deref());
        let text = format!("  {} failed {words}", plain(&step.name, NAME_CHARACTERS));
        out.push_str(&paint.with("31", fold(&text, width, 6).trim_end()));
        out.push('\n');
    }
    let name = plain(&step.name, NAME_CHARACTERS);
    for check in step.checks.iter().filter(|check| check.failed > 0) {
        let text = format!("  {name} check {}", check_words(check));
        out.push_str(&paint.with("31", fold(&text, width, 6).trim_end()));
        out.push('\n');
    }
    let (passed, failed) = sum_checks(&step.checks);
    if passed + failed > 0 {
        out.push_str(&format!("  {name} checks: {} passed, {} failed\n", count(passed), count(failed)));
    }
    // One alone did what the step did.
    for host in step.hosts.iter().filter(|_| step.hosts.len() > 1) {
        let ended = step.succeeded.saturating_add(step.failed);
        let of_all = share((host.succeeded + host.failed) as f64 / ended.max(1) as f64);
        let mean =
            host.mean_service_ns().map_or_else(String::new, |ns| format!(", {} service on average", duration_f64(ns)));
        let (host, succeeded, failed) = (plain(&host.host, NAME_CHARACTERS), count(host.succeeded), count(host.failed));
        out.push_str(&fold(
            &format!("  {name} at {host}: {succeeded} succeeded, {failed} failed ({of_all}){mean}"),
            width,
            6,
        ));
    }
    let told = [
        (step.backed_off, "× a user paused after an iteration that ended without an answer (`backoff`)"),
        (step.skipped, "× it was passed by or given up, by the rules of the test itself (skipped)"),
        (step.redirects, "× a redirect was followed"),
        (step.held_back, "× a request waited for the node's cap on the rate (--max-rate)"),
    ];
    for (times, what) in told.into_iter().filter(|(times, _)| *times > 0) {
        out.push_str(&fold(&format!("  {name}: {} {what}", count(times)), width, 6));
    }
    out
}

fn gate_lines(gates: &[GateReport], paint: Paint, width: usize) -> String {
    if gates.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", paint.bold("gates"));
    for gate in gates {
        let outcome = format!("{:<12}", gate.outcome.name());
        let colour = colour_of(RunStatus::Finished, Some(gate.outcome));
        out.push_str(&format!("  {} {}", paint.with(colour, &outcome), plain(&gate.gate, 160)));
        out.push_str(&format!(": observed {}\n", gate_value(&gate.gate, gate.observed)));
        let reason = plain(&gate.reason, SENTENCE_CHARACTERS);
        let gap = if reason.is_empty() { "" } else { "; " };
        let indented = format!("{}{reason}{gap}{}", " ".repeat(15), gate_evidence(gate));
        out.push_str(&fold(&indented, width, 15));
    }
    out
}

/// Interval, samples and the worst window of a gate as words.
pub(crate) fn gate_evidence(gate: &GateReport) -> String {
    let mut words = Vec::new();
    let (lower, upper) = (gate_value(&gate.gate, gate.lower), gate_value(&gate.gate, gate.upper));
    // The reason of a decided gate mostly names its bounds already.
    let told = gate.reason.contains("one-sided");
    match (gate.lower, gate.upper) {
        _ if told => {}
        (Some(_), Some(_)) => words.push(format!("one-sided bounds {lower} to {upper}")),
        (Some(_), None) => words.push(format!("one-sided lower bound {lower}")),
        (None, Some(_)) => words.push(format!("one-sided upper bound {upper}")),
        (None, None) => {}
    }
    words.push(format!("{} samples", count(gate.samples)));
    if let Some(second) = gate.worst_window_second {
        words.push(format!("worst window from second {second}"));
    }
    words.join(", ")
}

/// The change of a node's clock against the daemon's and the bound of its error.
pub(crate) fn clock_words(node: &NodeReport) -> String {
    match (node.clock_drift_ns, node.clock_error_ns) {
        (Some(drift), Some(error)) => format!("{} ± {}", signed_duration(drift), duration(error)),
        (Some(drift), None) => signed_duration(drift),
        (None, Some(error)) => format!("± {}", duration(error)),
        (None, None) => ABSENT.to_owned(),
    }
}

/// The columns of what became of messages that were numbered.
pub(crate) const TRACK_HEADING: [&str; 7] =
    ["messages", "published", "received", "lost", "duplicated", "reordered", "unconfirmed"];

/// One row of them.
pub(crate) fn track_row(track: &TrackReport) -> Vec<String> {
    let TrackReport { track, published, received, lost, duplicated, reordered, unconfirmed } = track;
    let counts = [published, received, lost, duplicated, reordered, unconfirmed];
    std::iter::once(plain(track, NAME_CHARACTERS)).chain(counts.map(|number| count(*number))).collect()
}

fn track_lines(tracks: &[TrackReport], paint: Paint) -> String {
    if tracks.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = tracks.iter().map(track_row).collect();
    format!("\n{}", columns(paint, &TRACK_HEADING, &rows, &[]))
}

fn node_lines(nodes: &[NodeReport], paint: Paint, width: usize) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            vec![
                plain(&node.name, NAME_CHARACTERS),
                plain(&node.host, NAME_CHARACTERS),
                count(node.offered),
                clock_words(node),
                duration_or_absent(node.lag_p99_ns),
                share(node.run_delay_share),
                duration(node.throttled_ns),
                bytes(node.resident_bytes_max),
            ]
        })
        .collect();
    let heading = ["node", "host", "offered", "clock drift", "lag p99", "run delay", "throttled", "memory"];
    let mut out = format!("\n{}\n{}", paint.bold("nodes"), columns(paint, &heading, &rows, &[1]));
    for node in nodes {
        if let Some(lost) = &node.lost {
            let text = format!("  {} was lost: {}", plain(&node.name, 64), plain(lost, SENTENCE_CHARACTERS));
            out.push_str(&paint.with("31", fold(&text, width, 6).trim_end()));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests;
