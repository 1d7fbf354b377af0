//! Emulators: what the systems under test counted themselves.

use crate::{Metric, Unit};

/// Requests that were read whole.
pub const STUB_REQUESTS: Metric =
    Metric::counter("nuncius_stub_requests_total", Unit::None, &[], "Requests that were read whole.");

/// Of these, answered with anything but 503 and the seeded 500.
pub const STUB_ANSWERED_REQUESTS: Metric = Metric::counter(
    "nuncius_stub_answered_requests_total",
    Unit::None,
    &[],
    "Of these, answered with anything but 503 and the seeded 500.",
);

/// Answered 503 because the waiting room was full.
pub const STUB_REFUSED_REQUESTS: Metric = Metric::counter(
    "nuncius_stub_refused_requests_total",
    Unit::None,
    &[],
    "Answered 503 because the waiting room was full.",
);

/// Answered 500 by the seeded error rate.
pub const STUB_ERRORS: Metric =
    Metric::counter("nuncius_stub_errors_total", Unit::None, &[], "Answered 500 by the seeded error rate.");

/// Requests refused while they were read.
pub const STUB_REJECTED_REQUESTS: Metric =
    Metric::counter("nuncius_stub_rejected_requests_total", Unit::None, &[], "Requests refused while they were read.");

/// Requests that hold a slot.
pub const STUB_IN_SERVICE_REQUESTS: Metric =
    Metric::gauge("nuncius_stub_in_service_requests", Unit::None, &[], "Requests that hold a slot.");

/// Requests that wait for a slot.
pub const STUB_WAITING_REQUESTS: Metric =
    Metric::gauge("nuncius_stub_waiting_requests", Unit::None, &[], "Requests that wait for a slot.");

/// Open connections.
pub const STUB_CONNECTIONS: Metric = Metric::gauge("nuncius_stub_connections", Unit::None, &[], "Open connections.");

/// Connections that were accepted.
pub const STUB_ACCEPTED_CONNECTIONS: Metric =
    Metric::counter("nuncius_stub_accepted_connections_total", Unit::None, &[], "Connections that were accepted.");

/// Connections that were closed at once because there were too many.
pub const STUB_REFUSED_CONNECTIONS: Metric = Metric::counter(
    "nuncius_stub_refused_connections_total",
    Unit::None,
    &[],
    "Connections that were closed at once because there were too many.",
);

/// 1 while the stub stands still.
pub const STUB_FROZEN: Metric = Metric::gauge("nuncius_stub_frozen", Unit::None, &[], "1 while the stub stands still.");

/// Events that were accepted.
pub const OCO_EVENTS: Metric =
    Metric::counter("nuncius_oco_events_total", Unit::None, &["event"], "Events that were accepted.");

/// Events that were refused.
pub const OCO_ERRORS: Metric =
    Metric::counter("nuncius_oco_errors_total", Unit::None, &[], "Events that were refused.");

/// Bodies that were no event.
pub const OCO_UNREADABLE: Metric =
    Metric::counter("nuncius_oco_unreadable_total", Unit::None, &[], "Bodies that were no event.");

/// Applications that have registered.
pub const OCO_APPS: Metric = Metric::gauge("nuncius_oco_apps", Unit::None, &[], "Applications that have registered.");

/// Measurements that were completed, restored ones included.
pub const OCO_CYCLES: Metric =
    Metric::gauge("nuncius_oco_cycles", Unit::None, &[], "Measurements that were completed, restored ones included.");

/// Measurements completed by the application that has fewest.
pub const OCO_APP_CYCLES_MIN: Metric = Metric::gauge(
    "nuncius_oco_app_cycles_min",
    Unit::None,
    &[],
    "Measurements completed by the application that has fewest.",
);

/// Measurements completed by the application that has most.
pub const OCO_APP_CYCLES_MAX: Metric = Metric::gauge(
    "nuncius_oco_app_cycles_max",
    Unit::None,
    &[],
    "Measurements completed by the application that has most.",
);

/// Measurements completed by one application, on average.
pub const OCO_APP_CYCLES_AVERAGE: Metric = Metric::gauge(
    "nuncius_oco_app_cycles_average",
    Unit::None,
    &[],
    "Measurements completed by one application, on average.",
);

/// Spread of applications' cycles over their average.
pub const OCO_EVENNESS_RATIO: Metric =
    Metric::gauge("nuncius_oco_evenness_ratio", Unit::Ratio, &[], "Spread of applications' cycles over their average.");

/// Time since the start.
pub const OCO_UPTIME_SECONDS: Metric =
    Metric::gauge("nuncius_oco_uptime_seconds", Unit::Seconds, &[], "Time since the start.");

/// Bytes wanted at present.
pub const RESOURCE_WANTED_BYTES: Metric =
    Metric::gauge("nuncius_resource_wanted_bytes", Unit::Bytes, &["kind"], "Bytes wanted at present.");

/// Bytes held at present.
pub const RESOURCE_ACTUAL_BYTES: Metric =
    Metric::gauge("nuncius_resource_actual_bytes", Unit::Bytes, &["kind"], "Bytes held at present.");

/// Most bytes that a request may want now.
pub const RESOURCE_LIMIT_BYTES: Metric =
    Metric::gauge("nuncius_resource_limit_bytes", Unit::Bytes, &["kind"], "Most bytes that a request may want now.");

/// Bytes that are always left free.
pub const RESOURCE_FLOOR_BYTES: Metric =
    Metric::gauge("nuncius_resource_floor_bytes", Unit::Bytes, &["kind"], "Bytes that are always left free.");

