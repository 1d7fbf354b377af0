//! The load that is searched.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Rate, text_or_number};

/// A load of one group, written "900/s" or "12 users".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Open model: iterations started per second over all nodes.
    Rate(Rate),
    /// Closed model: concurrent users over all nodes.
    Users(u32),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => rate.fmt(f),
            Self::Users(1) => f.write_str("1 user"),
            Self::Users(users) => write!(f, "{users} users"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix(" users").or_else(|| text.strip_suffix(" user")) {
            Some(users) => users.parse().ok().map(Self::Users),
            None => text.parse().ok().map(Self::Rate),
        }
        .ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            format!("`{shown}` is not a load: write a rate, as in 900/s, or users, as in 12 users")
        })
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Load {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Load".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A rate, 900/s, or users: 12 users.",
            "pattern": r"^([0-9]*\.?[0-9]+ ?/ ?(s|sec|second|m|min|minute|h|hour)|[0-9]+ users?)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read_as_they_are_written() {
        for (load, text) in [
            (Load::Rate(Rate::per_second(900)), "900/s"),
            (Load::Rate("20/m".parse().unwrap()), "20/m"),
            (Load::Users(1), "1 user"),
            (Load::Users(12), "12 users"),
        ] {
            assert_eq!((load.to_string().as_str(), text.parse()), (text, Ok(load)));
        }
        for text in ["", "many users", "-1 users", "x/s", " users"] {
            assert!(text.parse::<Load>().unwrap_err().contains("is not a load"), "{text}");
        }
    }
}
