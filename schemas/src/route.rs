//! The routing table: which addresses stand behind a service name (bucket `route`, one key a service).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name that targets use as their host.
    pub service: String,
    /// Where it is served.
    pub hosts: Vec<RouteHost>,
    /// The process that serves it and keeps the route in the table: the route goes when the process does. Absent where
    /// a person has set it, who alone takes it out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteHost {
    /// `host:port`.
    pub address: String,
    /// Share of the requests relative to the others; 0 gets none.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn default_weight() -> u32 {
    1
}
