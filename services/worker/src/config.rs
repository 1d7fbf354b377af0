//! How a worker is set up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::workload::Workload;

/// What a worker does when its queue is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenEmpty {
    /// Waits: what comes is given to it at once.
    #[default]
    Wait,
    /// Ends.
    Exit,
    /// Asks again after a pause that grows by `step` with every time in a row, up to `most`.
    BackOff {
        /// By how much.
        step: Duration,
        /// Longest pause.
        most: Duration,
    },
}

impl WhenEmpty {
    /// The pause after the `times`-th time in a row that nothing was there, from 1.
    pub fn pause(self, times: u32) -> Duration {
        match self {
            Self::BackOff { step, most } => step.saturating_mul(times.max(1)).min(most),
            Self::Wait | Self::Exit => Duration::ZERO,
        }
    }
}

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Name to register under; a taken one gets a suffix.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Queue it takes jobs from.
    pub queue: String,
    /// Jobs it runs at once.
    pub slots: u32,
    /// Name of its node in results.
    pub node: String,
    /// Name of its pod in results.
    pub pod: String,
    /// Labels in the registry.
    pub labels: BTreeMap<String, String>,
    /// What it runs.
    pub workload: Workload,
    /// What it does when its queue is empty.
    pub when_empty: WhenEmpty,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_their_step_up_to_the_longest() {
        let back_off = WhenEmpty::BackOff { step: Duration::from_millis(200), most: Duration::from_secs(1) };
        let pauses: Vec<u128> = (1..=7).map(|times| back_off.pause(times).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 600, 800, 1000, 1000, 1000]);
        let capped = WhenEmpty::BackOff { step: Duration::from_secs(3), most: Duration::from_secs(1) };
        assert_eq!(capped.pause(1), Duration::from_secs(1), "the longest pause is the longest");
    }
}
