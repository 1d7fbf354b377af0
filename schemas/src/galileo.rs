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
//! - Custom client apps are refused: they are not available yet.
//! - The experiment ends when the text does, whether or not its groups were closed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{ExperimentSpec, SpecError};
use crate::units::{HumanDuration, UnitError};

pub mod instructions;
pub mod ticks;

pub use instructions::InstructionExperiment;
pub use ticks::TickExperiment;

/// Requests one client of the original could have under way: the threads of its pool.
pub const REQUESTS_PER_CLIENT: u32 = 50;
/// Most clients of one service on one node.
pub const CLIENTS_MAX: u32 = 10_000;

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

/// A length of time as Galileo writes it: a bare number is seconds; else numbers with units.
pub(crate) fn parse_time(text: &str) -> Result<HumanDuration, String> {
    let text = text.trim();
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let with_unit = if bare { format!("{text}s") } else { text.to_owned() };
    with_unit.parse().map_err(|error| match error {
        UnitError::TooLarge(_) => error.to_string(),
        _ => format!("`{}` is not a time: write seconds, or as in 1m30s or 500ms", shown(text)),
    })
}

/// A text from outside, cut to what fits an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The target of a service; refuses what cannot be the host of a URL.
pub(crate) fn target_of(service: &str) -> Result<String, String> {
    let plain = service.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b));
    if service.is_empty() || service.len() > 255 || !plain {
        return Err(format!("`{}` is not a service: use A-Z a-z 0-9 . _ -, or host:port", shown(service)));
    }
    Ok(format!("http://{service}/"))
}

/// Requests under way for so many clients; refuses none and too many.
pub(crate) fn in_flight_of(clients: u32) -> Result<u32, String> {
    if clients == 0 || clients > CLIENTS_MAX {
        return Err(format!("{clients} clients: give 1 to {CLIENTS_MAX}"));
    }
    Ok(clients * REQUESTS_PER_CLIENT)
}

/// The token for a group of this service that no other group has.
pub(crate) fn group_name(service: &str, taken: &[crate::spec::Group]) -> String {
    let base: String = crate::names::token_from_host(service).chars().take(56).collect();
    let is_free = |name: &str| taken.iter().all(|group| group.name != name);
    if is_free(&base) {
        return base;
    }
    // One of the first `taken.len() + 1` numbers is free.
    (2..=taken.len() + 2).map(|number| format!("{base}-{number}")).find(|name| is_free(name)).unwrap_or(base)
}

/// Puts a stage at the end, joined to the last one when the rate goes on.
pub(crate) fn push_stage(stages: &mut Vec<crate::spec::Stage>, rate: crate::units::Rate, duration_ns: u64) {
    if duration_ns == 0 {
        return;
    }
    match stages.last_mut() {
        Some(last) if last.rate == rate => last.duration.0 = last.duration.0.saturating_add(duration_ns),
        _ => stages.push(crate::spec::Stage { duration: HumanDuration(duration_ns), rate, to: None }),
    }
}
