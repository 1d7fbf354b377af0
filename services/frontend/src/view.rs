//! What a frontend knows, as its pages show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nuncius_schemas::queue::QueueTotals;
use nuncius_schemas::worker::NodeSample;

use crate::maxima::Maxima;

/// A worker's word on what it runs is believed for this long.
const SAMPLE_LIFE: Duration = Duration::from_secs(11);

/// A queue, as far as this frontend holds its lease.
#[derive(Debug)]
pub(crate) struct QueueView {
    pub(crate) totals: QueueTotals,
    pub(crate) maxima: Maxima,
    /// Jobs that have not ended, waiting or running.
    pub(crate) jobs: u64,
    /// Jobs ever stored.
    pub(crate) accepted: u64,
    /// Jobs that neither ended nor are there.
    pub(crate) unaccounted: u64,
    /// Most jobs that may wait; `None` for no limit but that of all jobs.
    pub(crate) limit: Option<u64>,
    pub(crate) dead_letters: u64,
    /// How long the oldest job that was never begun has waited.
    pub(crate) oldest_waiting_seconds: f64,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Queues whose lease is held here.
    pub(crate) queues: BTreeMap<String, QueueView>,
    /// Workers by name: queue and slots.
    pub(crate) workers: BTreeMap<String, (String, u32)>,
    /// Clients of queues that are there.
    pub(crate) clients: BTreeSet<String>,
    /// Clients and workers that came since the start, those that were there included.
    pub(crate) clients_seen: u64,
    pub(crate) workers_seen: u64,
    /// What workers said last.
    pub(crate) samples: BTreeMap<String, (NodeSample, Option<Instant>)>,
}

impl View {
    /// Workers of a queue and their slots.
    pub(crate) fn workers_of(&self, queue: &str) -> (u64, u64) {
        let own = self.workers.values().filter(|(of, _)| of == queue);
        own.fold((0, 0), |(workers, slots), (_, more)| (workers + 1, slots + u64::from(*more)))
    }

    /// Jobs of a queue that are waiting and running. Workers say what they run; the stream says how many jobs there
    /// are, which bounds it: what a worker that was lost ran waits until it is given to another.
    pub(crate) fn waiting_and_running(&self, queue: &str, jobs: u64, now: Instant) -> (u64, u64) {
        let fresh = |at: &Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < SAMPLE_LIFE);
        let busy = self.samples.values().filter(|(sample, at)| sample.queue.as_deref() == Some(queue) && fresh(at));
        let running = busy.map(|(sample, _)| u64::from(sample.busy)).sum::<u64>().min(jobs);
        (jobs - running, running)
    }
}

/// The view, shared.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<View>);

impl Shared {
    /// Locked: for a moment, never across an `await`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
