//! Galileo's two ways to write an experiment, read as they were written and translated to an [`ExperimentSpec`].
//!
//! *Instructions* are a text of commands, one a line (blank lines and lines that begin with `#` are skipped):
//!
//! ```text
//! spawn <worker-regex> <service> <num> [client]   num clients of the service on each matched worker
//! rps <worker-regex> <service> <rps> [client]     the rate of each matched worker from now on; 0 pauses
//! sleep <seconds>                                 time goes on: 2, 0.5, 1m30s, 500ms
//! close <worker-regex> <service> [client]         no more load from the matched workers
//! ```
//!
//! A *tick configuration* gives each service a list of rates, one per interval, for all workers together.
//!
//! What is different from the original, and why:
//!
//! - Times may have fractions and every unit: `500ms` is half a second (it was 500 minutes), `1.5s` is one and a half.
//! - A regular expression must match the whole name of a node. One that matches none is an error and names its line.
//! - A change of rate takes effect at once; the original first slept out the pause between two requests.
//! - A client had 50 threads, and requests that found none free waited unseen. The limit stays, 50 requests under way
//!   per client, but waiting is measured (*blocked*) and counts in the response time.
//! - Requests keep their connections open; the original made a new one for each.
//! - `rps` is the rate of the whole group on each matched worker, however many clients it has.
//! - Ticks are for all workers together, as documented; the original divided them by `clients_per_host` and forgot
//!   the hosts. Ticks that end before `duration` are an error that names them; those beyond it are not used.
//! - `clients_per_host` and `arrival_pattern` may be left out (3 and constant), and the pattern is heeded.
//! - A timeout of 30 s applies where none is given; there was none. Redirects are not followed.
//! - Telemetry is that of all machines that are sampled, as there; where none is, a warning says so.
//! - Custom client apps are refused: they are not available yet.
//! - The experiment ends when the text does, whether or not its groups were closed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{ExperimentSpec, SpecError};

pub mod instructions;
pub mod ticks;
mod words;

pub use instructions::InstructionExperiment;
pub use ticks::{ClientParameters, TickExperiment};
pub use words::{CLIENTS_MAX, REQUESTS_PER_CLIENT};

/// An experiment as Galileo's users write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GalileoInput {
    /// A text of commands.
    Instructions(InstructionExperiment),
    /// A list of rates per service.
    Ticks(Box<TickExperiment>),
}

impl GalileoInput {
    /// The identifier it asks for.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Instructions(input) => input.exp_id.as_deref(),
            Self::Ticks(input) => input.experiment.id.as_deref(),
        }
    }

    /// What people call it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Instructions(input) => input.name.as_deref(),
            Self::Ticks(input) => input.experiment.name.as_deref(),
        }
    }

    /// Who wants it.
    pub fn creator(&self) -> Option<&str> {
        match self {
            Self::Instructions(input) => input.creator.as_deref(),
            Self::Ticks(input) => input.experiment.creator.as_deref(),
        }
    }

    /// Asks for this identifier instead.
    pub fn set_id(&mut self, id: &str) {
        match self {
            Self::Instructions(input) => input.exp_id = Some(id.to_owned()),
            Self::Ticks(input) => input.experiment.id = Some(id.to_owned()),
        }
    }

    /// Addresses of services; a name that is not here is looked up in the routing table.
    pub fn services(&self) -> &BTreeMap<String, Vec<String>> {
        match self {
            Self::Instructions(input) => &input.services,
            Self::Ticks(input) => &input.services,
        }
    }

    /// The same, to be changed.
    pub fn services_mut(&mut self) -> &mut BTreeMap<String, Vec<String>> {
        match self {
            Self::Instructions(input) => &mut input.services,
            Self::Ticks(input) => &mut input.services,
        }
    }

    /// The services that it names.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Instructions(input) => input.instructions.lines().filter_map(instructions::service_of).collect(),
            Self::Ticks(input) => input.configuration.workloads.iter().map(|load| load.service.as_str()).collect(),
        }
    }

    /// Everything that can be wrong with it whatever nodes there are.
    pub fn check(&self) -> Result<(), SpecError> {
        match self {
            Self::Instructions(input) => input.check(),
            Self::Ticks(input) => input.translate().map(drop),
        }
    }

    /// The specification it means on these nodes; fails with the line or the field that is wrong.
    ///
    /// The result has been validated. Instructions name nodes, so they can only be translated when the nodes are known.
    pub fn translate(&self, node_names: &[String]) -> Result<ExperimentSpec, SpecError> {
        match self {
            Self::Instructions(input) => input.translate(node_names),
            Self::Ticks(input) => input.translate(),
        }
    }
}