/// Load wanted at present, in cores.
pub const RESOURCE_WANTED_CORES: Metric =
    Metric::gauge("nuncius_resource_wanted_cores", Unit::Cores, &["kind"], "Load wanted at present, in cores.");

/// Load of the last second, in cores.
pub const RESOURCE_MEASURED_CORES: Metric =
    Metric::gauge("nuncius_resource_measured_cores", Unit::Cores, &["kind"], "Load of the last second, in cores.");

/// Most load that a request may want now, in cores.
pub const RESOURCE_LIMIT_CORES: Metric = Metric::gauge(
    "nuncius_resource_limit_cores",
    Unit::Cores,
    &["kind"],
    "Most load that a request may want now, in cores.",
);

/// Processor time used up, in seconds.
pub const RESOURCE_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_resource_cpu_seconds_total",
    Unit::Seconds,
    &["kind"],
    "Processor time used up, in seconds.",
);

/// Bytes written to disk.
pub const RESOURCE_WRITTEN_BYTES: Metric =
    Metric::counter("nuncius_resource_written_bytes_total", Unit::Bytes, &["kind"], "Bytes written to disk.");

/// Bytes read from disk.
pub const RESOURCE_READ_BYTES: Metric =
    Metric::counter("nuncius_resource_read_bytes_total", Unit::Bytes, &["kind"], "Bytes read from disk.");

/// Share of the way to what was asked.
pub const RESOURCE_PROGRESS_RATIO: Metric =
    Metric::gauge("nuncius_resource_progress_ratio", Unit::Ratio, &["kind"], "Share of the way to what was asked.");

/// Requests that were accepted.
pub const RESOURCE_ACCEPTED: Metric =
    Metric::counter("nuncius_resource_accepted_total", Unit::None, &["kind"], "Requests that were accepted.");

/// Requests that were refused.
pub const RESOURCE_REFUSED: Metric =
    Metric::counter("nuncius_resource_refused_total", Unit::None, &["kind"], "Requests that were refused.");

/// Times that what was wanted could not be had.
pub const RESOURCE_FAILURES: Metric = Metric::counter(
    "nuncius_resource_failures_total",
    Unit::None,
    &["kind"],
    "Times that what was wanted could not be had.",
);

/// What it is doing: 1 for one phase, 0 for the others.
pub const RESOURCE_PHASE: Metric = Metric::gauge(
    "nuncius_resource_phase",
    Unit::None,
    &["kind", "phase"],
    "What it is doing: 1 for one phase, 0 for the others.",
);

/// Requests to an emulated device, by how they ended: done, refused.
pub const EMULATED_DEVICE_REQUESTS: Metric = Metric::counter(
    "nuncius_emulated_device_requests_total",
    Unit::None,
    &["device", "outcome"],
    "Requests to an emulated device, by how they ended: done, refused.",
);

/// Requests that occupy a lane of the device.
pub const EMULATED_DEVICE_RUNNING_REQUESTS: Metric = Metric::gauge(
    "nuncius_emulated_device_running_requests",
    Unit::None,
    &["device"],
    "Requests that occupy a lane of the device.",
);

/// Requests that wait for a lane of the device.
pub const EMULATED_DEVICE_WAITING_REQUESTS: Metric = Metric::gauge(
    "nuncius_emulated_device_waiting_requests",
    Unit::None,
    &["device"],
    "Requests that wait for a lane of the device.",
);

/// Requests that the device serves at once.
pub const EMULATED_DEVICE_LANES: Metric =
    Metric::gauge("nuncius_emulated_device_lanes", Unit::None, &["device"], "Requests that the device serves at once.");

/// All of them.
pub const ALL: &[&Metric] = &[
    &STUB_REQUESTS,
    &STUB_ANSWERED_REQUESTS,
    &STUB_REFUSED_REQUESTS,
    &STUB_ERRORS,
    &STUB_REJECTED_REQUESTS,
    &STUB_IN_SERVICE_REQUESTS,
    &STUB_WAITING_REQUESTS,
    &STUB_CONNECTIONS,
    &STUB_ACCEPTED_CONNECTIONS,
    &STUB_REFUSED_CONNECTIONS,
    &STUB_FROZEN,
    &OCO_EVENTS,
    &OCO_ERRORS,
    &OCO_UNREADABLE,
    &OCO_APPS,
    &OCO_CYCLES,
    &OCO_APP_CYCLES_MIN,
    &OCO_APP_CYCLES_MAX,
    &OCO_APP_CYCLES_AVERAGE,
    &OCO_EVENNESS_RATIO,
    &OCO_UPTIME_SECONDS,
    &RESOURCE_WANTED_BYTES,
    &RESOURCE_ACTUAL_BYTES,
    &RESOURCE_LIMIT_BYTES,
    &RESOURCE_FLOOR_BYTES,
    &RESOURCE_WANTED_CORES,
    &RESOURCE_MEASURED_CORES,
    &RESOURCE_LIMIT_CORES,
    &RESOURCE_CPU_SECONDS,
    &RESOURCE_WRITTEN_BYTES,
    &RESOURCE_READ_BYTES,
    &RESOURCE_PROGRESS_RATIO,
    &RESOURCE_ACCEPTED,
    &RESOURCE_REFUSED,
    &RESOURCE_FAILURES,
    &RESOURCE_PHASE,
    &EMULATED_DEVICE_REQUESTS,
    &EMULATED_DEVICE_RUNNING_REQUESTS,
    &EMULATED_DEVICE_WAITING_REQUESTS,
    &EMULATED_DEVICE_LANES,
];
