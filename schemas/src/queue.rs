//! Queues: how one is set up, and the totals of what went through it (bucket `queue`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::{ARGUMENTS_MAX, JOB_MAX_BYTES};
use crate::names::check_token;
use crate::units::HumanDuration;

/// Most priorities of a queue.
pub const PRIORITIES_MAX: u8 = 3;
/// Most attempts at a job.
pub const ATTEMPTS_MAX: u32 = 100;
/// Largest share of a priority.
pub const PRIORITY_SHARE_MAX: u32 = 1_000;
/// Longest time for which the ids of submitted jobs are known: the server keeps them in memory.
pub const DUPLICATE_WINDOW_MAX: HumanDuration = HumanDuration::from_secs(3600);
/// Longest name of a queue, in bytes: names of streams are made from it.
pub const QUEUE_NAME_MAX_BYTES: usize = 48;

const MIB: u64 = 1 << 20;

/// Whether a queue takes and gives jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Takes and gives.
    #[default]
    Open,
    /// Takes, gives none.
    Paused,
    /// Takes none, gives what it has.
    Draining,
}

impl QueueState {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }
}

/// A queue as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueDefinition {
    /// Name, a token of at most 48 bytes; the key.
    pub name: String,
    /// Whether it takes and gives jobs.
    #[serde(default)]
    pub state: QueueState,
    /// Most jobs that may wait; the next is refused. 0: no limit but `max_jobs`.
    #[serde(default)]
    pub max_waiting: u64,
    /// Most jobs in the queue, waiting or running, when `max_waiting` is 0.
    #[serde(default = "default_max_jobs")]
    pub max_jobs: u64,
    /// Most bytes of all jobs in the queue.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
    /// How many priorities it has, 1 to 3; 0 is the most urgent.
    #[serde(default = "default_priorities")]
    pub priorities: u8,
    /// How many times a job is begun at most.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// A workload that fails or is over its limit is tried again too, not only one whose worker was lost.
    #[serde(default)]
    pub retry_failures: bool,
    /// Pause before the second attempt; doubled for each further one.
    #[serde(default = "default_backoff")]
    pub backoff: HumanDuration,
    /// Longest such pause.
    #[serde(default = "default_backoff_max")]
    pub backoff_max: HumanDuration,
    /// Most bytes of a job with its headers.
    #[serde(default = "default_max_job_bytes")]
    pub max_job_bytes: u32,
    /// Most arguments of a job.
    #[serde(default = "default_max_arguments")]
    pub max_arguments: u32,
    /// A job that has waited this long is dropped.
    #[serde(default = "default_max_wait")]
    pub max_wait: HumanDuration,
    /// Most bytes of terminal records; the oldest that are in the totals make room.
    #[serde(default = "default_result_bytes")]
    pub result_bytes: u64,
    /// How long a terminal record can be fetched at least.
    #[serde(default = "default_result_keep")]
    pub result_keep: HumanDuration,
    /// Most dead letters kept; the oldest goes.
    #[serde(default = "default_dead_letters")]
    pub dead_letters: u64,
    /// How long the queue knows the ids of submitted jobs: what is submitted again meanwhile is not stored a second
    /// time.
    #[serde(default = "default_duplicate_window")]
    pub duplicate_window: HumanDuration,
    /// Of so many jobs in a row each priority gets its share while it has any, the most urgent first; empty: a less
    /// urgent job is begun only while no more urgent one waits, however long that takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority_shares: Vec<u32>,
}

fn default_max_jobs() -> u64 {
    1_000_000
}

// The server counts these bytes as taken from the start: a queue takes about 1 GiB of its store's limit.
fn default_max_bytes() -> u64 {
    512 * MIB
}

fn default_priorities() -> u8 {
    1
}

fn default_attempts() -> u32 {
    3
}

fn default_backoff() -> HumanDuration {
    HumanDuration::from_secs(1)
}

fn default_backoff_max() -> HumanDuration {
    HumanDuration::from_secs(60)
}

