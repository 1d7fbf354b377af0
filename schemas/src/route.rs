//! The routing table: which addresses stand behind a service name (bucket `route`, one key a service).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Addresses of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name that targets use as their host.
    pub service: String,
    /// Where it is served.
    pub hosts: Vec<RouteHost>,
    /// The process that serves it and keeps the route in the table: the route goes when the process does. Absent where
    /// a person has set it, who alone takes it out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteHost {
    /// `host:port`.
    pub address: String,
    /// Share of the requests relative to the others; 0 gets none.
    #[serde(default)]
    pub weight: Weight,
}

/// Share of the requests relative to others, held exactly: in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u64);

impl Weight {
    /// Of one that gets nothing.
    pub const ZERO: Self = Self(0);
    /// The largest one.
    pub const MAX: Self = Self::whole(1_000_000);
    /// Millionths in one.
    const UNIT: u64 = 1_000_000;
    /// Digits after the point that count.
    const DIGITS: usize = 6;

    /// A whole number. Whether it is too large is for whoever takes it: [`Weight::MAX`].
    pub const fn whole(number: u32) -> Self {
        // Widened, which loses nothing; there is no constant `u64::from` yet.
        Self(number as u64 * Self::UNIT)
    }

    /// In millionths.
    pub fn millionths(self) -> u64 {
        self.0
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / Self::UNIT as f64
    }

    /// From a number, every digit of which counts.
    ///
    /// # Errors
    /// Negative, too large, no number, or finer than a millionth.
    pub fn new(value: f64) -> Result<Self, WeightError> {
        // The shortest text that is this number: 0.1 and not what its nearest float is.
        value.to_string().parse()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::whole(1)
    }
}

/// What cannot be a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a weight is a number from 0 to {}, with at most {} digits after the point", Weight::MAX, Weight::DIGITS)]
pub struct WeightError;

impl FromStr for Weight {
    type Err = WeightError;

    /// `2`, `0.5`, `.25`.
    fn from_str(text: &str) -> Result<Self, WeightError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fraction = fraction.trim_end_matches('0');
        if text.len() > 64 || whole.len() + fraction.len() == 0 && !text.contains('0') {
            return Err(WeightError);
        }
        if !are_digits(whole) || !are_digits(fraction) || fraction.len() > Self::DIGITS {
            return Err(WeightError);
        }
        let millionths = format!("{whole}{fraction:0<width$}", width = Self::DIGITS);
        let weight = Self(millionths.parse().map_err(|_| WeightError)?);
        if weight > Self::MAX { Err(WeightError) } else { Ok(weight) }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / Self::UNIT, self.0 % Self::UNIT);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Weight {
    /// A whole number as such, as it was before there were fractions.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % Self::UNIT {
            0 => serializer.serialize_u64(self.0 / Self::UNIT),
            _ => serializer.serialize_f64(self.value()),
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WeightVisitor)
    }
}

struct WeightVisitor;

impl Visitor<'_> for WeightVisitor {
    type Value = Weight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WeightError}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Weight, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Weight, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Weight, E> {
        Weight::new(number).map_err(E::custom)
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "description": "Share of the requests; six digits after the point count.",
            "minimum": 0,
            "maximum": 1_000_000
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_exact_as_text_and_as_json_and_whole_ones_stay_whole() {
        for (text, json) in [("2", "2"), ("0.5", "0.5"), ("0.1", "0.1"), ("0", "0"), ("1000000", "1000000")] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight.to_string(), serde_json::to_string(&weight).unwrap()), (text.into(), json.into()));
            assert_eq!(serde_json::from_str::<Weight>(json).unwrap(), weight);
        }
        assert_eq!(".25".parse(), Ok(Weight(250_000)));
        assert_eq!("1.".parse(), Ok(Weight::whole(1)));
        assert_eq!("0.123456000".parse(), Ok(Weight(123_456)));
        assert_eq!(Weight::new(999_999.999_999), Ok(Weight(999_999_999_999)));
    }

    #[test]
    fn what_is_no_weight_is_refused_with_what_is_one() {
        for text in
            ["", ".", "-1", "+1", "1e3", "1000000.1", "0.0000001", "NaN", "inf", "1,5", "1.2.3", "99999999999999"]
        {
            assert_eq!(text.parse::<Weight>(), Err(WeightError), "{text}");
        }
        let host = r#"{"address": "a:1", "weight": 0.12345678}"#;
        let error = serde_json::from_str::<RouteHost>(host).unwrap_err().to_string();
        assert!(error.contains("from 0 to 1000000, with at most 6 digits"), "{error}");
        for number in ["-1", "1000001", "1e300"] {
            assert!(serde_json::from_str::<Weight>(number).is_err(), "{number}");
        }
    }
}
