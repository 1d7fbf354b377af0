//! Experiments: made by the gateway from merged seconds, run records and events. The series of a run end some minutes
//! after it.

use crate::{Metric, Unit};

/// An experiment, what people call it, and who wanted it.
pub const INFO: Metric = Metric::info(
    "nuncius_experiment_info",
    &["experiment", "name", "creator"],
    "An experiment, what people call it, and who wanted it.",
)
.of_gateway();

/// The phase in which an experiment is: a status of its run record.
pub const PHASE_INFO: Metric = Metric::info(
    "nuncius_phase_info",
    &["experiment", "phase"],
    "The phase in which an experiment is: a status of its run record.",
)
.of_gateway();

/// When the experiment entered a phase, since the Unix epoch.
pub const PHASE_START_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_experiment_phase_start_time_seconds",
    Unit::Seconds,
    &["experiment", "phase"],
    "When the experiment entered a phase, since the Unix epoch.",
)
.of_gateway();

/// When load was first offered, since the Unix epoch.
pub const START_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_experiment_start_time_seconds",
    Unit::Seconds,
    &["experiment"],
    "When load was first offered, since the Unix epoch.",
)
.of_gateway();

/// Seconds of load that have been merged.
pub const RUN_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_experiment_run_time_seconds",
    Unit::Seconds,
    &["experiment"],
    "Seconds of load that have been merged.",
)
.of_gateway();

/// Seconds of load in all, where that is known.
pub const PLANNED_TIME_SECONDS: Metric = Metric::gauge(
    "nuncius_experiment_planned_time_seconds",
    Unit::Seconds,
    &["experiment"],
    "Seconds of load in all, where that is known.",
)
.of_gateway();

/// How the experiment was judged: 1 for its verdict, 0 for the others; absent before.
pub const VERDICT: Metric = Metric::gauge(
    "nuncius_experiment_verdict",
    Unit::None,
    &["experiment", "verdict"],
    "How the experiment was judged: 1 for its verdict, 0 for the others; absent before.",
)
.of_gateway();

/// Events of the experiment: status, gate, node, control, warning, user.
pub const EVENTS: Metric = Metric::counter(
    "nuncius_experiment_events_total",
    Unit::None,
    &["experiment", "kind"],
    "Events of the experiment: status, gate, node, control, warning, user.",
)
.of_gateway();

/// Nodes that told of the last second.
pub const NODES: Metric =
    Metric::gauge("nuncius_experiment_nodes", Unit::None, &["experiment"], "Nodes that told of the last second.")
        .of_gateway();

/// Users that the specification gives a group of the closed model, while its load is offered.
pub const USERS: Metric = Metric::gauge(
    "nuncius_experiment_users",
    Unit::None,
    &["experiment", "group"],
    "Users that the specification gives a group of the closed model, while its load is offered.",
)
.of_gateway();

/// Iterations that the schedule of the group held so far; groups of the open model only.
pub const SCHEDULED_ITERATIONS: Metric = Metric::counter(
    "nuncius_experiment_scheduled_iterations_total",
    Unit::None,
    &["experiment", "group"],
    "Iterations that the schedule of the group held so far; groups of the open model only.",
)
.of_gateway();

/// Iterations that were taken from the schedule, or begun.
pub const OFFERED_ITERATIONS: Metric = Metric::counter(
    "nuncius_experiment_offered_iterations_total",
    Unit::None,
    &["experiment", "group"],
    "Iterations that were taken from the schedule, or begun.",
)
.of_gateway();

/// Iterations that ended, by how: succeeded, failed, censored, skipped.
pub const ITERATIONS: Metric = Metric::counter(
    "nuncius_experiment_iterations_total",
    Unit::None,
    &["experiment", "group", "outcome"],
    "Iterations that ended, by how: succeeded, failed, censored, skipped.",
)
.of_gateway();

/// Iterations that the schedule held so far and nobody has offered yet.
pub const DEFICIT_ITERATIONS: Metric = Metric::gauge(
    "nuncius_experiment_deficit_iterations",
    Unit::None,
    &["experiment", "group"],
    "Iterations that the schedule held so far and nobody has offered yet.",
)
.of_gateway();

/// Iterations under way at the end of the last second.
pub const IN_FLIGHT_ITERATIONS: Metric = Metric::gauge(
    "nuncius_experiment_in_flight_iterations",
    Unit::None,
    &["experiment", "group"],
    "Iterations under way at the end of the last second.",
)
.of_gateway();

/// Requests that were taken from the schedule, or begun.
pub const OFFERED_REQUESTS: Metric = Metric::counter(
    "nuncius_experiment_offered_requests_total",
    Unit::None,
    &["experiment", "group", "step"],
    "Requests that were taken from the schedule, or begun.",
)
.of_gateway();

