//! Load over time: stages of a rate, and how arrivals are spaced in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{HumanDuration, Rate};

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly in the integrated rate.
    #[default]
    Constant,
    /// As a Poisson process of the rate.
    Poisson,
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