fn default_max_job_bytes() -> u32 {
    JOB_MAX_BYTES
}

fn default_max_arguments() -> u32 {
    ARGUMENTS_MAX
}

fn default_max_wait() -> HumanDuration {
    HumanDuration::from_secs(24 * 3600)
}

fn default_result_bytes() -> u64 {
    512 * MIB
}

fn default_result_keep() -> HumanDuration {
    HumanDuration::from_secs(600)
}

fn default_dead_letters() -> u64 {
    10_000
}

fn default_duplicate_window() -> HumanDuration {
    HumanDuration::from_secs(60)
}

/// Why a queue cannot be as wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("queue {field}: {problem}")]
pub struct QueueError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl QueueDefinition {
    /// A queue of this name with everything else as when it is not said.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: QueueState::default(),
            max_waiting: 0,
            max_jobs: default_max_jobs(),
            max_bytes: default_max_bytes(),
            priorities: default_priorities(),
            attempts: default_attempts(),
            retry_failures: false,
            backoff: default_backoff(),
            backoff_max: default_backoff_max(),
            max_job_bytes: default_max_job_bytes(),
            max_arguments: default_max_arguments(),
            max_wait: default_max_wait(),
            result_bytes: default_result_bytes(),
            result_keep: default_result_keep(),
            dead_letters: default_dead_letters(),
            duplicate_window: default_duplicate_window(),
            priority_shares: Vec::new(),
        }
    }

    /// Refuses what cannot be, by field.
    pub fn check(&self) -> Result<(), QueueError> {
        let refuse = |field, problem: String| Err(QueueError { field, problem });
        check_queue_name(&self.name)?;
        if !(1..=PRIORITIES_MAX).contains(&self.priorities) {
            return refuse("priorities", format!("{}; give 1 to {PRIORITIES_MAX}", self.priorities));
        }
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts) {
            return refuse("attempts", format!("{}; give 1 to {ATTEMPTS_MAX}", self.attempts));
        }
        let largest = u32::try_from(crate::codec::MESSAGE_MAX_BYTES).unwrap_or(u32::MAX);
        if !(256..=largest).contains(&self.max_job_bytes) {
            return refuse("max_job_bytes", format!("{}; give 256 to {largest}", self.max_job_bytes));
        }
        let zero = |field, is_zero: bool| if is_zero { refuse(field, "0; give 1 or more".to_owned()) } else { Ok(()) };
        zero("max_jobs", self.max_jobs == 0)?;
        zero("max_bytes", self.max_bytes == 0)?;
        zero("result_bytes", self.result_bytes == 0)?;
        zero("dead_letters", self.dead_letters == 0)?;
        zero("max_wait", self.max_wait.0 == 0)?;
        // The server's least.
        if self.duplicate_window < HumanDuration::from_millis(100) || self.duplicate_window > DUPLICATE_WINDOW_MAX {
            let problem = format!("{}; give 100ms to {DUPLICATE_WINDOW_MAX}", self.duplicate_window);
            return refuse("duplicate_window", problem);
        }
        let shares = &self.priority_shares;
        if !shares.is_empty() && shares.len() != usize::from(self.priorities) {
            let problem = format!("{} shares for {} priorities; give one for each", shares.len(), self.priorities);
            return refuse("priority_shares", problem);
        }
        match shares.iter().find(|share| !(1..=PRIORITY_SHARE_MAX).contains(*share)) {
            Some(share) => refuse("priority_shares", format!("{share}; give 1 to {PRIORITY_SHARE_MAX}")),
            None => Ok(()),
        }
    }

    /// The pause after the failed attempt `attempt` (from 1), in nanoseconds.
    pub fn backoff_ns(&self, attempt: u32) -> u64 {
        let doubled = 1u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff.0.saturating_mul(doubled).min(self.backoff_max.0.max(self.backoff.0))
    }
}

