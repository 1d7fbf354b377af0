//! What is changed of an experiment's load while it runs, or was meant to be from the start.
//!
//! An amendment holds from an instant of run time on that no node had leave to offer load at when it was made: the
//! horizon that is moved past that instant carries it, so that all nodes change at it, or offer nothing. The amended
//! specification is all that the schedule is made of: whoever has it can compute the schedule again.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::route::Weight;
use crate::units::{HumanDuration, Rate};

/// Longest reason of an amendment, and longest name of whoever made it, in bytes.
pub const NOTE_MAX_BYTES: usize = 1_024;

/// One change of the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// Run time from which on it holds.
    pub at: HumanDuration,
    /// The group that it is of; every group when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What is changed.
    pub change: Change,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who wanted it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// What is changed of a group's load. The end of its load stays where it is, unless that is what is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing begins any more. What a rate would have planned meanwhile is not planned at all, and does not come
    /// later; clients go on afterwards with the wait that they were in, and a file where it stood.
    Pause,
    /// Load is offered again, as it would be without the pause.
    Resume,
    /// The load ends, and with that of all groups the run: it is judged by what there was. Nothing follows.
    End,
    /// Open model: this rate, whatever the stages say; for each node where the group's is.
    Rate(Rate),
    /// As the specification has it, times this: its rates in the open model, the pace of its clients or of its file,
    /// its users in the closed one.
    Scale(Multiplier),
    /// So many users of the closed model, or clients of the open one, over all nodes. Those that are too many end with
    /// their iteration.
    Users(u32),
    /// Weights of scenarios, by name, for the iterations that begin from then on; those that are not named keep theirs.
    Weights(BTreeMap<String, Weight>),
}

impl<'de> Deserialize<'de> for Change {
    /// By hand, so that a field that is misspelt is named.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChangeVisitor)
    }
}

struct ChangeVisitor;

/// A change that has a number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    rate: Option<Rate>,
    scale: Option<Multiplier>,
    users: Option<u32>,
    weights: Option<BTreeMap<String, Weight>>,
}

impl<'de> Visitor<'de> for ChangeVisitor {
    type Value = Change;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pause, resume, end, or one of {rate: 200/s}, {scale: 1.5}, {users: 20} and {weights: {buy: 2}}")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Change, E> {
        match word {
            "pause" => Ok(Change::Pause),
            "resume" => Ok(Change::Resume),
            "end" => Ok(Change::End),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Change, A::Error> {
        let Numbered { rate, scale, users, weights } = Numbered::deserialize(MapAccessDeserializer::new(map))?;
        match (rate, scale, users, weights) {
            (Some(rate), None, None, None) => Ok(Change::Rate(rate)),
            (None, Some(factor), None, None) => Ok(Change::Scale(factor)),
            (None, None, Some(users), None) => Ok(Change::Users(users)),
            (None, None, None, Some(weights)) => Ok(Change::Weights(weights)),
            _ => Err(de::Error::invalid_value(Unexpected::Map, &self)),
        }
    }
}

/// A number to multiply by that is not negative, held exactly: in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiplier(pub u64);

impl Multiplier {
    /// Millionths in one.
    pub const ONE: u64 = 1_000_000;
    /// The largest one.
    pub const MAX: u64 = 1_000_000 * Self::ONE;

    /// From a number; `None` when it is negative, larger than a million, or no number.
    pub fn new(value: f64) -> Option<Self> {
        let millionths = (value * Self::ONE as f64).round();
        // A float becomes the nearest integer there is; it is within the limits.
        (0.0..=Self::MAX as f64).contains(&millionths).then_some(Self(millionths as u64))
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }

    /// A number times this, rounded to the nearest whole one.
    pub fn times(self, number: u64) -> u64 {
        let product = u128::from(number) * u128::from(self.0) + u128::from(Self::ONE / 2);
        u64::try_from(product / u128::from(Self::ONE)).unwrap_or(u64::MAX)
    }
}

impl Default for Multiplier {
    fn default() -> Self {
        Self(Self::ONE)
    }
}

impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Serialize for Multiplier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Multiplier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let problem = || serde::de::Error::custom("not within 0 to 1000000");
        Self::new(f64::deserialize(deserializer)?).ok_or_else(problem)
    }
}

impl JsonSchema for Multiplier {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Multiplier".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "description": "A number to multiply by; six digits after the point count.",
            "minimum": 0,
            "maximum": 1_000_000
        })
    }
}

impl Change {
    /// What it does, for people: `pause`, `rate 200/s`.
    pub fn told(&self) -> String {
        match self {
            Self::Pause => "pause".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::End => "end".to_owned(),
            Self::Rate(rate) => format!("rate {rate}"),
            Self::Scale(factor) => format!("scale {factor}"),
            Self::Users(users) => format!("users {users}"),
            Self::Weights(weights) => {
                let told: Vec<String> = weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                format!("weights {}", told.join(" "))
            }
        }
    }

    /// Whether it changes how much load there is, and when, and not only what it consists of.
    pub const fn is_of_load(&self) -> bool {
        match self {
            Self::Pause | Self::Resume | Self::End | Self::Rate(_) | Self::Scale(_) | Self::Users(_) => true,
            Self::Weights(_) => false,
        }
    }
}

impl Amendment {
    /// Whether it is of a group of this name.
    pub fn concerns(&self, group: &str) -> bool {
        self.group.as_ref().is_none_or(|own| own == group)
    }

    /// For people: `users 20 of group b from 12s on`.
    pub fn told(&self) -> String {
        let of = self.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
        format!("{}{of} from {} on", self.change.told(), self.at)
    }
}

/// What all amendments of a group together have made of its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amended {
    /// Whether nothing begins.
    pub is_paused: bool,
    /// Whether the load is over.
    pub is_ended: bool,
    /// A rate that is in force instead of the stages.
    pub rate: Option<Rate>,
    /// What the specification's load is multiplied by where no rate is in force.
    pub factor: Multiplier,
    /// Users that are in force instead of the specification's.
    pub users: Option<u32>,
}

impl Amended {
    /// With one more change: the last that says how much load there is replaces those before.
    #[must_use]
    pub fn with(self, change: &Change) -> Self {
        match *change {
            Change::Pause => Self { is_paused: true, ..self },
            Change::Resume => Self { is_paused: false, ..self },
            Change::End => Self { is_ended: true, ..self },
            Change::Rate(rate) => Self { rate: Some(rate), ..self },
            Change::Scale(factor) => Self { factor, rate: None, users: None, ..self },
            Change::Users(users) => Self { users: Some(users), ..self },
            Change::Weights(_) => self,
        }
    }

    /// How many users there are of a group that was written with so many.
    pub fn users_of(&self, written: u32) -> u32 {
        if self.is_paused || self.is_ended {
            return 0;
        }
        let scaled = || u32::try_from(self.factor.times(u64::from(written))).unwrap_or(u32::MAX);
        self.users.unwrap_or_else(scaled)
    }
}

#[cfg(test)]
mod tests;
