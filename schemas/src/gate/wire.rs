//! Gates on the wire: a text, or a map with its scope.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Gate, GateExpression, LatencyOf};
use crate::units::HumanDuration;

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("expression", &self.expression.to_string())?;
        if let Some(group) = &self.group {
            map.serialize_entry("group", group)?;
        }
        if let Some(step) = &self.step {
            map.serialize_entry("step", step)?;
        }
        if let Some(over) = &self.over {
            map.serialize_entry("over", over)?;
        }
        if self.abort {
            map.serialize_entry("abort", &true)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GateVisitor)
    }
}

struct GateVisitor;

impl<'de> Visitor<'de> for GateVisitor {
    type Value = Gate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gate: `p99(response) < 250ms` or a map with `expression`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Gate, E> {
        let expression = text.parse().map_err(E::custom)?;
        Ok(Gate { expression, group: None, step: None, over: None, abort: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Gate, A::Error> {
        const FIELDS: &[&str] = &["expression", "of", "group", "step", "over", "abort"];
        let mut expression: Option<GateExpression> = None;
        let (mut of, mut group, mut step, mut over, mut abort) = (None, None, None, None, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "expression" => {
                    let text: String = map.next_value()?;
                    expression = Some(text.parse().map_err(de::Error::custom)?);
                }
                "of" => of = map.next_value::<Option<LatencyOf>>()?,
                "group" => group = map.next_value()?,
                "step" => step = map.next_value()?,
                "over" => over = map.next_value()?,
                "abort" => abort = map.next_value()?,
                other => return Err(de::Error::unknown_field(other, FIELDS)),
            }
        }
        let mut expression = expression.ok_or_else(|| de::Error::missing_field("expression"))?;
        if let Some(of) = of {
            if !expression.metric.has_failed_answers() {
                return Err(de::Error::custom(format!("`of` belongs to response and service, not to `{expression}`")));
            }
            if expression.of != LatencyOf::default() && expression.of != of {
                return Err(de::Error::custom(format!("`{expression}` and `of: {}` contradict each other", of.name())));
            }
            expression.of = of;
        }
        Ok(Gate { expression, group, step, over, abort })
    }
}

impl JsonSchema for Gate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Gate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let expression = json_schema!({
            "type": "string",
            "description": "metric, comparison, limit: p99(response) < 250ms, p99(response) of all < 250ms, \
                max(lag) < 10ms, failures < 1%, censored < 1%, rate > 900/s",
            "pattern": concat!(
                r"^((p[0-9.]+|max)\((response|service|blocked|lag)\)( of (all|succeeded))?",
                r"|failures|censored|rate) *(<|<=|>|>=) *.+$"
            )
        });
        let of = generator.subschema_for::<LatencyOf>();
        let duration = generator.subschema_for::<HumanDuration>();
        json_schema!({
            "oneOf": [
                expression,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["expression"],
                    "properties": {
                        "expression": expression,
                        "of": of,
                        "group": { "type": "string", "description": "only this group" },
                        "step": { "type": "string", "description": "only this step" },
                        "over": duration,
                        "abort": { "type": "boolean", "description": "end the run as soon as the gate has failed" }
                    }
                }
            ]
        })
    }
}
