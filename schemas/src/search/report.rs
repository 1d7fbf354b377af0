//! A search and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SearchSpec;
use super::finding::{SearchFinding, SearchRecord};

/// A search and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchReport {
    /// Identifier of the search.
    pub id: String,
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// What was asked for.
    pub search: SearchSpec,
    /// Its experiments, in order.
    pub history: Vec<SearchRecord>,
    /// What came of it; absent while it is under way.
    pub finding: Option<SearchFinding>,
}