/// Requests that were written to a connection.
pub const SENT_REQUESTS: Metric = Metric::counter(
    "nuncius_experiment_sent_requests_total",
    Unit::None,
    &["experiment", "group", "step"],
    "Requests that were written to a connection.",
)
.of_gateway();

/// Requests that ended, by how: succeeded, failed, censored, skipped.
pub const REQUESTS: Metric = Metric::counter(
    "nuncius_experiment_requests_total",
    Unit::None,
    &["experiment", "group", "step", "outcome"],
    "Requests that ended, by how: succeeded, failed, censored, skipped.",
)
.of_gateway();

/// Answers by status, those that were expected among them.
pub const ANSWERS: Metric = Metric::counter(
    "nuncius_experiment_answers_total",
    Unit::None,
    &["experiment", "group", "step", "status"],
    "Answers by status, those that were expected among them.",
)
.of_gateway();

/// Failed requests by kind, and by the status of the answer: 0 without one.
pub const FAILURES: Metric = Metric::counter(
    "nuncius_experiment_failures_total",
    Unit::None,
    &["experiment", "group", "step", "kind", "status"],
    "Failed requests by kind, and by the status of the answer: 0 without one.",
)
.of_gateway();

/// Requests that were sent again because the server had closed the connection without seeing them.
pub const RETRIED_REQUESTS: Metric = Metric::counter(
    "nuncius_experiment_retried_requests_total",
    Unit::None,
    &["experiment", "group", "step"],
    "Requests that were sent again because the server had closed the connection without seeing them.",
)
.of_gateway();

/// Answers that led elsewhere and were followed: requests beside those that were sent.
pub const REDIRECTS: Metric = Metric::counter(
    "nuncius_experiment_redirects_total",
    Unit::None,
    &["experiment", "group", "step"],
    "Answers that led elsewhere and were followed: requests beside those that were sent.",
)
.of_gateway();

/// Checks of what a step has got, by name and by how: passed, failed.
pub const CHECKS: Metric = Metric::counter(
    "nuncius_experiment_checks_total",
    Unit::None,
    &["experiment", "group", "step", "check", "outcome"],
    "Checks of what a step has got, by name and by how: passed, failed.",
)
.of_gateway();

/// Requests by the host that they went to, and by how they ended: succeeded, failed. Of targets that have several hosts
/// or go by a route.
pub const HOST_REQUESTS: Metric = Metric::counter(
    "nuncius_experiment_host_requests_total",
    Unit::None,
    &["experiment", "group", "step", "host", "outcome"],
    "Requests by the host that they went to and by how they ended, of targets with several hosts or a route.",
)
.of_gateway();

/// What counters of a test's or a protocol's own have added up; times are in seconds.
pub const METER_SUM: Metric = Metric::counter(
    "nuncius_experiment_meter_total",
    Unit::None,
    &["experiment", "group", "meter", "unit"],
    "What counters of a test's or a protocol's own have added up; times are in seconds.",
)
.of_gateway();

/// How many values the histograms of a test's or a protocol's own were given.
pub const METER_VALUES: Metric = Metric::counter(
    "nuncius_experiment_meter_values_total",
    Unit::None,
    &["experiment", "group", "meter", "unit"],
    "How many values the histograms of a test's or a protocol's own were given.",
)
.of_gateway();

/// Values that such a histogram was given in the last second: p50, p95, p99, max; times are in seconds.
pub const METER_VALUE: Metric = Metric::gauge(
    "nuncius_experiment_meter_value",
    Unit::None,
    &["experiment", "group", "meter", "unit", "statistic"],
    "Values that such a histogram was given in the last second: p50, p95, p99, max; times are in seconds.",
)
.of_gateway();

/// Bytes written to connections.
pub const SENT_BYTES: Metric = Metric::counter(
    "nuncius_experiment_sent_bytes_total",
    Unit::Bytes,
    &["experiment", "group", "step"],
    "Bytes written to connections.",
)
.of_gateway();

/// Bytes read from connections.
pub const RECEIVED_BYTES: Metric = Metric::counter(
    "nuncius_experiment_received_bytes_total",
    Unit::Bytes,
    &["experiment", "group", "step"],
    "Bytes read from connections.",
)
.of_gateway();

/// Requests under way at the end of the last second.
pub const IN_FLIGHT_REQUESTS: Metric = Metric::gauge(
    "nuncius_experiment_in_flight_requests",
    Unit::None,
    &["experiment", "group", "step"],
    "Requests under way at the end of the last second.",
)
.of_gateway();

/// Response: done minus planned, of requests that succeeded or waited their timeout.
pub const RESPONSE_SECONDS: Metric = Metric::histogram(
    "nuncius_experiment_response_seconds",
    Unit::Seconds,
    &["experiment", "group", "step"],
    "Response: done minus planned, of requests that succeeded or waited their timeout.",
)
.of_gateway();

