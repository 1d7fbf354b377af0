//! The command line of queues, workers and devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nuncius_schemas::queue::QueueSettings;
use nuncius_schemas::units::HumanDuration;

use super::telemetry::SamplerArgs;

/// Seconds as a plain number, as the scalability tester's flags take them, or a duration with its unit.
fn duration(text: &str) -> Result<HumanDuration, String> {
    HumanDuration::from_seconds_or_unit(text).map_err(|error| error.to_string())
}

/// Shares of priorities, `8:4:1`; `0` or nothing for none.
fn shares(text: &str) -> Result<Shares, String> {
    if matches!(text.trim(), "" | "0") {
        return Ok(Shares(Vec::new()));
    }
    let read = |part: &str| part.trim().parse::<u32>().ok();
    let all: Option<Vec<u32>> = text.split(':').map(read).collect();
    all.map(Shares)
        .ok_or_else(|| "give a whole number for each priority, the most urgent first, as in 8:4:1".to_owned())
}

/// What [`shares`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shares(Vec<u32>);

/// How a queue is to be; what is not given stays as it is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct QueueSettingsArgs {
    /// Most jobs that may wait; the next is refused (0: no limit but --max-jobs).
    #[arg(long = "qmax", visible_alias = "max-waiting", value_name = "N")]
    pub(crate) max_waiting: Option<u64>,
    /// Most jobs in the queue, waiting or running, without --qmax [new queues: 1000000].
    #[arg(long, value_name = "N")]
    pub(crate) max_jobs: Option<u64>,
    /// Most bytes of all jobs in the queue [new queues: 512 MiB].
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
    /// How many priorities it has, 1 to 3; 0 is the most urgent [new queues: 1].
    #[arg(long, value_name = "N")]
    pub(crate) priorities: Option<u8>,
    /// How many times a job is begun at most [new queues: 3].
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Try again what failed, not only what lost its worker [new queues: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) retry_failures: Option<bool>,
    /// Pause before the second attempt of what failed; doubled for each further one [new queues: 1s].
    #[arg(long = "retry-backoff", value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_backoff: Option<HumanDuration>,
    /// Longest such pause [new queues: 1m].
    #[arg(long = "retry-backoff-max", value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_backoff_max: Option<HumanDuration>,
    /// Most bytes of a job with its headers [new queues: 65536].
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_job_bytes: Option<u32>,
    /// Most arguments of a job [new queues: 256].
    #[arg(long, value_name = "N")]
    pub(crate) max_arguments: Option<u32>,
    /// A job that has waited this long is dropped [new queues: 24h].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_wait: Option<HumanDuration>,
    /// Most bytes of terminal records [new queues: 512 MiB].
    #[arg(long, value_name = "BYTES")]
    pub(crate) result_bytes: Option<u64>,
    /// How long a terminal record can be fetched at least [new queues: 10m].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) result_keep: Option<HumanDuration>,
    /// Most dead letters kept [new queues: 10000].
    #[arg(long, value_name = "N")]
    pub(crate) dead_letters: Option<u64>,
    /// Share of each priority while more than one has jobs, as in 8:4:1; 0 for none: the most urgent always first, and
    /// less urgent jobs wait for as long as there are more urgent ones [new queues: none].
    #[arg(long, value_name = "N:N:N", value_parser = shares)]
    pub(crate) priority_shares: Option<Shares>,
    /// How long the ids of submitted jobs are known: what is submitted again meanwhile is not stored twice [new queues:
    /// 1m].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) duplicate_window: Option<HumanDuration>,
}

