//! Numbers and times as JavaScript and Artillery read them.
//!
//! Times in words are those of the package `ms`, which Artillery uses: `2m`, `1.5 hours`, `250 msecs`; a text that is a
//! number alone is milliseconds to it, which Artillery lets it see only where it is no whole number.

/// Milliseconds of each unit.
const UNITS: [(&[&str], f64); 8] = [
    (&["milliseconds", "millisecond", "msecs", "msec", "ms"], 1.0),
    (&["seconds", "second", "secs", "sec", "s"], 1_000.0),
    (&["minutes", "minute", "mins", "min", "m"], 60_000.0),
    (&["hours", "hour", "hrs", "hr", "h"], 3_600_000.0),
    (&["days", "day", "d"], 86_400_000.0),
    (&["weeks", "week", "w"], 604_800_000.0),
    (&["years", "year", "yrs", "yr", "y"], 31_557_600_000.0),
    (&[""], 1.0),
];

/// Longest text that `ms` reads, in characters.
const TEXT_MAX: usize = 100;

/// `Number(text)`: spaces around it do not matter, and a text without anything is 0.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let is_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return u64::from_str_radix(digits, radix).ok().filter(|_| is_digits).map(|number| number as f64);
        }
    }
    // What Rust takes beyond it: `inf`, `nan`, `infinity`.
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    text.parse().ok().filter(|_| is_plain)
}

/// `String(number)`.
pub(crate) fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

/// A time in words, in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<f64> {
    if text.chars().count() > TEXT_MAX {
        return None;
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let is_number = unsigned.ends_with(|c: char| c.is_ascii_digit())
        && unsigned.bytes().filter(|b| *b == b'.').count() <= 1
        && !unsigned.contains('-');
    let number: f64 = number.parse().ok().filter(|_| is_number)?;
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let (_, scale) = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
    Some(number * scale)
}

/// How Artillery reads a duration of a phase or a pause: seconds where it is a whole number, else a time in words.
/// Gives seconds.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    match number(text) {
        Some(seconds) if seconds.fract() == 0.0 && !text.trim().is_empty() => Some(seconds),
        Some(_) | None => milliseconds(text).map(|milliseconds| milliseconds / 1_000.0),
    }
}

/// Seconds as nanoseconds, rounded; `None` of what is negative or beyond 2⁶³.
pub(crate) fn nanoseconds(seconds: f64) -> Option<u64> {
    let nanoseconds = (seconds * 1e9).round();
    (0.0..9.2e18).contains(&nanoseconds).then_some(nanoseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        for (text, expected) in [
            ("12", Some(12.0)),
            (" 1.5 ", Some(1.5)),
            ("1e3", Some(1_000.0)),
            ("0x10", Some(16.0)),
            (".5", Some(0.5)),
            ("", Some(0.0)),
            ("-3", Some(-3.0)),
            ("2m", None),
            ("inf", None),
            ("NaN", None),
            ("1,5", None),
            ("0x", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for (number, text) in [(1.1, "1.1"), (5.0, "5"), (1e21, "1e+21"), (1e-7, "1e-7"), (-0.0, "0"), (0.25, "0.25")] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn durations_are_whole_seconds_or_times_in_words() {
        for (text, expected) in [
            ("30", Some(30.0)),
            ("2m", Some(120.0)),
            ("1h", Some(3_600.0)),
            ("2.5s", Some(2.5)),
            ("250 msecs", Some(0.25)),
            ("1.5 hours", Some(5_400.0)),
            ("2 Days", Some(172_800.0)),
            (".5m", Some(30.0)),
            ("2.5", Some(0.0025)),
            ("1w", Some(604_800.0)),
            ("", None),
            ("soon", None),
            ("5 parsecs", None),
            ("1.2.3s", None),
            ("--1s", None),
            (&"1".repeat(200), Some(1.1111111111111112e199)),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(nanoseconds(2.5), Some(2_500_000_000));
        assert_eq!(nanoseconds(-1.0), None);
        assert_eq!(nanoseconds(1e300), None);
    }
}