/// Changes to a definition; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSettings {
    /// See [`QueueDefinition::max_waiting`].
    pub max_waiting: Option<u64>,
    /// See [`QueueDefinition::max_jobs`].
    pub max_jobs: Option<u64>,
    /// See [`QueueDefinition::max_bytes`].
    pub max_bytes: Option<u64>,
    /// See [`QueueDefinition::priorities`].
    pub priorities: Option<u8>,
    /// See [`QueueDefinition::attempts`].
    pub attempts: Option<u32>,
    /// See [`QueueDefinition::retry_failures`].
    pub retry_failures: Option<bool>,
    /// See [`QueueDefinition::backoff`].
    pub backoff: Option<HumanDuration>,
    /// See [`QueueDefinition::backoff_max`].
    pub backoff_max: Option<HumanDuration>,
    /// See [`QueueDefinition::max_job_bytes`].
    pub max_job_bytes: Option<u32>,
    /// See [`QueueDefinition::max_arguments`].
    pub max_arguments: Option<u32>,
    /// See [`QueueDefinition::max_wait`].
    pub max_wait: Option<HumanDuration>,
    /// See [`QueueDefinition::result_bytes`].
    pub result_bytes: Option<u64>,
    /// See [`QueueDefinition::result_keep`].
    pub result_keep: Option<HumanDuration>,
    /// See [`QueueDefinition::dead_letters`].
    pub dead_letters: Option<u64>,
    /// See [`QueueDefinition::duplicate_window`].
    pub duplicate_window: Option<HumanDuration>,
    /// See [`QueueDefinition::priority_shares`]; empty takes them away.
    pub priority_shares: Option<Vec<u32>>,
}

impl QueueSettings {
    /// The definition with these changes.
    pub fn applied_to(&self, definition: &QueueDefinition) -> QueueDefinition {
        let kept = definition;
        QueueDefinition {
            name: kept.name.clone(),
            state: kept.state,
            max_waiting: self.max_waiting.unwrap_or(kept.max_waiting),
            max_jobs: self.max_jobs.unwrap_or(kept.max_jobs),
            max_bytes: self.max_bytes.unwrap_or(kept.max_bytes),
            priorities: self.priorities.unwrap_or(kept.priorities),
            attempts: self.attempts.unwrap_or(kept.attempts),
            retry_failures: self.retry_failures.unwrap_or(kept.retry_failures),
            backoff: self.backoff.unwrap_or(kept.backoff),
            backoff_max: self.backoff_max.unwrap_or(kept.backoff_max),
            max_job_bytes: self.max_job_bytes.unwrap_or(kept.max_job_bytes),
            max_arguments: self.max_arguments.unwrap_or(kept.max_arguments),
            max_wait: self.max_wait.unwrap_or(kept.max_wait),
            result_bytes: self.result_bytes.unwrap_or(kept.result_bytes),
            result_keep: self.result_keep.unwrap_or(kept.result_keep),
            dead_letters: self.dead_letters.unwrap_or(kept.dead_letters),
            duplicate_window: self.duplicate_window.unwrap_or(kept.duplicate_window),
            priority_shares: self.priority_shares.clone().unwrap_or_else(|| kept.priority_shares.clone()),
        }
    }
}

/// Refuses what cannot be the name of a queue.
pub fn check_queue_name(name: &str) -> Result<(), QueueError> {
    let problem = match check_token("queue", name) {
        Err(error) => error.to_string(),
        Ok(()) if name.len() > QUEUE_NAME_MAX_BYTES => {
            format!("`{name}` is longer than {QUEUE_NAME_MAX_BYTES} bytes")
        }
        Ok(()) => return Ok(()),
    };
    Err(QueueError { field: "name", problem })
}

/// Upper bounds of the buckets of [`DurationCounts`], in seconds; one more bucket has none.
pub const DURATION_BOUNDS_SECONDS: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// A histogram of durations in the buckets of [`DURATION_BOUNDS_SECONDS`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DurationCounts {
    /// How many fell into each bucket, the one without bound last; empty when nothing was counted.
    pub counts: Vec<u64>,
    /// Their sum, in seconds.
    pub sum_seconds: f64,
}