impl QueueSettingsArgs {
    /// The same as the library has it.
    pub(crate) fn settings(&self) -> QueueSettings {
        QueueSettings {
            max_waiting: self.max_waiting,
            max_jobs: self.max_jobs,
            max_bytes: self.max_bytes,
            priorities: self.priorities,
            attempts: self.attempts,
            retry_failures: self.retry_failures,
            backoff: self.retry_backoff,
            backoff_max: self.retry_backoff_max,
            max_job_bytes: self.max_job_bytes,
            max_arguments: self.max_arguments,
            max_wait: self.max_wait,
            result_bytes: self.result_bytes,
            result_keep: self.result_keep,
            dead_letters: self.dead_letters,
            priority_shares: self.priority_shares.clone().map(|shares| shares.0),
            duplicate_window: self.duplicate_window,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct FrontendArgs {
    /// Queues to make, or to change; those that are there already are kept too.
    #[arg(value_name = "QUEUE")]
    pub(crate) queues: Vec<String>,
    /// Name to register under.
    #[arg(long, default_value = "frontend")]
    pub(crate) name: String,
    /// Where /metrics and /healthz are served.
    #[arg(long, env = "NUNCIUS_METRICS_ADDRESS", default_value = "127.0.0.1:9998")]
    pub(crate) maddr: String,
    /// Time between lines of statistics, in seconds or with a unit, 0 for none; also the interval of the longest times
    /// in the metrics.
    #[arg(long, default_value = "0", value_name = "DURATION", value_parser = duration)]
    pub(crate) interval: HumanDuration,
    /// Log what happens to each queue in detail.
    #[arg(long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) settings: QueueSettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    /// Queue to take jobs from.
    #[arg(long, env = "NUNCIUS_QUEUE", default_value = "sleep")]
    pub(crate) queue: String,
    /// Name to register under (default: the host's with -worker); a taken one gets a suffix.
    #[arg(long, env = "NUNCIUS_NODE_NAME")]
    pub(crate) name: Option<String>,
    /// Label in the registry, k=v; NUNCIUS_LABEL_<K>=v in the environment does the same.
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// Jobs to run at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) slots: u32,
    /// Longest run of a job, in seconds or with a unit; the smaller one of this and the job's own counts (0: none).
    #[arg(long, default_value = "0", value_name = "DURATION", value_parser = duration)]
    pub(crate) limit: HumanDuration,
    /// How long a job's processes have between TERM and KILL.
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = duration)]
    pub(crate) kill_grace: HumanDuration,
    /// Drop the arguments of jobs.
    #[arg(long)]
    pub(crate) ignore: bool,
    /// Working directory of the workload.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Pattern of device files: FILENAME in arguments stands for the slot's one; several matches are shared out.
    #[arg(long)]
    pub(crate) glob: Option<String>,
    /// Environment variable that names the node (default: the host).
    #[arg(long, value_name = "NAME")]
    pub(crate) node_env: Option<String>,
    /// Environment variable that names the pod (default: the host).
    #[arg(long, value_name = "NAME")]
    pub(crate) pod_env: Option<String>,
    /// The workload reads /dev/null (it always does: a service has no input to hand on).
    #[arg(long)]
    pub(crate) null_in: bool,
    /// The workload writes to /dev/null.
    #[arg(long)]
    pub(crate) null_out: bool,
    /// Bytes of the end of each output stream that results carry; 0 hands the worker's own output on.
    #[arg(long, default_value_t = 4096, value_name = "BYTES")]
    pub(crate) capture: usize,
    /// End when the queue is empty (default: wait for jobs).
    #[arg(long, conflicts_with = "backoff")]
    pub(crate) exit_on_empty: bool,
    /// Do not wait at an empty queue but ask again after so much more each time, in seconds or with a unit; 0 ends the
    /// worker.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) backoff: Option<HumanDuration>,
    /// Longest pause of --backoff; a --limit that is shorter counts instead.
    #[arg(long, default_value = "5", value_name = "DURATION", value_parser = duration)]
    pub(crate) backoff_max: HumanDuration,
    /// Run the workload once, without any queue; the exit code is 0 if it succeeded and 1 if not.
    #[arg(long)]
    pub(crate) once: bool,
    /// Take no more jobs and end when standard input ends: a worker that lives no longer than who started it.
    #[arg(long)]
    pub(crate) end_with_input: bool,
    /// Log every message, escaped and cut.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// `sleep [SECONDS]`, `device NAME [SECONDS]`, or the absolute path of a program, with its first arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORKLOAD")]
    pub(crate) workload: Vec<String>,
}

/// Flags of `nuncius client` as the test client of a queue.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueueClientArgs {
    /// Send jobs to this queue, from these flags alone, instead of waiting for experiments.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Where the control page listens.
    #[arg(long, default_value = "127.0.0.1:9996", requires = "queue")]
    pub(crate) caddr: String,
    #[command(flatten)]
    pub(crate) hosts: super::HostArgs,
    /// Most jobs in flight.
    #[arg(long, default_value_t = 2, requires = "queue", value_name = "N")]
    pub(crate) req_max: u32,
    /// Jobs in flight at the start.
    #[arg(long, default_value_t = 1, requires = "queue", value_name = "N")]
    pub(crate) req_now: u32,
    /// Pause after each result: seconds, or with a unit.
    #[arg(long, default_value = "0", requires = "queue", value_name = "DURATION", value_parser = duration)]
    pub(crate) delay: HumanDuration,
    /// Longest run of each job: seconds, or with a unit (0: the worker's).
    #[arg(long, default_value = "0", requires = "queue", value_name = "DURATION", value_parser = duration)]
    pub(crate) limit: HumanDuration,
    /// Priority of the jobs, 0 the most urgent.
    #[arg(long, default_value_t = 0, requires = "queue")]
    pub(crate) priority: u8,
    /// Share of the jobs that carry a sampled trace, 0 to 1.
    #[arg(long, default_value_t = 0.0, requires = "queue")]
    pub(crate) trace_ratio: f64,
    /// Log every result, escaped and cut.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Arguments of every job.
    #[arg(last = true, requires = "queue", value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Make a queue, or change the one there is.
    Create {
        /// Queue.
        queue: String,
        /// Begin with the settings of this queue.
        #[arg(long, value_name = "QUEUE")]
        like: Option<String>,
        #[command(flatten)]
        settings: Box<QueueSettingsArgs>,
    },
    /// List queues.
    Ls,
    /// Show a queue.
    Info {
        /// Queue.
        queue: String,
    },
    /// Give no jobs out until `resume`; jobs are still taken.
    Pause {
        /// Queue.
        queue: String,
    },
    /// Take and give jobs again.
    Resume {
        /// Queue.
        queue: String,
    },
    /// Drop the jobs that wait; each gets its record.
    Purge {
        /// Queue.
        queue: String,
    },
    /// Take no more jobs, and wait until those that are there have ended.
    Drain {
        /// Queue.
        queue: String,
        /// Return at once.
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove a queue with its records.
    Rm {
        /// Queue.
        queue: String,
        /// Even if it has jobs, which are lost.
        #[arg(long)]
        force: bool,
    },
    /// Submit one job and wait for its result; the exit code is 0 if it succeeded and 1 if not.
    Submit {
        /// Queue.
        queue: String,
        /// Priority, 0 the most urgent.
        #[arg(long, default_value_t = 0)]
        priority: u8,
        /// Longest run, in seconds or with a unit.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        limit: Option<HumanDuration>,
        /// Id of the job. One that has ended already is told with its record, and not submitted again.
        #[arg(long)]
        id: Option<String>,
        /// Return as soon as the queue has it.
        #[arg(long)]
        no_wait: bool,
        /// Arguments of the job.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Jobs that were given up.
    #[command(subcommand)]
    Dead(DeadCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead letters, the oldest first.
    Ls {
        /// Queue.
        queue: String,
        /// Most of them.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Submit a dead job again, under a new id.
    Retry {
        /// Queue.
        queue: String,
        /// Jobs; all when none is named.
        jobs: Vec<String>,
    },
    /// Remove dead letters.
    Rm {
        /// Queue.
        queue: String,
        /// Jobs.
        #[arg(required = true)]
        jobs: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    pub(crate) sampler: SamplerArgs,
    /// Name of the device, a token: workers use it as `device NAME`.
    pub(crate) device: String,
    /// Jobs it runs at once; more wait.
    #[arg(long, default_value_t = 1)]
    pub(crate) lanes: u32,
    /// Work of a job that does not say its own: 100ms, exponential:100ms, uniform:50ms..150ms, lognormal:100ms,0.5.
    #[arg(long, default_value = "100ms")]
    pub(crate) work: String,
    /// Share of the work that is serial (contention), 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) alpha: f64,
    /// What each pair of jobs costs (coherency), 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) beta: f64,
    /// Jobs that may wait for a lane.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) queue: u32,
    /// Seed of the work.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_number_for_each_priority() {
        assert_eq!(shares("8:4:1"), Ok(Shares(vec![8, 4, 1])));
        assert_eq!(shares("0"), Ok(Shares(Vec::new())));
        for wrong in ["8:", "8,4", "-1:2", "a", "8:4.5"] {
            assert!(shares(wrong).is_err(), "{wrong}");
        }
    }
}
