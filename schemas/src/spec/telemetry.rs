//! Whose telemetry is stored with an experiment.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::units::HumanDuration;

/// Whose telemetry is stored with the experiment, from the start of its load to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySpec {
    /// The nodes: `true` for all that there are, a name, a pattern (`edge-*`), or a list of these.
    pub nodes: TelemetryNodes,
    /// How often they sample while the experiment lasts, 100ms to 1h; absent: as often as they do without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<HumanDuration>,
}

impl TelemetrySpec {
    /// That of all nodes, as often as they sample without the experiment: what Galileo stored with every one.
    pub fn all() -> Self {
        Self { nodes: TelemetryNodes::all(), period: None }
    }
}

/// Patterns of names of nodes, in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TelemetryNodes(pub Vec<String>);

impl TelemetryNodes {
    /// All nodes.
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// Whether a node is meant.
    pub fn contain(&self, node: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, node))
    }
}

/// Whether a name is one that a pattern means: `*` stands for any characters, `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last star was, and how much of the name it stands for so far.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while let Some(character) = name.get(in_name) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => (at, in_name) = (at + 1, in_name + 1),
            Some(_) | None => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    (at, in_name) = (*place + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

impl<'de> Deserialize<'de> for TelemetryNodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = TelemetryNodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, a name of a node, a pattern of names, or a list of these")
            }

            fn visit_bool<E: de::Error>(self, all: bool) -> Result<Self::Value, E> {
                Ok(if all { TelemetryNodes::all() } else { TelemetryNodes(Vec::new()) })
            }

            fn visit_str<E: de::Error>(self, pattern: &str) -> Result<Self::Value, E> {
                Ok(TelemetryNodes(vec![pattern.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = items.next_element()? {
                    patterns.push(pattern);
                }
                Ok(TelemetryNodes(patterns))
            }
        }
        deserializer.deserialize_any(Nodes)
    }
}

impl JsonSchema for TelemetryNodes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TelemetryNodes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "All nodes, the name of one, a pattern of names (`edge-*`), or a list of these.",
            "anyOf": [
                { "type": "boolean" },
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "maxItems": 64 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(text: &str) -> Result<TelemetryNodes, String> {
        let spec: Result<TelemetrySpec, _> = crate::codec::from_text(&format!("nodes: {text}"));
        spec.map(|spec| spec.nodes).map_err(|error| error.to_string())
    }

    #[test]
    fn nodes_are_all_one_a_pattern_or_a_list() {
        assert!(nodes("true").unwrap().contain("anybody"));
        assert!(!nodes("false").unwrap().contain("anybody"));
        let edge = nodes("edge-*").unwrap();
        assert!(edge.contain("edge-1") && edge.contain("edge-") && !edge.contain("an-edge-1"));
        let some = nodes("[a, 'b?']").unwrap();
        assert!(some.contain("a") && some.contain("b1") && !some.contain("b12") && !some.contain("b"));
        assert!(nodes("7").unwrap_err().contains("a pattern of names"));
    }

    #[test]
    fn a_pattern_stands_for_whole_names() {
        for (pattern, name, is_meant) in [
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "acb", false),
            ("**x", "x", true),
            ("?", "", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is_meant, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_meant_by_itself_and_by_any_of_its_parts_with_stars(name in "[a-z-]{0,12}", cut in 0usize..12) {
            assert!(matches(&name, &name));
            let cut = cut.min(name.len());
            assert!(matches(&format!("{}*", &name[..cut]), &name));
            assert!(matches(&format!("*{}", &name[cut..]), &name));
            assert!(!matches(&format!("{name}?"), &name));
        }
    }
}
