//! Processors of machines, and what sampling costs.

use crate::{Metric, Unit};

/// Share of the processors' time that they were busy.
pub const CPU_RATIO: Metric = Metric::gauge(
    "nuncius_machine_cpu_ratio",
    Unit::Ratio,
    &["node"],
    "Share of the processors' time that they were busy.",
)
.of_gateway();

/// Share of the processors' time that others had.
pub const CPU_STEAL_SHARE_RATIO: Metric = Metric::gauge(
    "nuncius_machine_cpu_steal_share_ratio",
    Unit::Ratio,
    &["node"],
    "Share of the processors' time that others had.",
)
.of_gateway();

/// Sum of the frequencies of all processors.
pub const FREQ_HERTZ: Metric =
    Metric::gauge("nuncius_machine_freq_hertz", Unit::Hertz, &["node"], "Sum of the frequencies of all processors.")
        .of_gateway();

/// Processor time by mode; that of guests is within user and nice.
pub const CPU_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cpu_seconds_total",
    Unit::Seconds,
    &["node", "mode"],
    "Processor time by mode; that of guests is within user and nice.",
)
.of_gateway();

/// Changes from one thread to another.
pub const CONTEXT_SWITCHES: Metric = Metric::counter(
    "nuncius_machine_context_switches_total",
    Unit::None,
    &["node"],
    "Changes from one thread to another.",
)
.of_gateway();

/// Interrupts.
pub const INTERRUPTS: Metric =
    Metric::counter("nuncius_machine_interrupts_total", Unit::None, &["node"], "Interrupts taken.").of_gateway();

/// Processes and threads begun.
pub const FORKS: Metric =
    Metric::counter("nuncius_machine_forks_total", Unit::None, &["node"], "Processes and threads begun.").of_gateway();

/// Times that processors were slowed because of heat.
pub const THERMAL_THROTTLES: Metric = Metric::counter(
    "nuncius_machine_thermal_throttles_total",
    Unit::None,
    &["node"],
    "Times that processors were slowed because of heat.",
)
.of_gateway();

/// Processor time by processor and mode.
pub const CORE_SECONDS: Metric = Metric::counter(
    "nuncius_machine_core_seconds_total",
    Unit::Seconds,
    &["node", "core", "mode"],
    "Processor time by processor and mode.",
)
.of_gateway();

/// Frequency, by processor.
pub const CORE_FREQ_HERTZ: Metric =
    Metric::gauge("nuncius_machine_core_freq_hertz", Unit::Hertz, &["node", "core"], "Frequency, by processor.")
        .of_gateway();

/// How long the sample took.
pub const SAMPLING_TIME_SECONDS: Metric =
    Metric::gauge("nuncius_machine_sampling_time_seconds", Unit::Seconds, &["node"], "How long the sample took.")
        .of_gateway();

/// Processor time of the sampler.
pub const SAMPLING_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_machine_sampling_cpu_seconds_total",
    Unit::Seconds,
    &["node"],
    "Processor time of the sampler.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &CPU_RATIO,
    &CPU_STEAL_SHARE_RATIO,
    &FREQ_HERTZ,
    &CPU_SECONDS,
    &CONTEXT_SWITCHES,
    &INTERRUPTS,
    &FORKS,
    &THERMAL_THROTTLES,
    &CORE_SECONDS,
    &CORE_FREQ_HERTZ,
    &SAMPLING_TIME_SECONDS,
    &SAMPLING_CPU_SECONDS,
];
