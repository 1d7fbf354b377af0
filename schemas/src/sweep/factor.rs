//! One factor of a sweep: what it changes, and the values that it takes.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What differs from run to run: a list of values for what its name says, or a map that says which fields of the
/// specification it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Paths of the fields that it changes together; none: what its name says.
    pub fields: Vec<String>,
    /// The values: texts, numbers, true or false.
    pub values: Vec<Value>,
}

/// A value as people read it.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.fields.is_empty() {
            return self.values.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("fields", &self.fields)?;
        map.serialize_entry("values", &self.values)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FactorVisitor)
    }
}

struct FactorVisitor;

impl<'de> Visitor<'de> for FactorVisitor {
    type Value = Factor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values, or a map with `fields` and `values`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Factor, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Factor { fields: Vec::new(), values })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Factor, A::Error> {
        let (mut fields, mut values) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "fields" => fields = Some(map.next_value()?),
                "values" => values = Some(map.next_value()?),
                other => return Err(de::Error::unknown_field(other, &["fields", "values"])),
            }
        }
        Ok(Factor {
            fields: fields.ok_or_else(|| de::Error::missing_field("fields"))?,
            values: values.ok_or_else(|| de::Error::missing_field("values"))?,
        })
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Factor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let values = json_schema!({
            "type": "array",
            "description": "The values: texts, numbers, true or false.",
            "minItems": 2,
            "items": { "type": ["string", "number", "boolean"] }
        });
        json_schema!({
            "oneOf": [
                values,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["fields", "values"],
                    "properties": {
                        "fields": {
                            "type": "array",
                            "description": "Paths of the fields that it changes together: groups[0].rate.",
                            "minItems": 1,
                            "items": { "type": "string" }
                        },
                        "values": values
                    }
                }
            ]
        })
    }
}
