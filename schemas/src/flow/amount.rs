//! Sizes and shares as people write them in scenarios: `1MiB`, `20%`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resource::Amount;
use crate::units::text_or_number;

/// A number of bytes, written "1MiB", "500KB" or as a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(amount @ (Amount::Bytes(_) | Amount::Plain(_))) => amount.to_bytes(0).ok(),
            Ok(Amount::Percent(_)) | Err(_) => None,
        }
        .map(Self)
        .ok_or_else(|| format!("`{}` is not a size: write bytes, as in 10KiB or 1MiB", shown(text)))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount::Bytes(self.0).fmt(f)
    }
}

/// A share of something, written "20%"; held in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u64);

impl Percent {
    /// So many percent; 100 at most.
    pub const fn of_whole(percent: u64) -> Self {
        Self(if percent > 100 { 100_000 } else { percent * 1_000 })
    }

    /// As a number: 0.2 for 20 %.
    pub fn as_share(self) -> f64 {
        self.0 as f64 / 100_000.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Amount::Percent(thousandths)) if thousandths <= 100_000 => Ok(Self(thousandths)),
            Ok(Amount::Percent(_) | Amount::Bytes(_) | Amount::Plain(_)) | Err(_) => {
                Err(format!("`{}` is not a share: write 0% to 100%, as in 20%", shown(text)))
            }
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount::Percent(self.0).fmt(f)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: 10KiB, 1MiB, or a bare number.",
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(B|[kKMGT]B?|[KMGT]iB?)?$" }
            ]
        })
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share, 0% to 100%.",
            "type": "string",
            "pattern": r"^[0-9]+\.?[0-9]* ?%$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_with_their_units_and_written_back() {
        for (text, bytes, written) in
            [("10KiB", 10_240, "10KiB"), ("1.5MB", 1_500_000, "1500000B"), ("100", 100, "100B"), ("0", 0, "0B")]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, written));
            assert_eq!(written.parse(), Ok(size));
        }
        let share: Percent = "12.5%".parse().unwrap();
        assert_eq!((share.as_share(), share.to_string().as_str()), (0.125, "12.5%"));
        for text in ["50%", "-1", "1.5", "many", ""] {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("as in 10KiB"), "{text}");
        }
        for text in ["20", "101%", "-1%", ""] {
            assert!(text.parse::<Percent>().unwrap_err().contains("as in 20%"), "{text}");
        }
    }
}
