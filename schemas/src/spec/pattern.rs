//! Rates that follow a pattern, instead of stages that are written one by one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{HumanDuration, Rate};

/// Shortest period of a sine, in nanoseconds.
pub const PERIOD_MIN_NS: u64 = 10_000_000;
/// Most states of a pattern of bursts.
pub const STATES_MAX: usize = 16;

/// A rate over time. What is random in it is a function of the seed and the group alone: all nodes see the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// It swings between two rates.
    Sine(SinePattern),
    /// It takes a random step now and then.
    RandomWalk(RandomWalk),
    /// It jumps between some rates at random: a Markov-modulated Poisson process where `arrivals` is `poisson`.
    Bursts(Bursts),
}

/// A rate of `min + (max − min) · (sin(2π · (t + phase) / period) + 1) / 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinePattern {
    /// The lowest rate.
    #[serde(default)]
    pub min: Rate,
    /// The highest rate.
    pub max: Rate,
    /// From one highest rate to the next.
    pub period: HumanDuration,
    /// How far into the period the load begins: without it in the middle of the rise, after three quarters of the
    /// period at the lowest rate.
    #[serde(default)]
    pub phase: HumanDuration,
}

/// A rate that takes a step after each interval: a normal number of arrivals per second, whose mean is `mu` and whose
/// standard deviation is `sigma`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomWalk {
    /// The lowest rate.
    #[serde(default)]
    pub min: Rate,
    /// The highest rate.
    pub max: Rate,
    /// The first rate; halfway between the two when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Rate>,
    /// Mean of a step, in arrivals per second.
    #[serde(default)]
    pub mu: f64,
    /// Standard deviation of a step, in arrivals per second.
    pub sigma: f64,
    /// How long each rate lasts.
    #[serde(default = "default_interval")]
    pub interval: HumanDuration,
    /// What becomes of a step that leads below the lowest rate or above the highest.
    #[serde(default)]
    pub bounds: WalkBounds,
}

fn default_interval() -> HumanDuration {
    HumanDuration::from_secs(1)
}

/// What becomes of a step that leads out of the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalkBounds {
    /// What is too much of it leads back.
    #[default]
    Reflect,
    /// It ends there.
    Clamp,
}

/// States with a rate each. The first is the first of the list; one that is over is followed by any of the others
/// alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// The states.
    pub states: Vec<BurstState>,
}

/// One state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurstState {
    /// The rate in it; 0 is a pause.
    pub rate: Rate,
    /// How long it lasts on average; each time is exponential.
    pub dwell: HumanDuration,
}

impl Pattern {
    /// The name of the field that it is written in.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sine(_) => "sine",
            Self::RandomWalk(_) => "random_walk",
            Self::Bursts(_) => "bursts",
        }
    }

    /// No rate of it is higher.
    pub fn highest_rate(&self) -> Rate {
        match self {
            Self::Sine(sine) => sine.max,
            Self::RandomWalk(walk) => walk.max,
            Self::Bursts(bursts) => bursts.states.iter().map(|state| state.rate).max().unwrap_or_default(),
        }
    }

    /// Whether the seed has a part in it.
    pub const fn is_random(&self) -> bool {
        match self {
            Self::Sine(_) => false,
            Self::RandomWalk(_) | Self::Bursts(_) => true,
        }
    }
}
