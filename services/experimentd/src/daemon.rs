//! What all runs of one daemon share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_bus::kv::Kv;
use nuncius_bus::lease::{self, Lease};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::node::Role;
use nuncius_schemas::route::Route;
use nuncius_schemas::run::RunRecord;
use nuncius_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::nodes::Nodes;
use crate::timing::Timing;

/// Most services of the routing table that nodes are told of where a target has variables.
const ROUTES_MAX: usize = 256;

/// Shared by all runs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) timing: Timing,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) nodes: Nodes,
    pub(crate) runs: Kv,
    pub(crate) routes: Kv,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Runs that a task of this daemon looks after.
    pub(crate) ours: Arc<Mutex<BTreeSet<String>>>,
}

/// Releases a lease; one that cannot be released expires by itself.
pub(crate) async fn give_back(lease: Lease) {
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "lease not released");
    }
}

impl Daemon {
    /// Claims a run for a task of this daemon; `false` when there is one already.
    pub(crate) fn remember(&self, id: &str) -> bool {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }

    /// Whether a task of this daemon looks after a run.
    pub(crate) fn is_ours(&self, id: &str) -> bool {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Gives a run back.
    pub(crate) fn forget(&self, id: &str) {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Key of a run's lease.
    pub(crate) fn lease_key(id: &str) -> String {
        format!("run.{id}")
    }

    /// Whether another daemon is there, who can go on with what this one has begun.
    pub(crate) fn has_another(&self) -> bool {
        self.nodes.present().iter().any(|node| node.role == Role::Experimentd && node.name != self.name)
    }

    /// The run whose lease has this key.
    pub(crate) fn run_of_lease(key: &str) -> Option<&str> {
        key.strip_prefix("run.")
    }

    /// Takes the lease of a run, if nobody holds it.
    pub(crate) async fn acquire(&self, id: &str) -> Result<Option<Lease>, BusError> {
        let bucket = self.bus.namespace().bucket_lease();
        lease::acquire_for(&self.bus, &bucket, &Self::lease_key(id), &self.name, self.timing.lease).await
    }

    /// Takes a lost lease again; `false` when somebody else holds it.
    pub(crate) async fn reacquire(&self, lease: &mut Lease, id: &str) -> bool {
        match self.acquire(id).await {
            Ok(Some(fresh)) => {
                *lease = fresh;
                true
            }
            // Our own entry that was not renewed in time: it runs out, then it can be taken again.
            Ok(None) => lease.is_still_stored().await.unwrap_or(true),
            // The bus is away: nobody else can take it either. Asked again at the next turn.
            Err(_) => true,
        }
    }

    /// A route of the routing table.
    pub(crate) async fn route(&self, service: &str) -> Result<Option<Route>, String> {
        match self.routes.get(service).await {
            Ok(Some(entry)) => codec::decode(&entry.value).map(Some).map_err(|error| error.to_string()),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The routing table, up to [`ROUTES_MAX`] services; what cannot be read is left out.
    pub(crate) async fn all_routes(&self) -> Result<Vec<Route>, String> {
        let entries = self.routes.entries(">").await.map_err(|error| error.to_string())?;
        Ok(entries.iter().filter_map(|entry| codec::decode(&entry.value).ok()).take(ROUTES_MAX).collect())
    }

    /// A record on the bus with its revision.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<(RunRecord, u64)>, String> {
        match self.runs.get(id).await {
            Ok(Some(entry)) => {
                codec::decode(&entry.value).map(|record| Some((record, entry.revision))).map_err(|e| e.to_string())
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A number of the run from which ids of requests are made: the same in every process that knows the id.
    pub(crate) fn run_key(&self, id: &str) -> u64 {
        // FNV-1a: short, stable, and nothing depends on it being hard to guess.
        id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
