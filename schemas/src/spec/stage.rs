//! Load over time: stages of a rate, and how arrivals are spaced in it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::recorded::RecordedArrivals;
use crate::units::{HumanDuration, Rate};

/// How arrivals are spaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Arrivals {
    /// Evenly in the integrated rate.
    #[default]
    Constant,
    /// As a Poisson process of the rate.
    Poisson,
    /// At the instants of a file, instead of a rate.
    Recorded(RecordedArrivals),
}

impl Arrivals {
    /// The file that has them, where one does.
    pub const fn recorded(&self) -> Option<&RecordedArrivals> {
        match self {
            Self::Recorded(recorded) => Some(recorded),
            Self::Constant | Self::Poisson => None,
        }
    }
}

impl Serialize for Arrivals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant => serializer.serialize_str("constant"),
            Self::Poisson => serializer.serialize_str("poisson"),
            Self::Recorded(recorded) => recorded.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Arrivals {
    /// By hand, so that a field that is misspelt is named.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArrivalsVisitor)
    }
}

struct ArrivalsVisitor;

impl<'de> Visitor<'de> for ArrivalsVisitor {
    type Value = Arrivals;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("constant, poisson, or recorded ones: {file: times.csv}")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Arrivals, E> {
        match word {
            "constant" => Ok(Arrivals::Constant),
            "poisson" => Ok(Arrivals::Poisson),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Arrivals, A::Error> {
        RecordedArrivals::deserialize(MapAccessDeserializer::new(map)).map(Arrivals::Recorded)
    }
}

impl JsonSchema for Arrivals {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Arrivals".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let recorded = generator.subschema_for::<RecordedArrivals>();
        json_schema!({
            "description": "How arrivals are spaced.",
            "oneOf": [
                { "const": "constant", "type": "string", "description": "Evenly in the integrated rate." },
                { "const": "poisson", "type": "string", "description": "As a Poisson process of the rate." },
                recorded
            ]
        })
    }
}

/// One piece of a piecewise-linear rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How long it lasts.
    pub duration: HumanDuration,
    /// Rate at its start.
    pub rate: Rate,
    /// Rate at its end; the rate at its start when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Rate>,
}
