//! Pauses of users whose iterations end without an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::HumanDuration;

/// How long a user of the closed model pauses after an iteration that ended without an answer: a target that is not
/// there is not hammered in a loop. Twice as long after each further one, and each pause shortened by up to half at
/// random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    /// The first pause.
    pub first: HumanDuration,
    /// The longest one.
    pub max: HumanDuration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: HumanDuration(10_000_000), max: HumanDuration(1_000_000_000) }
    }
}

impl Backoff {
    /// Whether nothing was said of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it, and in which field.
    pub(super) fn problem(&self, longest_ns: u64) -> Option<(&'static str, &'static str)> {
        if self.first.0 == 0 {
            Some(("first", "0s is a loop without a pause"))
        } else if self.max < self.first {
            Some(("max", "shorter than `first`"))
        } else if self.max.0 > longest_ns {
            Some(("max", "longer than 1h"))
        } else {
            None
        }
    }
}
