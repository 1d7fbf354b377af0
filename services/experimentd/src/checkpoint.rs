//! Where a run stands, on the bus: what a daemon needs to go on where another one stood.
//!
//! The plan and the instant zero are stored before any node may offer load; the books every few seconds, with the place
//! in the stream of deltas that they are of. A checkpoint is named by the fencing token that its writer took the run up
//! with, and the run record says whose counts: a daemon that was frozen while it wrote can only overwrite its own, and
//! one whose lease ran out in an outage and was taken again goes on under the name that the record has.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::node::{GroupAssignment, GroupVariables};
use nuncius_schemas::run::RunNode;
use nuncius_schemas::second::ExperimentSecond;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::daemon::Daemon;
use crate::outcome::{CutShort, Lost};
use crate::plan::Plan;
use crate::plan::moving::Move;
use crate::records::Received;
use crate::totals::RunTotals;

/// What was agreed on at the start, and how far the run has come since.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The attempt that it is of.
    pub(crate) attempt: u32,
    pub(crate) nodes: Vec<RunNode>,
    pub(crate) assignments: BTreeMap<String, Vec<GroupAssignment>>,
    pub(crate) nodes_per_group: Vec<u32>,
    /// The instant zero on the wall clock of the daemon that started it, in nanoseconds since the Unix epoch.
    pub(crate) start_unix_ns: u64,
    /// How far ahead nodes may offer, in nanoseconds.
    pub(crate) horizon_ns: u64,
    /// What sessions were given: it is needed once more when the load is over.
    #[serde(default)]
    pub(crate) given: Vec<GroupVariables>,
    /// Absent until something was merged.
    pub(crate) progress: Option<Progress>,
}

/// How far a run has come.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last message of the stream of deltas that is in the books.
    pub(crate) stream_sequence: u64,
    pub(crate) totals: ByteBuf,
    pub(crate) judge: ByteBuf,
    pub(crate) seconds: ByteBuf,
    pub(crate) lost: BTreeMap<String, Lost>,
    pub(crate) moves: Vec<Move>,
    pub(crate) cut_short: Option<CutShort>,
    pub(crate) problems: Vec<String>,
    pub(crate) stopped_ns: Option<u64>,
    pub(crate) ended_ns: u64,
    /// Lost nodes whose load was late: they tell nothing any more that counts.
    #[serde(default)]
    pub(crate) stood_still: BTreeSet<String>,
    /// Seconds that were closed and are not all on the bus yet.
    #[serde(default)]
    pub(crate) untold: Vec<ExperimentSecond>,
    /// The latest horizon that each node may have heard of, in nanoseconds of run time.
    pub(crate) horizons_ns: BTreeMap<String, u64>,
    pub(crate) records: BTreeMap<String, Received>,
    /// The last message of the stream of request records that is stored.
    pub(crate) records_sequence: u64,
}

impl Checkpoint {
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            nodes: self.nodes.clone(),
            assignments: self.assignments.clone(),
            nodes_per_group: self.nodes_per_group.clone(),
        }
    }

    pub(crate) fn of_plan(
        plan: &Plan,
        attempt: u32,
        start_unix_ns: u64,
        horizon_ns: u64,
        given: Vec<GroupVariables>,
    ) -> Self {
        Self {
            attempt,
            nodes: plan.nodes.clone(),
            assignments: plan.assignments.clone(),
            nodes_per_group: plan.nodes_per_group.clone(),
            start_unix_ns,
            horizon_ns,
            given,
            progress: None,
        }
    }
}

/// Between run and token in the name of a checkpoint: see [`nuncius_schemas::subjects::Namespace`].
const BETWEEN: &str = "-checkpoint-";

/// Books as bytes.
pub(crate) fn pack(totals: &RunTotals) -> Result<ByteBuf, CodecError> {
    codec::encode(totals).map(ByteBuf::from)
}

/// Stores encoded checkpoint bytes under the token of their writer.
///
/// # Errors
/// The bus.
pub(crate) async fn store(bus: &Bus, experiment: &str, token: u64, bytes: &[u8]) -> Result<(), BusError> {
    let namespace = bus.namespace();
    bus.objects(&namespace.bucket_artifact()).await?.put(&namespace.artifact_checkpoint(experiment, token), bytes).await
}

/// The checkpoint of a run that a token names, as bytes; `None` without one.
///
/// # Errors
/// The bus.
pub(crate) async fn load(daemon: &Daemon, experiment: &str, token: u64) -> Result<Option<Vec<u8>>, BusError> {
    let namespace = daemon.bus.namespace();
    let objects = daemon.bus.objects(&namespace.bucket_artifact()).await?;
    objects.get(&namespace.artifact_checkpoint(experiment, token)).await
}

/// The run that an object of the store is a checkpoint of, if it is one.
pub(crate) fn run_of(object: &str) -> Option<&str> {
    let (experiment, token) = object.rsplit_once(BETWEEN)?;
    token.parse::<u64>().ok().map(|_| experiment)
}

/// Removes what a token's holder has stored; what cannot be removed is left.
pub(crate) async fn forget(bus: &Bus, experiment: &str, token: u64) {
    let namespace = bus.namespace();
    let removed = async {
        let objects = bus.objects(&namespace.bucket_artifact()).await?;
        objects.delete(&namespace.artifact_checkpoint(experiment, token)).await
    };
    if let Err(error) = removed.await {
        tracing::debug!(experiment, %error, "checkpoint not removed");
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::subjects::Namespace;

    use super::*;

    #[test]
    fn the_name_of_a_checkpoint_says_whose_it_is() {
        let namespace = Namespace::default();
        for run in ["e1", "a-checkpoint-7", "x-report"] {
            assert_eq!(run_of(&namespace.artifact_checkpoint(run, 17)), Some(run));
            assert_eq!(run_of(&namespace.artifact_report(run)), None);
        }
    }
}
