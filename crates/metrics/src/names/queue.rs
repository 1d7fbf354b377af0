//! Job queues: told by the frontend that keeps a queue's books. Those that begin with `hpa_` are the
//! scalability tester's.

use crate::{Metric, Unit};

/// Jobs that wait.
pub const WAITING_JOBS: Metric =
    Metric::gauge("nuncius_queue_waiting_jobs", Unit::None, &["queue"], "Jobs that wait.").of_holder();

/// Jobs that workers run.
pub const RUNNING_JOBS: Metric =
    Metric::gauge("nuncius_queue_running_jobs", Unit::None, &["queue"], "Jobs that workers run.").of_holder();

/// How long the oldest job that was never begun has waited.
pub const OLDEST_WAITING_SECONDS: Metric = Metric::gauge(
    "nuncius_queue_oldest_waiting_seconds",
    Unit::Seconds,
    &["queue"],
    "How long the oldest job that was never begun has waited.",
)
.of_holder();

/// Most jobs that may wait.
pub const LIMIT_JOBS: Metric =
    Metric::gauge("nuncius_queue_limit_jobs", Unit::None, &["queue"], "Most jobs that may wait.").of_holder();

/// Workers of the queue that are there.
pub const WORKERS: Metric =
    Metric::gauge("nuncius_queue_workers", Unit::None, &["queue"], "Workers of the queue that are there.").of_holder();

/// Jobs that its workers can run at once.
pub const SLOTS: Metric =
    Metric::gauge("nuncius_queue_slots", Unit::None, &["queue"], "Jobs that its workers can run at once.").of_holder();

/// Dead letters kept.
pub const DEAD_LETTERS: Metric =
    Metric::gauge("nuncius_queue_dead_letters", Unit::None, &["queue"], "Dead letters kept.").of_holder();

/// Jobs that the queue took.
pub const ACCEPTED_JOBS: Metric =
    Metric::counter("nuncius_queue_accepted_jobs_total", Unit::None, &["queue"], "Jobs that the queue took.")
        .of_holder();

/// Jobs that ended, by how.
pub const FINISHED_JOBS: Metric =
    Metric::counter("nuncius_queue_finished_jobs_total", Unit::None, &["queue", "status"], "Jobs that ended, by how.")
        .of_holder();

/// Messages of jobs that had ended before: acknowledged, not run.
pub const REPEATED_JOBS: Metric = Metric::counter(
    "nuncius_queue_repeated_jobs_total",
    Unit::None,
    &["queue"],
    "Messages of jobs that had ended before: acknowledged, not run.",
)
.of_holder();

/// Jobs that were accepted, have not ended and are not there: 0 unless records were lost.
pub const UNACCOUNTED_JOBS: Metric = Metric::gauge(
    "nuncius_queue_unaccounted_jobs",
    Unit::None,
    &["queue"],
    "Jobs that were accepted, have not ended and are not there: 0 unless records were lost.",
)
.of_holder();

/// Jobs that were over their limit.
pub const TIMED_OUT_JOBS: Metric =
    Metric::counter("nuncius_queue_timed_out_jobs_total", Unit::None, &["queue"], "Jobs that were over their limit.")
        .of_holder();

/// Attempts beyond the first.
pub const RETRIES: Metric =
    Metric::counter("nuncius_queue_retries_total", Unit::None, &["queue"], "Attempts beyond the first.").of_holder();

/// From submission to the last attempt.
pub const WAIT_SECONDS: Metric =
    Metric::histogram("nuncius_queue_wait_seconds", Unit::Seconds, &["queue"], "From submission to the last attempt.")
        .of_holder();

/// How long the last attempt ran.
pub const RUN_SECONDS: Metric =
    Metric::histogram("nuncius_queue_run_seconds", Unit::Seconds, &["queue"], "How long the last attempt ran.")
        .of_holder();

/// Wait and run together.
pub const TOTAL_SECONDS: Metric =
    Metric::histogram("nuncius_queue_total_seconds", Unit::Seconds, &["queue"], "Wait and run together.").of_holder();

/// Clients of queues that are there.
pub const FRONTEND_CLIENTS: Metric =
    Metric::gauge("nuncius_frontend_clients", Unit::None, &[], "Clients of queues that are there.");