impl DurationCounts {
    /// Counts one.
    pub fn add(&mut self, seconds: f64) {
        self.counts.resize(DURATION_BOUNDS_SECONDS.len() + 1, 0);
        let bucket = DURATION_BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(DURATION_BOUNDS_SECONDS.len())) {
            *count += 1;
        }
        self.sum_seconds += seconds;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What went through a queue, folded from its terminal records up to a sequence (key `<queue>.totals`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct QueueTotals {
    /// Queue.
    pub queue: String,
    /// The result stream has been folded up to this sequence.
    pub sequence: u64,
    /// Fencing token of the lease under which this was written: a smaller one must not overwrite it.
    pub token: u64,
    /// Ran and ended with exit code 0.
    pub succeeded: u64,
    /// Ran and failed.
    pub failed: u64,
    /// Of those that failed or died, how many were over their limit at last.
    pub timed_out: u64,
    /// Attempts beyond the first of all jobs that ended.
    pub retried: u64,
    /// Given up.
    pub dead: u64,
    /// Never run.
    pub dropped: u64,
    /// Messages of jobs that had their record already: acknowledged, not run.
    #[serde(default)]
    pub repeated: u64,
    /// Wait before the last attempt, of jobs that ran.
    pub wait: DurationCounts,
    /// The last attempt, of jobs that ran.
    pub run: DurationCounts,
    /// Both together.
    pub total: DurationCounts,
}

impl QueueTotals {
    /// Jobs that have ended: those with a terminal record.
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.dead + self.dropped
    }

    /// Accepted messages that are settled: of jobs that have ended, and those that repeat one of them.
    pub fn settled(&self) -> u64 {
        self.ended() + self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_refused_by_the_field_that_is_wrong() {
        for name in ["", "a.b", "a b", ">", "*", &"x".repeat(49)] {
            assert_eq!(QueueDefinition::new(name).check().unwrap_err().field, "name", "{name}");
        }
        assert_eq!(QueueDefinition::new("sleep").check(), Ok(()));
        let wrong = QueueDefinition { priorities: 4, ..QueueDefinition::new("q") };
        assert_eq!(wrong.check().unwrap_err().to_string(), "queue priorities: 4; give 1 to 3");
        assert!(QueueDefinition { attempts: 0, ..QueueDefinition::new("q") }.check().is_err());
        let shares = |priority_shares: &[u32]| {
            let queue = QueueDefinition { priorities: 3, ..QueueDefinition::new("q") };
            QueueDefinition { priority_shares: priority_shares.to_vec(), ..queue }.check().map_err(|error| error.field)
        };
        assert_eq!(shares(&[8, 4, 1]), Ok(()));
        assert_eq!(shares(&[]), Ok(()));
        for wrong in [vec![8, 4], vec![8, 4, 0], vec![1, 1, 1_001]] {
            assert_eq!(shares(&wrong), Err("priority_shares"), "{wrong:?}");
        }
        for window in ["0", "99ms", "61m"] {
            let queue = QueueDefinition { duplicate_window: window.parse().unwrap(), ..QueueDefinition::new("q") };
            assert_eq!(queue.check().unwrap_err().field, "duplicate_window", "{window}");
        }
    }

    #[test]
    fn pauses_between_attempts_double_up_to_their_limit() {
        let queue = QueueDefinition::new("q");
        let seconds: Vec<u64> = [1, 2, 3, 7, 200].map(|attempt| queue.backoff_ns(attempt) / 1_000_000_000).to_vec();
        assert_eq!(seconds, [1, 2, 4, 60, 60]);
    }

    #[test]
    fn durations_fall_into_the_bucket_of_their_upper_bound() {
        let mut counts = DurationCounts::default();
        for seconds in [0.0, 0.001, 0.0011, 1e9] {
            counts.add(seconds);
        }
        assert_eq!((counts.counts[0], counts.counts[1], counts.counts[18]), (2, 1, 1));
        assert_eq!(counts.total(), 4);
    }
}