/// Service: done minus sent, of requests that succeeded or waited their timeout.
pub const SERVICE_SECONDS: Metric = Metric::histogram(
    "nuncius_experiment_service_seconds",
    Unit::Seconds,
    &["experiment", "group", "step"],
    "Service: done minus sent, of requests that succeeded or waited their timeout.",
)
.of_gateway();

/// Blocked: sent minus taken, while no connection was free.
pub const BLOCKED_SECONDS: Metric = Metric::histogram(
    "nuncius_experiment_blocked_seconds",
    Unit::Seconds,
    &["experiment", "group", "step"],
    "Blocked: sent minus taken, while no connection was free.",
)
.of_gateway();

/// Lag: taken minus planned, the delay of the generator itself.
pub const LAG_SECONDS: Metric = Metric::histogram(
    "nuncius_experiment_lag_seconds",
    Unit::Seconds,
    &["experiment", "group", "step"],
    "Lag: taken minus planned, the delay of the generator itself.",
)
.of_gateway();

/// Response of whole iterations: from the planned instant of the first step to the end of the last.
pub const ITERATION_RESPONSE_SECONDS: Metric = Metric::histogram(
    "nuncius_experiment_iteration_response_seconds",
    Unit::Seconds,
    &["experiment", "group"],
    "Response of whole iterations: from the planned instant of the first step to the end of the last.",
)
.of_gateway();

/// Iterations that a node took or began.
pub const NODE_OFFERED_ITERATIONS: Metric = Metric::counter(
    "nuncius_experiment_node_offered_iterations_total",
    Unit::None,
    &["experiment", "node"],
    "Iterations that a node took or began.",
)
.of_gateway();

/// Iterations under way on a node at the end of the last second.
pub const NODE_IN_FLIGHT_ITERATIONS: Metric = Metric::gauge(
    "nuncius_experiment_node_in_flight_iterations",
    Unit::None,
    &["experiment", "node"],
    "Iterations under way on a node at the end of the last second.",
)
.of_gateway();

/// Lag p99 of a node in the last second; not to be averaged.
pub const NODE_LAG_P99_SECONDS: Metric = Metric::gauge(
    "nuncius_experiment_node_lag_p99_seconds",
    Unit::Seconds,
    &["experiment", "node"],
    "Lag p99 of a node in the last second; not to be averaged.",
)
.of_gateway();

/// Share of the last second that the busiest engine thread of a node waited for a processor.
pub const NODE_RUN_DELAY_RATIO: Metric = Metric::gauge(
    "nuncius_experiment_node_run_delay_ratio",
    Unit::Ratio,
    &["experiment", "node"],
    "Share of the last second that the busiest engine thread of a node waited for a processor.",
)
.of_gateway();

/// Share of the last second that the busiest engine thread of a node ran.
pub const NODE_UTILISATION_RATIO: Metric = Metric::gauge(
    "nuncius_experiment_node_utilisation_ratio",
    Unit::Ratio,
    &["experiment", "node"],
    "Share of the last second that the busiest engine thread of a node ran.",
)
.of_gateway();

/// Nodes that told of the last second and have no series of their own, since there are very many.
pub const NODES_LEFT_OUT: Metric = Metric::gauge(
    "nuncius_experiment_nodes_left_out",
    Unit::None,
    &["experiment"],
    "Nodes that told of the last second and have no series of their own, since there are very many.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &INFO,
    &PHASE_INFO,
    &PHASE_START_TIME_SECONDS,
    &START_TIME_SECONDS,
    &RUN_TIME_SECONDS,
    &PLANNED_TIME_SECONDS,
    &VERDICT,
    &EVENTS,
    &NODES,
    &USERS,
    &SCHEDULED_ITERATIONS,
    &OFFERED_ITERATIONS,
    &ITERATIONS,
    &DEFICIT_ITERATIONS,
    &IN_FLIGHT_ITERATIONS,
    &OFFERED_REQUESTS,
    &SENT_REQUESTS,
    &REQUESTS,
    &ANSWERS,
    &FAILURES,
    &RETRIED_REQUESTS,
    &REDIRECTS,
    &CHECKS,
    &HOST_REQUESTS,
    &METER_SUM,
    &METER_VALUES,
    &METER_VALUE,
    &SENT_BYTES,
    &RECEIVED_BYTES,
    &IN_FLIGHT_REQUESTS,
    &RESPONSE_SECONDS,
    &SERVICE_SECONDS,
    &BLOCKED_SECONDS,
    &LAG_SECONDS,
    &ITERATION_RESPONSE_SECONDS,
    &NODE_OFFERED_ITERATIONS,
    &NODE_IN_FLIGHT_ITERATIONS,
    &NODE_LAG_P99_SECONDS,
    &NODE_RUN_DELAY_RATIO,
    &NODE_UTILISATION_RATIO,
    &NODES_LEFT_OUT,
];
