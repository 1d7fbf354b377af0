//! What version 1 showed at the end. Requests over HTTP and events of Socket.IO were one there: an event counts as a
//! request with the code 0.

use crate::artillery::human::number_text;
use crate::artillery::metrics::{ArtilleryMetrics, Summary};

use super::local::LocalTime;

/// The summary; `at` is when it is made.
pub fn to_legacy_text(metrics: &ArtilleryMetrics, at: LocalTime) -> String {
    let all = &metrics.aggregate;
    let of = |prefix: &'static str| {
        all.counters.iter().filter_map(move |(name, number)| Some((name.strip_prefix(prefix)?, *number)))
    };
    let created = all.counted("vusers.created");
    let events = all.counted("socketio.emit");
    let requests = all.counted("http.responses") + events;
    let seconds = match (all.first_unix_ms, all.last_unix_ms) {
        (Some(first), Some(last)) => last.saturating_sub(first) as f64 / 1e3,
        _ => 0.0,
    };
    let rate = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
    let mut lines = vec![
        "All virtual users finished".to_owned(),
        format!("Summary report @ {} {}", at.time(), at.date()),
        format!("Scenarios launched:  {created}"),
        format!("Scenarios completed: {}", all.counted("vusers.completed")),
        format!("Requests completed:  {requests}"),
        format!("Mean response/sec: {}", rounded(rate, 2)),
        "Response time (msec):".to_owned(),
    ];
    let Summary { min, max, median, p95, p99, .. } = metrics.latency.unwrap_or_default();
    for (name, figure) in [("min", min), ("max", max), ("median", median), ("p95", p95), ("p99", p99)] {
        // Without any there is no figure.
        let figure = metrics.latency.map_or_else(|| "NaN".to_owned(), |_| number_text(figure));
        lines.push(format!("    {name}: {figure}"));
    }
    lines.push("Scenario counts:".to_owned());
    for (name, number) in of("vusers.created_by_name.") {
        let share = if created == 0 { 0.0 } else { number as f64 / created as f64 * 100.0 };
        lines.push(format!("    {name}: {number} ({}%)", rounded(share, 3)));
    }
    lines.push("Codes:".to_owned());
    if events > 0 {
        lines.push(format!("    0: {events}"));
    }
    lines.extend(of("http.codes.").map(|(code, number)| format!("    {code}: {number}")));
    let mut errors = of("errors.").peekable();
    if errors.peek().is_some() {
        lines.push("Errors:".to_owned());
    }
    lines.extend(errors.map(|(name, number)| format!("    {name}: {number}")));
    let skipped = all.counted("vusers.skipped");
    if skipped > 0 {
        lines.push(format!("Scenarios avoided: {skipped}"));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn rounded(number: f64, decimals: i32) -> String {
    let scale = 10f64.powi(decimals);
    number_text((number * scale).round() / scale)
}
