//! A profile, as a node is asked for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::first_attempt;
use crate::profile::ProfileSpec;

/// A profile that a node shall begin now, whether it takes part in the load or not. The answer,
/// [`super::NodeReply::Profiled`], follows when it is done; asked again it is not begun a second time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Experiment.
    pub experiment: String,
    /// Fencing token.
    pub token: u64,
    /// Which start of the experiment this is of, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Instant zero of the run on the daemon's wall clock, nanoseconds since the Unix epoch: another run of this id has
    /// another.
    pub start_unix_ns: u64,
    /// The profile.
    pub profile: ProfileSpec,
    /// How long it is wanted for from now on, in nanoseconds; 0 begins nothing, and asks for what became of it.
    pub length_ns: u64,
    /// What to do.
    #[serde(default)]
    pub order: ProfileOrder,
}

/// What a node shall do with a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileOrder {
    /// Begin it, where it has not begun.
    #[default]
    Begin,
    /// Its time is over, earlier than was thought: interrupt it, and keep what it writes.
    Finish,
    /// Kill it: what it has written is not wanted.
    Stop,
}
