//! Choices of an experiment that are one word each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the load of a node that is lost while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNodeLoss {
    /// The others take it over from the lost node's horizon on: its arrivals in the open model, its users in the closed
    /// one.
    #[default]
    Takeover,
    /// The run goes on without it.
    Shrink,
    /// The run ends.
    End,
}

/// Which requests leave a record of their own in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordsMode {
    /// None: histograms only.
    #[default]
    None,
    /// Those that carry a sampled trace.
    Sample,
    /// Every request.
    All,
}
