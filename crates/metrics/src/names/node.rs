//! Nodes: made by the gateway from the registry, and from what workers say of themselves.

use crate::{Metric, Unit};

/// A process in the registry.
pub const NODE_INFO: Metric =
    Metric::info("nuncius_node_info", &["node", "role", "host", "version"], "A process in the registry.").of_gateway();

/// Processes in the registry.
pub const NODES: Metric =
    Metric::gauge("nuncius_nodes", Unit::None, &["role"], "Processes in the registry.").of_gateway();

/// Processes that left the registry, on purpose or because they were lost, since the gateway started.
pub const NODES_LEFT: Metric = Metric::counter(
    "nuncius_nodes_left_total",
    Unit::None,
    &["role"],
    "Processes that left the registry, on purpose or because they were lost, since the gateway started.",
)
.of_gateway();

/// When the process joined, since the Unix epoch.
pub const NODE_START_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_node_start_time_seconds",
    Unit::Seconds,
    &["node"],
    "When the process joined, since the Unix epoch.",
)
.of_gateway();

/// Processors of its host.
pub const NODE_PROCESSORS: Metric =
    Metric::gauge("nuncius_node_processors", Unit::None, &["node"], "Processors of its host.").of_gateway();

/// Memory of its host.
pub const NODE_MEMORY_BYTES: Metric =
    Metric::gauge("nuncius_node_memory_bytes", Unit::Bytes, &["node"], "Memory of its host.").of_gateway();

/// How long the bus takes to answer it.
pub const NODE_ROUND_TRIP_SECONDS: Metric =
    Metric::gauge("nuncius_node_round_trip_seconds", Unit::Seconds, &["node"], "How long the bus takes to answer it.")
        .of_gateway();

/// The experiment that a node works for.
pub const NODE_EXPERIMENT_INFO: Metric =
    Metric::info("nuncius_node_experiment_info", &["node", "experiment"], "The experiment that a node works for.")
        .of_gateway();

/// Share of its host's processors in use, as the worker says.
pub const NODE_CPU_RATIO: Metric = Metric::gauge(
    "nuncius_node_cpu_ratio",
    Unit::Ratio,
    &["node"],
    "Share of its host's processors in use, as the worker says.",
)
.of_gateway();

/// Memory of its host in use, as the worker says.
pub const NODE_MEMORY_USED_BYTES: Metric = Metric::gauge(
    "nuncius_node_memory_used_bytes",
    Unit::Bytes,
    &["node"],
    "Memory of its host in use, as the worker says.",
)
.of_gateway();

/// Jobs that a worker can run at once.
pub const WORKER_SLOTS: Metric =
    Metric::gauge("nuncius_worker_slots", Unit::None, &["node", "queue"], "Jobs that a worker can run at once.")
        .of_gateway();

/// Jobs that a worker runs.
pub const WORKER_BUSY_SLOTS: Metric =
    Metric::gauge("nuncius_worker_busy_slots", Unit::None, &["node", "queue"], "Jobs that a worker runs.").of_gateway();

/// Jobs that a worker has finished since it started.
pub const WORKER_FINISHED_JOBS: Metric = Metric::counter(
    "nuncius_worker_finished_jobs_total",
    Unit::None,
    &["node", "queue"],
    "Jobs that a worker has finished since it started.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &NODE_INFO,
    &NODES,
    &NODES_LEFT,
    &NODE_START_TIME_SECONDS,
    &NODE_PROCESSORS,
    &NODE_MEMORY_BYTES,
    &NODE_ROUND_TRIP_SECONDS,
    &NODE_EXPERIMENT_INFO,
    &NODE_CPU_RATIO,
    &NODE_MEMORY_USED_BYTES,
    &WORKER_SLOTS,
    &WORKER_BUSY_SLOTS,
    &WORKER_FINISHED_JOBS,
];
