//! Energy, heat and GPUs of machines.

use crate::{Metric, Unit};

/// Energy that a part of a processor took.
pub const ENERGY_JOULES: Metric = Metric::counter(
    "nuncius_machine_energy_joules_total",
    Unit::Joules,
    &["node", "meter"],
    "Energy that a part of a processor took.",
)
.of_gateway();

/// Power that a part of a processor takes.
pub const ENERGY_POWER_WATTS: Metric = Metric::gauge(
    "nuncius_machine_energy_power_watts",
    Unit::Watts,
    &["node", "meter"],
    "Power that a part of a processor takes.",
)
.of_gateway();

/// Power that goes through a rail of the board.
pub const POWER_WATTS: Metric = Metric::gauge(
    "nuncius_machine_power_watts",
    Unit::Watts,
    &["node", "rail"],
    "Power that goes through a rail of the board.",
)
.of_gateway();

/// How hot a part of the machine is.
pub const TEMPERATURE_CELSIUS: Metric = Metric::gauge(
    "nuncius_machine_temperature_celsius",
    Unit::Celsius,
    &["node", "zone"],
    "How hot a part of the machine is.",
)
.of_gateway();

/// Share of the time in which something ran on a GPU.
pub const GPU_UTIL_RATIO: Metric = Metric::gauge(
    "nuncius_machine_gpu_util_ratio",
    Unit::Ratio,
    &["node", "gpu"],
    "Share of the time in which something ran on a GPU.",
)
.of_gateway();

/// Share of the time in which its memory was read or written.
pub const GPU_UTIL_MEMORY_RATIO: Metric = Metric::gauge(
    "nuncius_machine_gpu_util_memory_ratio",
    Unit::Ratio,
    &["node", "gpu"],
    "Share of the time in which its memory was read or written.",
)
.of_gateway();

/// Clock of a GPU's processors.
pub const GPU_FREQ_HERTZ: Metric =
    Metric::gauge("nuncius_machine_gpu_freq_hertz", Unit::Hertz, &["node", "gpu"], "Clock of a GPU's processors.")
        .of_gateway();

/// Power that a GPU takes.
pub const GPU_POWER_WATTS: Metric =
    Metric::gauge("nuncius_machine_gpu_power_watts", Unit::Watts, &["node", "gpu"], "Power that a GPU takes.")
        .of_gateway();

/// Energy that a GPU took.
pub const GPU_ENERGY_JOULES: Metric = Metric::counter(
    "nuncius_machine_gpu_energy_joules_total",
    Unit::Joules,
    &["node", "gpu"],
    "Energy that a GPU took.",
)
.of_gateway();

/// Memory of a GPU in use.
pub const GPU_MEMORY_BYTES: Metric =
    Metric::gauge("nuncius_machine_gpu_memory_bytes", Unit::Bytes, &["node", "gpu"], "Memory of a GPU in use.")
        .of_gateway();

/// Memory of a GPU.
pub const GPU_MEMORY_TOTAL_BYTES: Metric =
    Metric::gauge("nuncius_machine_gpu_memory_total_bytes", Unit::Bytes, &["node", "gpu"], "Memory of a GPU.")
        .of_gateway();

/// Clock of a GPU's memory.
pub const GPU_MEMORY_FREQ_HERTZ: Metric =
    Metric::gauge("nuncius_machine_gpu_memory_freq_hertz", Unit::Hertz, &["node", "gpu"], "Clock of a GPU's memory.")
        .of_gateway();

/// How hot a GPU is.
pub const GPU_TEMPERATURE_CELSIUS: Metric =
    Metric::gauge("nuncius_machine_gpu_temperature_celsius", Unit::Celsius, &["node", "gpu"], "How hot a GPU is.")
        .of_gateway();

/// Speed of a GPU's fan.
pub const GPU_FAN_RATIO: Metric =
    Metric::gauge("nuncius_machine_gpu_fan_ratio", Unit::Ratio, &["node", "gpu"], "Speed of a GPU's fan.").of_gateway();

/// 1 while a GPU is slowed because of power or heat.
pub const GPU_THROTTLED: Metric = Metric::gauge(
    "nuncius_machine_gpu_throttled",
    Unit::None,
    &["node", "gpu"],
    "1 while a GPU is slowed because of power or heat.",
)
.of_gateway();

/// Errors of a GPU's memory that could not be mended.
pub const GPU_MEMORY_ERRORS: Metric = Metric::counter(
    "nuncius_machine_gpu_memory_errors_total",
    Unit::None,
    &["node", "gpu"],
    "Errors of a GPU's memory that could not be mended.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &ENERGY_JOULES,
    &ENERGY_POWER_WATTS,
    &POWER_WATTS,
    &TEMPERATURE_CELSIUS,
    &GPU_UTIL_RATIO,
    &GPU_UTIL_MEMORY_RATIO,
    &GPU_FREQ_HERTZ,
    &GPU_POWER_WATTS,
    &GPU_ENERGY_JOULES,
    &GPU_MEMORY_BYTES,
    &GPU_MEMORY_TOTAL_BYTES,
    &GPU_MEMORY_FREQ_HERTZ,
    &GPU_TEMPERATURE_CELSIUS,
    &GPU_FAN_RATIO,
    &GPU_THROTTLED,
    &GPU_MEMORY_ERRORS,
];
