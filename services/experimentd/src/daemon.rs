//! What all runs of one daemon share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_bus::kv::{Kv, Unreadable};
use nuncius_bus::lease::{self, Lease};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::node::Role;
use nuncius_schemas::route::Route;
use nuncius_schemas::run::RunRecord;
use nuncius_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::figures::FIGURES;
use crate::nodes::Nodes;
use crate::timing::Timing;

/// Most services of the routing table that nodes are told of where a target has variables.
const ROUTES_MAX: usize = 256;

/// Why there is no record to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Not what a record is.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A record of another run.
    #[error("key `{key}` has the record of run `{id}`")]
    Stranger {
        /// The key.
        key: String,
        /// What the record says.
        id: String,
    },
}

/// Shared by all runs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) timing: Timing,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    /// What the store is called in run records: the host and the path, or the server and its database.
    pub(crate) store_name: String,
    pub(crate) nodes: Nodes,
    pub(crate) runs: Kv,
    pub(crate) routes: Kv,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Runs that a task of this daemon looks after.
    pub(crate) ours: Arc<Mutex<BTreeSet<String>>>,
    /// Runs that have ended and are not all in the store, and those that were removed on request.
    pub(crate) unsettled: Arc<Mutex<Unsettled>>,
}

/// What the store and the bus do not agree on.
#[derive(Default)]
pub(crate) struct Unsettled {
    owed: BTreeSet<String>,
    /// The latest of them: what is being removed must not be stored again meanwhile.
    removed: VecDeque<String>,
}

/// Most removed experiments that are remembered.
const REMOVED_MAX: usize = 1_024;

/// Releases a lease; one that cannot be released expires by itself.
pub(crate) async fn give_back(lease: Lease) {
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "lease not released");
    }
}

impl Daemon {
    /// Claims a run for a task of this daemon; `false` when there is one already.
    pub(crate) fn remember(&self, id: &str) -> bool {
        self.unsettled().removed.retain(|removed| removed != id);
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }

    /// Whether a task of this daemon looks after a run.
    pub(crate) fn is_ours(&self, id: &str) -> bool {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Gives a run back.
    pub(crate) fn forget(&self, id: &str) {
        FIGURES.forget(id);
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn unsettled(&self) -> std::sync::MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a run has ended and is not all in the store.
    pub(crate) fn owe(&self, id: &str) {
        self.unsettled().owed.insert(id.to_owned());
    }

    /// The runs that are not all in the store.
    pub(crate) fn owed(&self) -> BTreeSet<String> {
        self.unsettled().owed.clone()
    }

    /// A run is all in the store now, or nobody knows it any more.
    pub(crate) fn settled(&self, id: &str) {
        self.unsettled().owed.remove(id);
    }

    /// Remembers that an experiment is being removed.
    pub(crate) fn remember_removed(&self, id: &str) {
        let mut unsettled = self.unsettled();
        unsettled.owed.remove(id);
        unsettled.removed.push_back(id.to_owned());
        if unsettled.removed.len() > REMOVED_MAX {
            unsettled.removed.pop_front();
        }
    }

    /// Whether it was removed; one that was run again under the same id was not.
    pub(crate) fn was_removed(&self, id: &str) -> bool {
        self.unsettled().removed.iter().any(|removed| removed == id)
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

    /// A route of the routing table, and its revision.
    pub(crate) async fn route(&self, service: &str) -> Result<Option<(Route, u64)>, String> {
        match self.routes.get(service).await {
            Ok(Some(entry)) => codec::decode(&entry.value)
                .map(|route| Some((route, entry.revision)))
                .map_err(|error| self.routes.unreadable(&entry, &error).to_string()),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The routing table, up to [`ROUTES_MAX`] services; what cannot be read is left out.
    pub(crate) async fn all_routes(&self) -> Result<Vec<Route>, String> {
        let routes = self.routes.decoded(">").await.map_err(|error| error.to_string())?;
        Ok(routes.into_values().into_iter().take(ROUTES_MAX).collect())
    }

    /// A record on the bus with its revision.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<(RunRecord, u64)>, RecordError> {
        let Some(entry) = self.runs.get(id).await? else { return Ok(None) };
        let record: RunRecord = codec::decode(&entry.value).map_err(|error| self.runs.unreadable(&entry, &error))?;
        if record.id != id {
            return Err(RecordError::Stranger { key: id.to_owned(), id: record.id });
        }
        Ok(Some((record, entry.revision)))
    }

    /// A number of the run from which ids of requests are made: the same in every process that knows the id.
    pub(crate) fn run_key(&self, id: &str) -> u64 {
        // FNV-1a: short, stable, and nothing depends on it being hard to guess.
        id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
