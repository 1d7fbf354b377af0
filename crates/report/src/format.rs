//! Numbers as people read them: three significant digits, a unit that fits, thousands kept apart.

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::report::QuantileReport;
use nuncius_schemas::run::{RunStatus, Verdict};

/// What stands where there is nothing to show.
pub const ABSENT: &str = "-";

/// Nanoseconds with three significant digits: `850ns`, `1.23µs`, `12.3ms`, `1.80s`; from 1000 s on `16m40s`, `2h05m`.
pub fn duration(ns: u64) -> String {
    duration_f64(ns as f64)
}

/// As [`duration`], for a fractional number of nanoseconds; negative values keep their sign.
pub fn duration_f64(ns: f64) -> String {
    if !ns.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if ns < 0.0 { "-" } else { "" };
    let ns = ns.abs();
    if ns < 0.5 {
        return "0".to_owned();
    }
    if ns < 999.5 {
        return format!("{sign}{}ns", ns.round());
    }
    for (unit, scale) in [("µs", 1e3), ("ms", 1e6), ("s", 1e9)] {
        if let Some(text) = three_digits(ns / scale) {
            return format!("{sign}{text}{unit}");
        }
    }
    let seconds = (ns / 1e9).round() as u64;
    if seconds < 3_600 {
        format!("{sign}{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{sign}{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60)
    }
}

/// A signed length of time in nanoseconds, always with its sign: `+12.0µs`, `-1.00ms`.
pub fn signed_duration(ns: i64) -> String {
    if ns > 0 { format!("+{}", duration_f64(ns as f64)) } else { duration_f64(ns as f64) }
}

/// A length of time, or `-`.
pub fn duration_or_absent(ns: Option<u64>) -> String {
    ns.map_or_else(|| ABSENT.to_owned(), duration)
}

/// Three significant digits; `None` when the number rounds to 1000 or more.
fn three_digits(value: f64) -> Option<String> {
    if value < 9.995 {
        Some(format!("{value:.2}"))
    } else if value < 99.95 {
        Some(format!("{value:.1}"))
    } else if value < 999.5 {
        Some(format!("{value:.0}"))
    } else {
        None
    }
}

/// A whole number with thousands kept apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number per second: `0.20/s`, `99.8/s`, `999.8/s`, `12,345/s`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        return ABSENT.to_owned();
    }
    match three_digits(per_second) {
        Some(_) if per_second == 0.0 => "0/s".to_owned(),
        Some(text) if per_second < 99.95 => format!("{text}/s"),
        _ => match (per_second * 10.0).round() as u64 {
            tenths if per_second < 9_999.0 && !tenths.is_multiple_of(10) => {
                format!("{}.{}/s", count(tenths / 10), tenths % 10)
            }
            _ => format!("{}/s", count(per_second.round() as u64)),
        },
    }
}

/// A share in 0..=1 as a percentage: `0%`, `0.012%`, `1.50%`, `100%`.
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return ABSENT.to_owned();
    }
    if percent == 0.0 {
        "0%".to_owned()
    } else if percent < 0.1 {
        format!("{percent:.3}%")
    } else if percent < 9.995 {
        format!("{percent:.2}%")
    } else if percent < 99.95 {
        format!("{percent:.1}%")
    } else if percent < 99.9995 {
        // Not 100 %, and that is the point.
        format!("{percent:.3}%")
    } else {
        format!("{percent:.0}%")
    }
}

/// A number of bytes: `512B`, `1.50MiB`.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1_024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1_024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        if let Some(text) = three_digits(value) {
            return format!("{text}{unit}");
        }
        value /= 1_024.0;
    }
    format!("{value:.2}TiB")
}

/// The name of a quantile in (0, 1): `p50`, `p99.9`.
pub fn quantile_name(quantile: f64) -> String {
    // Ten digits hide what the multiplication left behind: 99.9, not 99.90000000000001.
    format!("p{}", (quantile * 100.0 * 1e10).round() / 1e10)
}

/// A quantile's value, with ≥ where it is only known from below.
pub fn quantile_value(quantile: &QuantileReport) -> String {
    let value = duration(quantile.value_ns);
    if quantile.at_least { format!("≥{value}") } else { value }
}

/// A value in the unit that the metric of `gate` (its text) has: time, share, or per second.
pub fn gate_value(gate: &str, value: Option<f64>) -> String {
    let Some(value) = value else { return ABSENT.to_owned() };
    let gate = gate.trim_start();
    if gate.starts_with("rate") {
        rate(value)
    } else if gate.starts_with("failures") || gate.starts_with("censored") {
        share(value)
    } else {
        duration_f64(value)
    }
}

