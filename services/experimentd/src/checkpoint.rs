//! Where a run stands, on the bus: what a daemon needs to go on where another one stood.
//!
//! The plan and the instant zero are stored before any node may offer load; the books every few seconds, with the place
//! in the stream of deltas that they are of. A checkpoint is named by the fencing token of its writer, and the run
//! record says whose counts: a daemon that was frozen while it wrote can only overwrite its own.

use std::collections::BTreeMap;

use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::node::GroupAssignment;
use nuncius_schemas::run::RunNode;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::daemon::Daemon;
use crate::finish::CutShort;
use crate::plan::Plan;
use crate::records::Received;
use crate::totals::RunTotals;
use crate::watch::{Lost, Move};

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

    pub(crate) fn of_plan(plan: &Plan, attempt: u32, start_unix_ns: u64, horizon_ns: u64) -> Self {
        Self {
            attempt,
            nodes: plan.nodes.clone(),
            assignments: plan.assignments.clone(),
            nodes_per_group: plan.nodes_per_group.clone(),
            start_unix_ns,
            horizon_ns,
            progress: None,
        }
    }
}

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

/// The checkpoint of a run that a token names; `None` without one.
///
/// # Errors
/// The bus, or bytes that cannot be read.
pub(crate) async fn load(daemon: &Daemon, experiment: &str, token: u64) -> Result<Option<Checkpoint>, String> {
    let namespace = daemon.bus.namespace();
    let objects = daemon.bus.objects(&namespace.bucket_artifact()).await.map_err(|error| error.to_string())?;
    let name = namespace.artifact_checkpoint(experiment, token);
    let Some(bytes) = objects.get(&name).await.map_err(|error| error.to_string())? else { return Ok(None) };
    codec::decode(&bytes).map(Some).map_err(|error| format!("{name}: {error}"))
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
