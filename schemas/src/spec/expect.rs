//! What counts as a successful answer.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most entries of a set of statuses.
pub const STATUS_ENTRIES_MAX: usize = 500;

/// What counts as a successful answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Status codes: one, a range (`2xx`, `200-204`), or a list of both.
    pub status: Statuses,
}

/// A set of status codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<StatusRange>);

/// Status codes from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StatusRange {
    first: u16,
    last: u16,
}

impl Statuses {
    /// These codes.
    pub fn of(codes: impl IntoIterator<Item = u16>) -> Self {
        Self(codes.into_iter().map(|code| StatusRange { first: code, last: code }).collect())
    }

    /// Every code in it.
    pub fn codes(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }

    /// Why the set cannot be meant, if it cannot.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.0.is_empty() {
            return Some("empty: no answer could succeed".to_owned());
        }
        if self.0.len() > STATUS_ENTRIES_MAX {
            return Some(format!("more than {STATUS_ENTRIES_MAX} entries: there are no more statuses"));
        }
        let outside = |range: &&StatusRange| range.first < 100 || range.last > 599 || range.first > range.last;
        self.0.iter().find(outside).map(|range| format!("{range}: a status is within 100 to 599"))
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

fn range_of(text: &str) -> Option<StatusRange> {
    let code = |text: &str| text.trim().parse::<u16>().ok();
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let class = code(class).filter(|class| (1..=5).contains(class))?;
        return Some(StatusRange { first: class * 100, last: class * 100 + 99 });
    }
    match text.split_once('-') {
        Some((first, last)) => Some(StatusRange { first: code(first)?, last: code(last)? }),
        None => code(text).map(|code| StatusRange { first: code, last: code }),
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.first == self.last {
            true => serializer.serialize_u16(self.first),
            false => serializer.collect_str(self),
        }
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

struct StatusVisitor;

impl Visitor<'_> for StatusVisitor {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status such as 201, or a range such as 2xx or 200-204")
    }

    fn visit_u64<E: de::Error>(self, code: u64) -> Result<StatusRange, E> {
        let invalid = || E::invalid_value(de::Unexpected::Unsigned(code), &self);
        let code = u16::try_from(code).map_err(|_| invalid())?;
        Ok(StatusRange { first: code, last: code })
    }

    fn visit_i64<E: de::Error>(self, code: i64) -> Result<StatusRange, E> {
        let unsigned = u64::try_from(code).map_err(|_| E::invalid_value(de::Unexpected::Signed(code), &self))?;
        self.visit_u64(unsigned)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
        range_of(text.trim()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusVisitor)
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusesVisitor;
        impl<'de> Visitor<'de> for StatusesVisitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 201, a range such as 2xx or 200-204, or a list of them")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<Statuses, E> {
                StatusVisitor.visit_u64(code).map(|range| Statuses(vec![range]))
            }

            fn visit_i64<E: de::Error>(self, code: i64) -> Result<Statuses, E> {
                StatusVisitor.visit_i64(code).map(|range| Statuses(vec![range]))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                StatusVisitor.visit_str(text).map(|range| Statuses(vec![range]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
                let mut ranges = Vec::new();
                while let Some(range) = list.next_element()? {
                    ranges.push(range);
                }
                Ok(Statuses(ranges))
            }
        }
        deserializer.deserialize_any(StatusesVisitor)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({
            "oneOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^[1-5](xx|XX|[0-9]{2}( *- *[1-5][0-9]{2})?)$" }
            ]
        });
        json_schema!({
            "description": "One status (201), a range (2xx, 200-204), or a list of both.",
            "oneOf": [
                one,
                { "type": "array", "minItems": 1, "maxItems": 500, "items": one }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(json: &str) -> Vec<u16> {
        let expect: Expect = serde_json::from_str(&format!(r#"{{"status": {json}}}"#)).unwrap();
        assert_eq!(expect.status.problem(), None, "{json}");
        let again = serde_json::to_string(&expect).unwrap();
        assert_eq!(serde_json::from_str::<Expect>(&again).unwrap(), expect, "{json}");
        expect.status.codes().collect()
    }

    #[test]
    fn statuses_are_one_a_range_or_a_list() {
        assert_eq!(codes("201"), [201]);
        assert_eq!(codes(r#""201""#), [201]);
        assert_eq!(codes("[200, 404]"), [200, 404]);
        assert_eq!(codes(r#""2xx""#), (200..300).collect::<Vec<_>>());
        assert_eq!(codes(r#""200-202""#), [200, 201, 202]);
        assert_eq!(codes(r#"["200 - 201", 404, "5XX"]"#).len(), 103);
        assert_eq!(Statuses::of([204]).codes().collect::<Vec<_>>(), [204]);
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for json in [r#""xx""#, r#""6xx""#, r#""200-""#, "true", "70000", "-1", "{}"] {
            assert!(serde_json::from_str::<Expect>(&format!(r#"{{"status": {json}}}"#)).is_err(), "{json}");
        }
        for json in ["[]", "99", "600", r#""300-200""#, r#""200-999""#] {
            let expect: Expect = serde_json::from_str(&format!(r#"{{"status": {json}}}"#)).unwrap();
            assert!(expect.status.problem().is_some(), "{json}");
        }
    }
}
