//! Energy, heat, GPUs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An energy meter of a processor (RAPL).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EnergyTelemetry {
    /// What it meters: `package-0`, `package-0/core`, `package-0/dram`.
    pub zone: String,
    /// Since the sampler began, in joules; the meter's wrapping around is taken out.
    pub energy_joules: f64,
    /// Since the sample before, in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
}

/// A power rail of a board.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RailTelemetry {
    /// What the board calls it: `VDD_IN`, `VDD_SYS_GPU`.
    pub rail: String,
    /// What goes through it.
    pub power_watts: f64,
}

/// A thermal zone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ThermalTelemetry {
    /// What the board calls it, with its number where there are several: `x86_pkg_temp`, `CPU-therm`.
    pub zone: String,
    /// How hot it is.
    pub temperature_celsius: f64,
}

/// A GPU; what it does not say is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GpuTelemetry {
    /// Its number, as its driver counts: what figures call it. Those of other drivers come after NVIDIA's.
    pub index: u32,
    /// Name of its device, `nvidia0` or `card0`.
    pub device: String,
    /// Where it says so: `nvml`, `amdgpu`, `i915`, `xe`, `jetson`.
    pub source: String,
    /// What its driver calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Identifier that no other has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Share of the time in which something ran on it, 0 to 1: not how much of it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ratio: Option<f64>,
    /// Share of the time in which its memory was read or written, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_busy_ratio: Option<f64>,
    /// Memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Memory there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Clock of its processors, in hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_hertz: Option<u64>,
    /// Clock of its memory, in hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_frequency_hertz: Option<u64>,
    /// The power it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
    /// The energy it has taken since its driver was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
    /// How hot it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f64>,
    /// Speed of its fan, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_ratio: Option<f64>,
    /// Whether it is slowed down because of power or heat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_throttled: Option<bool>,
    /// Why it is slower than it could be, as NVML names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub throttle_reasons: Vec<String>,
    /// Errors of its memory that could not be mended, since its driver was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_errors: Option<u64>,
}