/// Queues whose books this frontend keeps.
pub const FRONTEND_HELD_QUEUES: Metric =
    Metric::gauge("nuncius_frontend_held_queues", Unit::None, &[], "Queues whose books this frontend keeps.");

/// Clients of queues that came since this frontend started.
pub const HPA_CLIENT_CONNECTIONS: Metric = Metric::counter(
    "hpa_client_connections_total",
    Unit::None,
    &[],
    "Clients of queues that came since this frontend started.",
);

/// Workers that came since this frontend started.
pub const HPA_WORKER_CONNECTIONS: Metric =
    Metric::counter("hpa_worker_connections_total", Unit::None, &[], "Workers that came since this frontend started.");

/// Jobs that wait or run.
pub const HPA_QUEUE_ALL: Metric =
    Metric::gauge("hpa_queue_all", Unit::None, &["name"], "Jobs that wait or run.").of_holder();

/// Jobs that wait.
pub const HPA_QUEUE_WAITING: Metric =
    Metric::gauge("hpa_queue_waiting", Unit::None, &["name"], "Jobs that wait.").of_holder();

/// Jobs that workers run.
pub const HPA_QUEUE_RUNNING: Metric =
    Metric::gauge("hpa_queue_running", Unit::None, &["name"], "Jobs that workers run.").of_holder();

/// Jobs that succeeded.
pub const HPA_QUEUE_SUCCESS: Metric =
    Metric::counter("hpa_queue_success_total", Unit::None, &["name"], "Jobs that succeeded.").of_holder();

/// Jobs that failed or were given up.
pub const HPA_QUEUE_FAILURE: Metric =
    Metric::counter("hpa_queue_failure_total", Unit::None, &["name"], "Jobs that failed or were given up.").of_holder();

/// Jobs dropped, mostly for clients gone.
pub const HPA_QUEUE_DISCONNECT: Metric =
    Metric::counter("hpa_queue_disconnect_total", Unit::None, &["name"], "Jobs dropped, mostly for clients gone.")
        .of_holder();

/// Longest run of the last interval or the one before.
pub const HPA_QUEUE_MAXRUN_SECONDS: Metric = Metric::gauge(
    "hpa_queue_maxrun_seconds",
    Unit::Seconds,
    &["name", "interval"],
    "Longest run of the last interval or the one before.",
)
.of_holder();

/// Longest wait of the last interval or the one before, or of a job that still waits.
pub const HPA_QUEUE_MAXWAIT_SECONDS: Metric = Metric::gauge(
    "hpa_queue_maxwait_seconds",
    Unit::Seconds,
    &["name", "interval"],
    "Longest wait of the last interval or the one before, or of a job that still waits.",
)
.of_holder();

/// Longest wait and run of one job of the last interval or the one before.
pub const HPA_QUEUE_MAXTOTAL_SECONDS: Metric = Metric::gauge(
    "hpa_queue_maxtotal_seconds",
    Unit::Seconds,
    &["name", "interval"],
    "Longest wait and run of one job of the last interval or the one before.",
)
.of_holder();

/// All of them.
pub const ALL: &[&Metric] = &[
    &WAITING_JOBS,
    &RUNNING_JOBS,
    &OLDEST_WAITING_SECONDS,
    &LIMIT_JOBS,
    &WORKERS,
    &SLOTS,
    &DEAD_LETTERS,
    &ACCEPTED_JOBS,
    &FINISHED_JOBS,
    &REPEATED_JOBS,
    &UNACCOUNTED_JOBS,
    &TIMED_OUT_JOBS,
    &RETRIES,
    &WAIT_SECONDS,
    &RUN_SECONDS,
    &TOTAL_SECONDS,
    &FRONTEND_CLIENTS,
    &FRONTEND_HELD_QUEUES,
    &HPA_CLIENT_CONNECTIONS,
    &HPA_WORKER_CONNECTIONS,
    &HPA_QUEUE_ALL,
    &HPA_QUEUE_WAITING,
    &HPA_QUEUE_RUNNING,
    &HPA_QUEUE_SUCCESS,
    &HPA_QUEUE_FAILURE,
    &HPA_QUEUE_DISCONNECT,
    &HPA_QUEUE_MAXRUN_SECONDS,
    &HPA_QUEUE_MAXWAIT_SECONDS,
    &HPA_QUEUE_MAXTOTAL_SECONDS,
];
