//! Pauses of virtual users between their steps.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::amount::Percent;
use super::form::text_or_map;
use super::rule::{self, SpecError, refuse};
use crate::units::HumanDuration;

/// A pause. It is no part of any latency: the next step is planned at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// Always this long.
    Fixed(HumanDuration),
    /// Evenly spread between the two.
    Between(HumanDuration, HumanDuration),
    /// Evenly spread around `time`, up to this share of it shorter or longer.
    Around {
        /// The middle.
        time: HumanDuration,
        /// How far from it.
        jitter: Percent,
    },
}

/// As it is written when it is no duration alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Evenly spread between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    between: Option<[HumanDuration; 2]>,
    /// Always this long; with `jitter` the middle of what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<HumanDuration>,
    /// Up to this share of `time` shorter or longer, evenly spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<Percent>,
}

impl Think {
    fn of_written(written: Written) -> Result<Self, String> {
        match (written.between, written.time, written.jitter) {
            (Some([from, to]), None, None) => Ok(Self::Between(from, to)),
            (None, Some(time), None) => Ok(Self::Fixed(time)),
            (None, Some(time), Some(jitter)) => Ok(Self::Around { time, jitter }),
            (Some(_), _, _) => Err("give either `between` or `time` (with `jitter`)".to_owned()),
            (None, None, _) => {
                Err("says not how long: write {between: [1s, 3s]} or {time: 2s, jitter: 20%}".to_owned())
            }
        }
    }

    /// The shortest and the longest it can be.
    pub fn bounds(&self) -> (HumanDuration, HumanDuration) {
        match *self {
            Self::Fixed(time) => (time, time),
            Self::Between(from, to) => (from, to),
            Self::Around { time, jitter } => {
                let part = (time.0 as f64 * jitter.as_share()) as u64;
                (HumanDuration(time.0.saturating_sub(part)), HumanDuration(time.0.saturating_add(part)))
            }
        }
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        let (shortest, longest) = self.bounds();
        if longest.0 == 0 {
            return refuse(path, "0s is no pause: leave it out");
        }
        if longest.0 > rule::THINK_MAX_NS {
            return refuse(path, "longer than 1h");
        }
        if shortest > longest {
            return refuse(path, format!("from {shortest} to {longest}: the shorter one comes first"));
        }
        Ok(())
    }
}

impl Serialize for Think {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (between, time, jitter) = match *self {
            Self::Fixed(time) => return time.serialize(serializer),
            Self::Between(from, to) => (Some([from, to]), None, None),
            Self::Around { time, jitter } => (None, Some(time), Some(jitter)),
        };
        Written { between, time, jitter }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Think {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fixed =
            |text: &str| text.parse().map(Self::Fixed).map_err(|error: crate::units::UnitError| error.to_string());
        text_or_map(deserializer, "a duration such as 1s, or {between: [1s, 3s]}", fixed, Self::of_written)
    }
}

impl JsonSchema for Think {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Think".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A pause. It is no part of any latency: the next step is planned at its end.",
            "anyOf": [generator.subschema_for::<HumanDuration>(), Written::json_schema(generator)]
        })
    }
}
