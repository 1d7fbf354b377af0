//! What somebody changed beside experiments, written down: who, what, why, when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Message on `<namespace>.change`. Changes of experiments are events of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeRecord {
    /// When, milliseconds since the Unix epoch, on the clock of whoever did it for them.
    pub at_unix_ms: u64,
    /// Who asked for it, as far as that is known.
    #[serde(default)]
    pub who: Option<String>,
    /// The process that did it, by its name in the registry.
    pub by: String,
    /// What was done: `set`, `remove`, `deploy`, `retry`, …
    pub action: String,
    /// To what, for people: `route of shop`.
    pub what: String,
    /// Why; empty where nobody said.
    #[serde(default)]
    pub reason: String,
}
