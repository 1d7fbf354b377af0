//! A run whose load is offered, just begun or left by another daemon.

use std::collections::BTreeMap;

use nuncius_bus::clock::Offset;
use nuncius_schemas::node::GroupVariables;

use crate::checkpoint::Progress;
use crate::plan::Plan;

/// A run whose load is offered.
pub(crate) struct Begun {
    /// Instant zero on our CLOCK_MONOTONIC, in nanoseconds.
    pub(crate) start_at_ns: u64,
    /// The same instant on the wall clock of the daemon that started it, in nanoseconds since the Unix epoch.
    pub(crate) start_unix_ns: u64,
    /// How far ahead nodes may offer, in nanoseconds.
    pub(crate) horizon_ns: u64,
    /// Each node's clock, as far as it is known.
    pub(crate) offsets: BTreeMap<String, Offset>,
    /// How far it has come, where another daemon has watched it before.
    pub(crate) progress: Option<Progress>,
}

/// A run that another daemon has left while its load was offered.
pub(crate) struct Left {
    pub(crate) plan: Plan,
    pub(crate) begun: Begun,
    /// What sessions were given.
    pub(crate) given: Vec<GroupVariables>,
    /// What happened, for people.
    pub(crate) told: String,
    /// Whoever wrote where it stood.
    pub(crate) token: u64,
}
