//! Numbers with units as people write them: durations ("250ms"), rates ("100/s"), shares ("1%").

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// What was wrong with a number and its unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text is no duration.
    #[error("`{0}` is not a duration: write a number and one of ns, us, ms, s, m, h, d, as in 250ms or 1m30s")]
    Duration(String),
    /// The text is no rate.
    #[error("`{0}` is not a rate: write arrivals per s, m or h, not negative, as in 100/s or 0.2/s")]
    Rate(String),
    /// The number does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// A length of time, in nanoseconds; written with a unit ("250ms", "1m30s").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub u64);

impl HumanDuration {
    /// From whole seconds; the longest duration when they do not fit.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND_NS))
    }

    /// From whole milliseconds; the longest duration when they do not fit.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND_NS as f64
    }

    /// As the standard library's type.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

const DURATION_UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND_NS),
    ("m", 60 * SECOND_NS),
    ("h", 3_600 * SECOND_NS),
    ("d", 86_400 * SECOND_NS),
];

/// Longest text an error repeats, in characters.
const SHOWN_MAX: usize = 80;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// The decimal `text` as a count of `1 / scale`, rounded half up; `None` when it is no plain decimal or too large.
///
/// Digits beyond the 18th after the point are dropped: no unit here can show them.
fn decimal_times(text: &str, scale: u64) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) || whole.len() > 20 {
        return None;
    }
    // All digits are ASCII from here on. 20 + 18 of them fit a u128.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(u128::from(scale))?;
    // Rounded half up: 0.1ns cannot be kept, and nobody can mean it.
    Some(scaled.checked_add(divisor / 2)? / divisor)
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Duration(shown(text));
        let too_large = || UnitError::TooLarge(shown(text));
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        if rest == "0" {
            return Ok(Self(0));
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, next) = tail.split_at(unit_end);
            let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?;
            total = total.checked_add(decimal_times(number, *scale).ok_or_else(bad)?).ok_or_else(too_large)?;
            rest = next;
        }
        u64::try_from(total).map(Self).map_err(|_| too_large())
    }
}

impl HumanDuration {
    /// Reads a duration where a plain number means seconds, as `--limit 12` and `12s`; fractions too.
    ///
    /// # Errors
    /// [`UnitError`]: no number, no unit that there is, negative, or too large.
    pub fn from_seconds_or_unit(text: &str) -> Result<Self, UnitError> {
        let plain = text.trim();
        match decimal_times(plain, SECOND_NS) {
            Some(ns) => u64::try_from(ns).map(Self).map_err(|_| UnitError::TooLarge(shown(text))),
            None => plain.parse(),
        }
    }
}

/// A duration that is a text with a unit or a plain number of seconds, for `deserialize_with`.
pub(crate) fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HumanDuration>, D::Error> {
    struct Present;
    impl<'de> serde::de::Visitor<'de> for Present {
        type Value = Option<HumanDuration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("seconds, or a duration with its unit")
        }

        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            let text = text_or_number(deserializer)?;
            HumanDuration::from_seconds_or_unit(&text).map(Some).map_err(serde::de::Error::custom)
        }
    }
    deserializer.deserialize_option(Present)
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0 {
            0 => return f.write_str("0s"),
            n if n % (3_600 * SECOND_NS) == 0 => ("h", 3_600 * SECOND_NS),
            n if n % (60 * SECOND_NS) == 0 => ("m", 60 * SECOND_NS),
            n if n % SECOND_NS == 0 => ("s", SECOND_NS),
            n if n % 1_000_000 == 0 => ("ms", 1_000_000),
            n if n % 1_000 == 0 => ("us", 1_000),
            _ => ("ns", 1),
        };
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// A rate of arrivals, held exactly: millionths of an arrival per hour.
///
/// The hour makes "20/m" and "0.2/s" whole numbers; 2⁶⁴ of them are five thousand million arrivals a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(pub u64);

impl Rate {
    /// Millionths of an arrival per hour in one arrival per second.
    pub const PER_SECOND: u64 = 3_600_000_000;

    /// From whole arrivals per second; the highest rate when they do not fit.
    pub const fn per_second(arrivals: u64) -> Self {
        Self(arrivals.saturating_mul(Self::PER_SECOND))
    }

