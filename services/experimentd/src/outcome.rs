//! What a run comes to once its load was offered: what was measured, who was lost, why it did not go to its end.

use std::collections::BTreeMap;

use nuncius_bus::clock::Offset;
use nuncius_schemas::profile::ProfileReport;
use nuncius_schemas::telemetry::MachineDescription;
use serde::{Deserialize, Serialize};

use crate::judge::Judge;
use crate::plan::moving::Move;
use crate::records::Gathering;
use crate::summary::OverTime;
use crate::totals::RunTotals;

/// What was offered and measured.
pub(crate) struct Offered {
    pub(crate) totals: RunTotals,
    pub(crate) judge: Judge,
    pub(crate) clocks: BTreeMap<String, ClockSeen>,
    /// Nodes that were given up.
    pub(crate) lost: BTreeMap<String, Lost>,
    /// What others took over from them.
    pub(crate) moves: Vec<Move>,
    /// The request records, as far as they have come.
    pub(crate) gathering: Option<Gathering>,
    /// Why the run did not go to its end.
    pub(crate) cut_short: Option<CutShort>,
    /// Pressure that was not as it was meant.
    pub(crate) pressure_problems: Vec<String>,
    /// What became of commands beside the load.
    pub(crate) profiles: Vec<ProfileReport>,
    /// What the machines are that were sampled.
    pub(crate) machines: BTreeMap<String, MachineDescription>,
    /// What the merged seconds say.
    pub(crate) over_time: OverTime,
}

/// A node that was given up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Why.
    pub(crate) reason: String,
    /// Run time before which it may have offered whatever its shards hold, reported or not, in nanoseconds.
    pub(crate) horizon_ns: u64,
    /// Run time through which it has told what it offered, in nanoseconds.
    pub(crate) told_ns: u64,
}

/// A node's clock at the start and now.
pub(crate) struct ClockSeen {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
}

/// Why a run did not go to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CutShort {
    /// For people.
    pub(crate) reason: String,
    /// By request, not by a gate.
    pub(crate) cancelled: bool,
}

impl CutShort {
    /// By request.
    pub(crate) fn cancelled(reason: String) -> Self {
        Self { reason, cancelled: true }
    }
}
