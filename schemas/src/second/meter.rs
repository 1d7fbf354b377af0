//! What a meter of a group did in a second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use crate::meter::{MeterKind, MeterUnit};

/// What a meter of a group did in a second, and up to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterSecond {
    /// Its name.
    pub name: String,
    /// What it adds up.
    pub kind: MeterKind,
    /// What its values are of.
    #[serde(default)]
    pub unit: MeterUnit,
    /// Of a counter: what was added in this second.
    #[serde(default)]
    pub sum: u64,
    /// Of a counter: the sum over every second that was published up to now, this one included.
    #[serde(default)]
    pub sum_so_far: u64,
    /// Of a histogram: the values of this second, scaled as [`crate::meter::Meter::scaled`] says.
    #[serde(default)]
    pub values: Distribution,
    /// Of a histogram: how many values there were up to now.
    #[serde(default)]
    pub values_so_far: u64,
}