/// Milliseconds since the Unix epoch as `2026-01-31 12:00:00 UTC`.
pub fn utc(unix_ms: u64) -> String {
    let (days, seconds) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Milliseconds since the Unix epoch as a token that sorts by time: `20260131-120000`.
pub fn stamp(unix_ms: u64) -> String {
    let (days, seconds) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a day count since 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Failures of one kind in words, each thing said once: `7 × status 503: upstream is away`, but `1 × status 400`
/// where the sample says no more than that.
pub fn failure_words(kind: FailureKind, status: u16, count_of: u64, sample: Option<&str>) -> String {
    let status = if status == 0 { String::new() } else { format!(" {status}") };
    let words = format!("{} × {}{status}", count(count_of), kind.name());
    match sample.and_then(|sample| own_words(kind, &status, sample)) {
        Some(sample) => format!("{words}: {}", plain(sample, 200)),
        None => words,
    }
}

/// What a sample says beyond the kind of failure and the status.
fn own_words<'a>(kind: FailureKind, status: &str, sample: &'a str) -> Option<&'a str> {
    let sample = sample.trim();
    let status = status.trim_start();
    let known = |text: &str| {
        let text = text.trim().trim_end_matches('.');
        text.is_empty() || text.eq_ignore_ascii_case(kind.name()) || (!status.is_empty() && text == status)
    };
    let rest = sample.strip_prefix("status").map_or(sample, |rest| if known(rest) { "" } else { sample });
    (!known(rest)).then_some(sample)
}

/// The one word a run is summed up by: its verdict when it finished, else its status.
pub fn headline(status: RunStatus, verdict: Option<Verdict>) -> String {
    match (status, verdict) {
        (RunStatus::Finished, Some(verdict)) => verdict.name().to_uppercase(),
        (status, _) => status.name().to_uppercase(),
    }
}

/// `text` without control characters, at most `limit` characters long; what was cut is marked with `…`.
///
/// A failure sample may hold escape sequences that would drive the reader's terminal.
pub fn plain(text: &str, limit: usize) -> String {
    let mut out: String = text
        .chars()
        .take(limit.saturating_add(1))
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() || is_bidirectional(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    if out.chars().count() > limit {
        out = out.chars().take(limit.saturating_sub(1)).collect();
        out.push('…');
    }
    out
}

/// Marks that reorder what follows them on the screen.
const fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0"),
            (1, "1ns"),
            (999, "999ns"),
            (1_234, "1.23µs"),
            (999_600, "1.00ms"),
            (12_345_678, "12.3ms"),
            (999_499_999, "999ms"),
            (999_500_000, "1.00s"),
            (1_800_000_000, "1.80s"),
            (123_000_000_000, "123s"),
            (1_000_000_000_000, "16m40s"),
            (7_500_000_000_000, "2h05m"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
        }
        assert_eq!(signed_duration(-12_000), "-12.0µs");
        assert_eq!(signed_duration(12_000), "+12.0µs");
        assert_eq!(duration_f64(f64::NAN), "-");
        assert!(!duration(u64::MAX).is_empty());
    }

    #[test]
    fn counts_rates_shares_and_bytes_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(0.2), "0.20/s");
        assert_eq!(rate(999.62), "999.6/s");
        assert_eq!(rate(1_000.01), "1,000/s");
        assert_eq!(rate(12_345.6), "12,346/s");
        assert_eq!(share(0.0), "0%");
        assert_eq!(share(0.000_12), "0.012%");
        assert_eq!(share(0.015), "1.50%");
        assert_eq!(share(0.999_87), "99.987%");
        assert_eq!(share(1.0), "100%");
        assert_eq!(bytes(1_572_864), "1.50MiB");
        assert_eq!(quantile_name(0.999), "p99.9");
    }

    #[test]
    fn a_failure_is_told_once() {
        let words = |kind, status, sample| failure_words(kind, status, 1, sample);
        assert_eq!(words(FailureKind::Status, 400, Some("status 400")), "1 × status 400");
        assert_eq!(words(FailureKind::Status, 400, Some("400")), "1 × status 400");
        assert_eq!(words(FailureKind::Timeout, 0, Some("Timeout.")), "1 × timeout");
        assert_eq!(words(FailureKind::Status, 503, Some(" ")), "1 × status 503");
        assert_eq!(words(FailureKind::Status, 503, None), "1 × status 503");
        assert_eq!(words(FailureKind::Status, 503, Some("status page down")), "1 × status 503: status page down");
        assert_eq!(words(FailureKind::Connect, 0, Some("connection refused")), "1 × connect: connection refused");
        assert_eq!(words(FailureKind::Status, 400, Some("status 404")), "1 × status 400: status 404");
    }

    #[test]
    fn gate_values_have_the_unit_of_their_metric() {
        assert_eq!(gate_value("p99(response) < 250ms", Some(1.2e8)), "120ms");
        assert_eq!(gate_value("failures < 1%", Some(0.005)), "0.50%");
        assert_eq!(gate_value("rate > 900/s in a", Some(950.0)), "950/s");
        assert_eq!(gate_value("rate > 900/s", None), "-");
    }

    #[test]
    fn dates_are_of_the_gregorian_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_767_225_599_999), "2025-12-31 23:59:59 UTC");
        assert!(!utc(u64::MAX).is_empty());
    }

    #[test]
    fn text_for_terminals_holds_no_control_characters() {
        assert_eq!(plain("a\x1b[31mb\nc", 100), "a\u{fffd}[31mb c");
        assert_eq!(plain("abcdef", 4), "abc…");
        assert_eq!(plain("abcd", 4), "abcd");
    }
}