    /// Arrivals per second, rounded to what an `f64` holds.
    pub fn as_per_second(self) -> f64 {
        self.0 as f64 / Self::PER_SECOND as f64
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Rate(shown(text));
        let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let scale = match unit.trim() {
            "s" | "sec" | "second" => Self::PER_SECOND,
            "m" | "min" | "minute" => Self::PER_SECOND / 60,
            "h" | "hour" => Self::PER_SECOND / 3_600,
            _ => return Err(bad()),
        };
        let scaled = decimal_times(number.trim(), scale).ok_or_else(bad)?;
        u64::try_from(scaled).map(Self).map_err(|_| UnitError::TooLarge(shown(text)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first unit in which six digits after the point say it exactly; per hour they always do.
        let (scale, unit) = [(Self::PER_SECOND, "s"), (Self::PER_SECOND / 60, "m")]
            .into_iter()
            .find(|(scale, _)| (u128::from(self.0) * 1_000_000).is_multiple_of(u128::from(*scale)))
            .unwrap_or((Self::PER_SECOND / 3_600, "h"));
        let whole = self.0 / scale;
        let fraction = u128::from(self.0 % scale) * 1_000_000 / u128::from(scale);
        if fraction == 0 {
            write!(f, "{whole}/{unit}")
        } else {
            let digits = format!("{fraction:06}");
            write!(f, "{whole}.{}/{unit}", digits.trim_end_matches('0'))
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number and a unit: ns, us, ms, s, m, h, d. They may be combined: 1m30s.",
            "pattern": r"^(0|([0-9]*\.?[0-9]+ ?(ns|us|µs|μs|ms|s|m|h|d))+)$"
        })
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Arrivals per second (a bare number), or with a unit: 100/s, 20/m, 6000/h. Not negative.",
            "oneOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^[0-9]*\.?[0-9]+ ?/ ?(s|sec|second|m|min|minute|h|hour)$" }
            ]
        })
    }
}

/// A string, or a number as its text, so that the unit's own parser can say what is wrong with it.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number with a unit, as text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units_and_written_back() {
        for (text, nanos, written) in [
            ("250ms", 250_000_000, "250ms"),
            ("1m30s", 90 * SECOND_NS, "90s"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("2d", 2 * 86_400 * SECOND_NS, "48h"),
            ("0", 0, "0s"),
            ("10us", 10_000, "10us"),
        ] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.0, nanos, "{text}");
            assert_eq!(duration.to_string(), written);
            assert_eq!(written.parse::<HumanDuration>().unwrap(), duration);
        }
    }

    #[test]
    fn a_plain_number_means_seconds_where_it_is_taken() {
        let read = |text: &str| HumanDuration::from_seconds_or_unit(text).map(|duration| duration.0).ok();
        for (text, ns) in [
            ("12", 12 * SECOND_NS),
            (" 0.25 ", 250_000_000),
            ("0", 0),
            ("1.5", 1_500_000_000),
            ("12s", 12 * SECOND_NS),
            ("250ms", 250_000_000),
            (".5", 500_000_000),
        ] {
            assert_eq!(read(text), Some(ns), "{text}");
        }
        for text in ["-1", "NaN", "inf", "1e3", "", "x", "12 parsecs", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_wrong_unit_is_refused_and_named() {
        for text in ["10", "10 parsecs", "abc", "", "-1s", "1.2.3s", "99999999999d"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
        for text in ["-1", "-1/s", "10/fortnight", "x/s", "", "1e400"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn fractional_rates_are_exact() {
        assert_eq!("0.2/s".parse::<Rate>().unwrap().0, 720_000_000);
        assert_eq!("20/m".parse::<Rate>().unwrap().0, 1_200_000_000);
        for text in ["0.2/s", "20/m", "1000000/s", "0.000001/s", "1/h", "333.333333/s"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate, "{text} -> {rate}");
        }
        assert_eq!("20/m".parse::<Rate>().unwrap().to_string(), "20/m");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_and_not_wrapped() {
        let longest = HumanDuration(u64::MAX).to_string();
        assert_eq!(longest.parse::<HumanDuration>().unwrap().0, u64::MAX);
        for text in
            ["18446744073709551616ns".to_owned(), "99999999999999999999d".repeat(100_000), "9".repeat(500) + "s"]
        {
            let error = text.parse::<HumanDuration>().unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
        assert!("99999999999999999999.999999999999999999999/s".parse::<Rate>().is_err());
        assert_eq!(HumanDuration::from_secs(u64::MAX).0, u64::MAX);
        assert_eq!(Rate::per_second(u64::MAX).0, u64::MAX);
    }

    proptest::proptest! {
        #[test]
        fn every_rate_and_duration_reads_back_as_it_was(number: u64, zeros in 0u32..20) {
            // Round numbers take the other branches of Display.
            let number = number / 10u64.pow(zeros) * 10u64.pow(zeros);
            for number in [number, number.wrapping_mul(36)] {
                proptest::prop_assert_eq!(Rate(number).to_string().parse(), Ok(Rate(number)));
                proptest::prop_assert_eq!(HumanDuration(number).to_string().parse(), Ok(HumanDuration(number)));
            }
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[0-9.]{0,40}[a-zµ /]{0,4}[0-9.]{0,40}[a-z/]{0,3}") {
            drop(text.parse::<HumanDuration>());
            drop(text.parse::<Rate>());
        }
    }
}
