//! The experiment daemon.

use crate::{Metric, Unit};

/// Runs that this daemon looks after, by where they are.
pub const RUNS: Metric = Metric::gauge(
    "nuncius_experimentd_runs",
    Unit::None,
    &["status"],
    "Runs that this daemon looks after, by where they are.",
);

/// Experiments that were submitted to it, by what became of them: admitted, refused, unreadable.
pub const SUBMISSIONS: Metric = Metric::counter(
    "nuncius_experimentd_submissions_total",
    Unit::None,
    &["outcome"],
    "Experiments that were submitted to it, by what became of them: admitted, refused, unreadable.",
);

/// Runs that ended here, by how.
pub const FINISHED_RUNS: Metric = Metric::counter(
    "nuncius_experimentd_finished_runs_total",
    Unit::None,
    &["status", "verdict"],
    "Runs that ended here, by how.",
);

/// Runs that were taken over from a daemon that was lost.
pub const TAKEOVERS: Metric = Metric::counter(
    "nuncius_experimentd_takeovers_total",
    Unit::None,
    &[],
    "Runs that were taken over from a daemon that was lost.",
);

/// Nodes that were lost during a run.
pub const LOST_NODES: Metric =
    Metric::counter("nuncius_experimentd_lost_nodes_total", Unit::None, &[], "Nodes that were lost during a run.");

/// Deltas of nodes, by what became of them: merged, repeated, refused.
pub const DELTAS: Metric = Metric::counter(
    "nuncius_experimentd_deltas_total",
    Unit::None,
    &["outcome"],
    "Deltas of nodes, by what became of them: merged, repeated, refused.",
);

/// Merged seconds that were told.
pub const SECONDS: Metric =
    Metric::counter("nuncius_experimentd_seconds_total", Unit::None, &[], "Merged seconds that were told.");

/// Merged seconds that were not told, because too many waited.
pub const DROPPED_SECONDS: Metric = Metric::counter(
    "nuncius_experimentd_dropped_seconds_total",
    Unit::None,
    &[],
    "Merged seconds that were not told, because too many waited.",
);

/// How long after its end the last second was told.
pub const SECOND_DELAY_SECONDS: Metric = Metric::gauge(
    "nuncius_experimentd_second_delay_seconds",
    Unit::Seconds,
    &["experiment"],
    "How long after its end the last second was told.",
);

/// How long ago it was stored where a run stands.
pub const CHECKPOINT_AGE_SECONDS: Metric = Metric::gauge(
    "nuncius_experimentd_checkpoint_age_seconds",
    Unit::Seconds,
    &["experiment"],
    "How long ago it was stored where a run stands.",
);

/// Times that it could not be stored where a run stands.
pub const CHECKPOINT_ERRORS: Metric = Metric::counter(
    "nuncius_experimentd_checkpoint_errors_total",
    Unit::None,
    &[],
    "Times that it could not be stored where a run stands.",
);

/// Writes that the database did not take.
pub const STORE_ERRORS: Metric = Metric::counter(
    "nuncius_experimentd_store_errors_total",
    Unit::None,
    &[],
    "Writes that the database did not take.",
);

/// Runs that have ended and are not all in the database yet.
pub const OWED_RUNS: Metric = Metric::gauge(
    "nuncius_experimentd_owed_runs",
    Unit::None,
    &[],
    "Runs that have ended and are not all in the database yet.",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &RUNS,
    &SUBMISSIONS,
    &FINISHED_RUNS,
    &TAKEOVERS,
    &LOST_NODES,
    &DELTAS,
    &SECONDS,
    &DROPPED_SECONDS,
    &SECOND_DELAY_SECONDS,
    &CHECKPOINT_AGE_SECONDS,
    &CHECKPOINT_ERRORS,
    &STORE_ERRORS,
    &OWED_RUNS,
];
