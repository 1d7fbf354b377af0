//! A meter as a group declares it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MeterKind, MeterUnit};
use crate::flow::form::text_or_map;

/// What a meter of a script adds up, and what its values are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredMeter {
    /// What it adds up.
    pub kind: MeterKind,
    /// What its values are of.
    pub unit: MeterUnit,
}

/// As it is written when it is no word alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What it adds up.
    kind: MeterKind,
    /// What its values are of.
    #[serde(default)]
    unit: MeterUnit,
}

impl DeclaredMeter {
    fn of_text(text: &str) -> Result<Self, String> {
        let kind = match text {
            "counter" => MeterKind::Counter,
            "histogram" => MeterKind::Histogram,
            _ => {
                return Err(
                    "a meter is a `counter`, or a `histogram`, which may have a unit: {kind: …, unit: …}".to_owned()
                );
            }
        };
        Ok(Self { kind, unit: MeterUnit::default() })
    }
}

impl Serialize for DeclaredMeter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.kind, self.unit) {
            (kind, MeterUnit::Number) => kind.serialize(serializer),
            (kind, unit @ (MeterUnit::Bytes | MeterUnit::Nanoseconds)) => Written { kind, unit }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DeclaredMeter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let long = |written: Written| Ok(Self { kind: written.kind, unit: written.unit });
        text_or_map(deserializer, "`counter`, `histogram`, or {kind: histogram, unit: bytes}", Self::of_text, long)
    }
}

impl JsonSchema for DeclaredMeter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeclaredMeter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a meter of a script adds up, and what its values are of.",
            "anyOf": [generator.subschema_for::<MeterKind>(), Written::json_schema(generator)]
        })
    }
}
