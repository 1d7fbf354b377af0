//! How long something takes: a distribution of durations as people write it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{HumanDuration, UnitError, text_or_number};

/// Longest duration of a distribution, in nanoseconds: a day.
pub const LONGEST_NS: u64 = 86_400_000_000_000;

/// A distribution of durations. Written `2s`, `constant:2s`, `uniform:30s..599s`, `exponential:2s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationDistribution {
    /// Always the same.
    Constant(HumanDuration),
    /// Uniform between two durations.
    Uniform {
        /// The shorter one.
        least: HumanDuration,
        /// The longer one.
        most: HumanDuration,
    },
    /// Exponential with this mean.
    Exponential(HumanDuration),
}

impl Default for DurationDistribution {
    /// `uniform:30s..599s`, as the emulator of ServoX has it.
    fn default() -> Self {
        Self::Uniform { least: HumanDuration::from_secs(30), most: HumanDuration::from_secs(599) }
    }
}

/// Why a text is no distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// The word before the colon is unknown.
    #[error("`{0}` is no distribution of durations: write 2s, constant:2s, uniform:30s..599s or exponential:2s")]
    Kind(String),
    /// `uniform` without two ascending durations.
    #[error("`{0}` is no range of durations: write the shorter one first, as in uniform:30s..599s")]
    Range(String),
    /// A duration is above a day.
    #[error("`{0}` is above the limit of 24h")]
    TooLong(String),
    /// A duration cannot be read.
    #[error(transparent)]
    Duration(#[from] UnitError),
}

fn duration(text: &str) -> Result<HumanDuration, DistributionError> {
    let duration: HumanDuration = text.trim().parse()?;
    if duration.0 > LONGEST_NS { Err(DistributionError::TooLong(shown(text))) } else { Ok(duration) }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for DurationDistribution {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Self, DistributionError> {
        let Some((kind, rest)) = text.split_once(':') else { return Ok(Self::Constant(duration(text)?)) };
        match kind.trim() {
            "constant" => Ok(Self::Constant(duration(rest)?)),
            "exponential" => Ok(Self::Exponential(duration(rest)?)),
            "uniform" => {
                let range = || DistributionError::Range(shown(text));
                let (least, most) = rest.split_once("..").ok_or_else(range)?;
                let (least, most) = (duration(least)?, duration(most)?);
                if least > most { Err(range()) } else { Ok(Self::Uniform { least, most }) }
            }
            other => Err(DistributionError::Kind(shown(other))),
        }
    }
}

impl fmt::Display for DurationDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(duration) => write!(f, "constant:{duration}"),
            Self::Uniform { least, most } => write!(f, "uniform:{least}..{most}"),
            Self::Exponential(mean) => write!(f, "exponential:{mean}"),
        }
    }
}

impl Serialize for DurationDistribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationDistribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for DurationDistribution {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DurationDistribution".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "How long it takes: 2s, constant:2s, uniform:30s..599s or exponential:2s; at most 24h.",
            "pattern": r"^((constant:|exponential:)?[^:]+|uniform:[^:]+\.\.[^:]+)$"
        })
    }
}
