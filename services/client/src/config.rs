//! How a client node is set up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use nuncius_engine::TargetPolicy;
use nuncius_schemas::node::Capacity;

use crate::bundles::BundleSettings;
use crate::profile::AllowedPrograms;

/// Variables of this prefix may be used as `${NAME}` in experiments without being named.
pub const EXPOSED_PREFIX: &str = "NUNCIUS_VAR_";

/// [`ClientConfig::orphan_limit`] where nothing else is said.
pub const ORPHAN_LIMIT: Duration = Duration::from_secs(600);

/// [`ClientConfig::report_queue`] where nothing else is said: of records of 500 requests each, some 10 MB.
pub const REPORT_QUEUE: usize = 256;

/// Settings of a client node; no message can change them.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Name to register under; a taken one gets a suffix.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Labels by which experiments choose nodes.
    pub labels: BTreeMap<String, String>,
    /// Caps.
    pub capacity: Capacity,
    /// Targets that load may be sent to, as written.
    pub allowed_targets: Vec<String>,
    /// The same, understood.
    pub policy: TargetPolicy,
    /// Engine threads for each group.
    pub threads: usize,
    /// Environment that `${NAME}` in experiments may use on this node.
    pub environment: BTreeMap<String, String>,
    /// How long a group stands at its horizon, with nobody to move it, until it ends; or its schedule, if that is
    /// first.
    pub orphan_limit: Duration,
    /// Where the bundles of experiments are kept; where nowhere, experiments with one are refused.
    pub bundles: Option<BundleSettings>,
    /// Seconds and batches of request records that wait for the bus at most. Seconds beyond that are folded into one,
    /// records beyond it are dropped, which is told.
    pub report_queue: usize,
    /// Programs that experiments may have run beside the load.
    pub allowed_profiles: AllowedPrograms,
    /// What they are started by, before this process's id, the program and its arguments: it becomes the program, and
    /// goes when this process does. Where it is empty they are started as they are, and outlive a node that is killed.
    pub profile_starter: Vec<OsString>,
}

impl ClientConfig {
    /// The defaults for a name: one engine thread a group, loopback and private targets, no labels.
    pub fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            labels: BTreeMap::new(),
            capacity: Capacity {
                weight: 1,
                max_rate_per_second: 1_000_000,
                max_in_flight: 100_000,
                max_duration_seconds: 86_400,
            },
            allowed_targets: Vec::new(),
            policy: TargetPolicy::default(),
            threads: 1,
            environment: BTreeMap::new(),
            orphan_limit: ORPHAN_LIMIT,
            bundles: None,
            report_queue: REPORT_QUEUE,
            allowed_profiles: AllowedPrograms::default(),
            profile_starter: Vec::new(),
        }
    }
}

/// The part of an environment that experiments may use: names of the prefix, and those the operator named.
pub fn exposed_environment(
    variables: impl Iterator<Item = (String, String)>,
    named: &[String],
) -> BTreeMap<String, String> {
    variables.filter(|(name, _)| name.starts_with(EXPOSED_PREFIX) || named.contains(name)).collect()
}

/// The allow-list that flags mean.
pub fn parse_policy(entries: &[String]) -> Result<TargetPolicy, String> {
    TargetPolicy::parse(entries).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_cannot_read_an_environment_that_was_not_exposed_to_it() {
        let variables = [("NUNCIUS_VAR_TOKEN", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("NAMED", "c")];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let exposed = exposed_environment(variables, &["NAMED".to_owned()]);
        assert_eq!(exposed.keys().collect::<Vec<_>>(), ["NAMED", "NUNCIUS_VAR_TOKEN"]);
    }
}
