//! What a job waits for: said to whoever waits for its result, instead of waiting without a word.

use std::fmt;

use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::queue::QueueState;

use crate::{JobError, Queues};

/// What stands between a job and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// The queue.
    pub queue: String,
    /// Whether it gives jobs.
    pub state: QueueState,
    /// Workers in the registry that take its jobs.
    pub workers: u64,
    /// How many jobs those run at once.
    pub slots: u64,
    /// Jobs in the queue, waiting or running, the own one included.
    pub jobs: u64,
}

impl Queues {
    /// What a job of this queue waits for now.
    ///
    /// # Errors
    /// [`JobError::NoQueue`], [`JobError::Bus`].
    pub async fn waits(&self, queue: &str) -> Result<Waits, JobError> {
        let state = self.get(queue).await?.state;
        let names = self.bus.namespace();
        let jobs = self.bus.stream_state(&names.stream_job(queue)).await?.messages;
        let nodes = self.bus.kv(&names.bucket_node()).await?.decoded::<NodeInfo>(">").await?;
        let own = nodes.entries.into_iter().filter_map(|entry| entry.value.worker);
        let own = own.filter(|worker| worker.queue == queue);
        let (workers, slots) = own.fold((0, 0), |(workers, slots), own| (workers + 1, slots + u64::from(own.slots)));
        Ok(Waits { queue: queue.to_owned(), state, workers, slots, jobs })
    }
}

impl Waits {
    /// Whether nothing will ever come of waiting unless somebody does something.
    pub fn is_stuck(&self) -> bool {
        self.workers == 0 || self.state == QueueState::Paused
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, state, workers, slots, jobs } = self;
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        if *state == QueueState::Paused {
            return write!(f, "queue `{queue}` is paused; `nuncius queue resume {queue}` has it give jobs again");
        }
        if *workers == 0 {
            return write!(f, "queue `{queue}` has no worker; `nuncius worker --queue {queue} …` starts one");
        }
        let (s, t) = (plural(*workers), plural(*slots));
        write!(f, "queue `{queue}` has {jobs} job{} and {workers} worker{s} with {slots} slot{t}", plural(*jobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_with_what_to_do() {
        let waits = |state, workers, slots, jobs| Waits { queue: "q".into(), state, workers, slots, jobs };
        let paused = waits(QueueState::Paused, 0, 0, 1);
        assert!(paused.is_stuck() && paused.to_string().contains("nuncius queue resume q"), "{paused}");
        let alone = waits(QueueState::Open, 0, 0, 1);
        assert!(alone.is_stuck() && alone.to_string().contains("no worker; `nuncius worker --queue q"), "{alone}");
        let busy = waits(QueueState::Open, 1, 2, 3);
        assert!(!busy.is_stuck());
        assert_eq!(busy.to_string(), "queue `q` has 3 jobs and 1 worker with 2 slots");
    }
}
