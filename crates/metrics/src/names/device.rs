//! Devices of workers, as the workers say.

use crate::{Metric, Unit};

/// Share of the time that the device was busy.
pub const UTILIZATION_RATIO: Metric = Metric::gauge(
    "nuncius_device_utilization_ratio",
    Unit::Ratio,
    &["node", "device", "emulated"],
    "Share of the time that the device was busy.",
)
.of_gateway();

/// Memory of the device in use.
pub const MEMORY_USED_BYTES: Metric = Metric::gauge(
    "nuncius_device_memory_used_bytes",
    Unit::Bytes,
    &["node", "device", "emulated"],
    "Memory of the device in use.",
)
.of_gateway();

/// Temperature of the device.
pub const TEMPERATURE_CELSIUS: Metric = Metric::gauge(
    "nuncius_device_temperature_celsius",
    Unit::Celsius,
    &["node", "device", "emulated"],
    "Temperature of the device.",
)
.of_gateway();

/// Power that the device takes.
pub const POWER_WATTS: Metric = Metric::gauge(
    "nuncius_device_power_watts",
    Unit::Watts,
    &["node", "device", "emulated"],
    "Power that the device takes.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[&UTILIZATION_RATIO, &MEMORY_USED_BYTES, &TEMPERATURE_CELSIUS, &POWER_WATTS];
