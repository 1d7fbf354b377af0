//! What the loop of requests and the control page share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::statistics::Statistics;

/// Statistics and parallelism. Both change under one lock, so that they never contradict each other.
#[derive(Debug)]
pub struct Control {
    statistics: Mutex<Statistics>,
    parallel: watch::Sender<u32>,
    parallel_max: u32,
}

impl Control {
    /// Nothing counted yet; `parallel` is lowered to `parallel_max` where it is above.
    pub fn new(parallel: u32, parallel_max: u32) -> Self {
        let parallel = parallel.min(parallel_max);
        Self { statistics: Mutex::new(Statistics::new(parallel)), parallel: watch::Sender::new(parallel), parallel_max }
    }

    /// The statistics, locked: for a moment only, never across an `await`, and not twice in one expression, which would
    /// wait for itself for ever.
    pub fn statistics(&self) -> MutexGuard<'_, Statistics> {
        // Counters are whole after every statement; a panic elsewhere does not spoil them.
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the statistics within the lock.
    pub fn with<T>(&self, act: impl FnOnce(&mut Statistics) -> T) -> T {
        act(&mut self.statistics())
    }

    /// The parallelism that is in force, and every change of it.
    pub fn parallel(&self) -> watch::Receiver<u32> {
        self.parallel.subscribe()
    }

    /// The highest parallelism.
    pub const fn parallel_max(&self) -> u32 {
        self.parallel_max
    }

    /// Puts a parallelism in force, lowered to the highest one, and resets the statistics. What is in force then.
    pub fn set_parallel(&self, wanted: u32) -> u32 {
        let parallel = wanted.min(self.parallel_max);
        self.with(|statistics| {
            statistics.set_parallel(parallel);
            statistics.reset();
            // Within the lock: the last one to change the statistics must also be the last one to be heard.
            self.parallel.send_replace(parallel);
        });
        parallel
    }
}
