//! What all attempts of a worker share.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nuncius_bus::Bus;
use nuncius_jobs::Finisher;
use tokio_util::sync::CancellationToken;

use crate::workload::Workload;

/// What all attempts of a worker share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) bus: Bus,
    pub(crate) finisher: Finisher,
    pub(crate) workload: Workload,
    pub(crate) queue: String,
    pub(crate) worker: String,
    pub(crate) node: String,
    pub(crate) pod: String,
    /// Cancelled when running jobs are to be handed back.
    pub(crate) hand_back: CancellationToken,
    /// Jobs that ended here.
    pub(crate) finished: AtomicU64,
    /// How often the queue was removed.
    pub(crate) removals: Arc<AtomicU64>,
    /// Messages that are worked on, by sequence and time in their stream.
    pub(crate) at_work: Mutex<BTreeSet<(u64, i64)>>,
}

impl Bench {
    /// Messages that are worked on; for no longer than a look.
    pub(crate) fn at_work(&self) -> MutexGuard<'_, BTreeSet<(u64, i64)>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
