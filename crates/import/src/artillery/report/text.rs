//! What version 2 shows on a terminal, without its colours.

use crate::artillery::ensure::Checked;
use crate::artillery::human::number_text;
use crate::artillery::metrics::{Apdex, ArtilleryMetrics, Metrics, PERIOD_S};

use super::local::LocalTime;

/// How wide a line of a figure is, before the figure.
const WIDTH: usize = 79;

/// A period, as it is shown while the run is under way, without metrics whose names hold something that is `hidden`.
pub fn period_text(metrics: &Metrics, clock: LocalTime, hidden: &[String]) -> String {
    let end = clock.at(metrics.period_unix_ms.saturating_add(PERIOD_S * 1_000));
    let title = format!("Metrics for period to: {}", end.time());
    let line = "-".repeat(title.chars().count());
    let (first, last) = (metrics.first_unix_ms.unwrap_or_default(), metrics.last_unix_ms.unwrap_or_default());
    let width = number_text(last.saturating_sub(first) as f64 / 1e3);
    format!("{line}\n{title} (width: {width}s)\n{line}\n\n{}\n\n", figures(metrics, hidden))
}

/// What is shown at the end: `at` is when, `total_ms` how long the run took.
pub fn summary_text(metrics: &Metrics, at: LocalTime, total_ms: u64, hidden: &[String]) -> String {
    let title = format!("Summary report @ {}", at.time());
    let line = "-".repeat(title.chars().count());
    let total = duration(total_ms);
    format!("All VUs finished. Total time: {total}\n\n{line}\n{title}\n{line}\n\n{}", figures(metrics, hidden))
}

/// All periods, and the end.
pub fn to_text(metrics: &ArtilleryMetrics, at: LocalTime, total_ms: u64, hidden: &[String]) -> String {
    let mut text: String = metrics.periods.iter().map(|period| period_text(period, at, hidden)).collect();
    text.push_str(&summary_text(&metrics.aggregate, at, total_ms, hidden));
    text
}

/// The score and the checks, as they are shown behind the summary; empty without any.
pub fn checks_text(checked: &[Checked], apdex: Option<Apdex>) -> String {
    let mut text = String::new();
    if let Some(apdex) = apdex {
        text.push_str(&format!("\nApdex score: {} ({})\n", number_text(apdex.score), apdex.ranking()));
    }
    if !checked.is_empty() {
        text.push_str("\nChecks:\n");
    }
    for Checked { ensure, holds, .. } in checked {
        let optional = if *holds || ensure.strict { "" } else { " (optional)" };
        text.push_str(&format!("{}: {}{optional}\n", if *holds { "ok" } else { "fail" }, ensure.shown));
    }
    text
}

fn figures(metrics: &Metrics, hidden: &[String]) -> String {
    let mut names: Vec<&String> =
        metrics.counters.keys().chain(metrics.rates.keys()).chain(metrics.summaries.keys()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return "No measurements recorded during this period\n".to_owned();
    }
    let mut text = String::new();
    let is_shown = |name: &&String| !hidden.iter().any(|hidden| name.contains(hidden.as_str()));
    for name in names.into_iter().filter(is_shown) {
        if let Some(number) = metrics.counters.get(name) {
            text.push_str(&padded(&format!("{name}:"), &number.to_string()));
            text.push('\n');
        }
        if let Some(summary) = metrics.summaries.get(name) {
            text.push_str(&format!("{name}:\n"));
            for (figure, value) in summary.figures() {
                if ["min", "max", "mean", "median", "p95", "p99"].contains(&figure) {
                    text.push_str(&padded(&format!("  {figure}:"), &number_text(value)));
                    text.push('\n');
                }
            }
        }
        if let Some(rate) = metrics.rates.get(name) {
            text.push_str(&padded(&format!("{name}:"), &rate.to_string()));
            text.push_str("/sec\n");
        }
    }
    text
}

/// A name and its figure with dots between them.
fn padded(name: &str, figure: &str) -> String {
    let length = name.chars().count();
    let name: String =
        if length > WIDTH { name.chars().take(WIDTH - 3).chain("...".chars()).collect() } else { name.to_owned() };
    format!("{name} {} {figure}", ".".repeat(WIDTH.saturating_sub(length)))
}

/// A time in words: `1 hour, 0 minutes, 5 seconds`.
fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let parts = [(seconds / 86_400, "day"), (seconds / 3_600 % 24, "hour"), (seconds / 60 % 60, "minute")];
    let mut told: Vec<String> = Vec::new();
    let word = |number: u64, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    for (number, unit) in parts {
        if number > 0 || !told.is_empty() {
            told.push(word(number, unit));
        }
    }
    told.push(word(seconds % 60, "second"));
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_words_from_the_largest_unit_on() {
        for (ms, expected) in [
            (999, "0 seconds"),
            (61_000, "1 minute, 1 second"),
            (3_600_000, "1 hour, 0 minutes, 0 seconds"),
            (90_061_000, "1 day, 1 hour, 1 minute, 1 second"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn names_are_followed_by_dots_up_to_one_column_and_cut_where_they_are_too_long() {
        let short = padded("http.requests:", "12");
        assert_eq!(short, format!("http.requests: {} 12", ".".repeat(65)));
        let long = padded(&"x".repeat(100), "1");
        assert_eq!(long, format!("{}...  1", "x".repeat(76)));
    }
}
