//! Telemetry of a machine: one message a period and node (subject `telemetry.<node>`), and how it is steered.
//!
//! Counters grow for as long as the machine runs and begin anew with it: rates are differences of two messages, over
//! the difference of `at_monotonic_ns`. What a machine does not say is absent, never 0. Every figure is described once,
//! in [`figures`]: its name, unit and what it is of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod cgroup;
pub mod control;
pub mod device;
pub mod figures;
pub mod metric;
pub mod processor;
pub mod traffic;

pub use cgroup::{CgroupNetwork, CgroupTelemetry, CgroupVersion, Runtime};
pub use control::{
    MachineDescription, PERIOD_MAX, PERIOD_MIN, PeriodError, TelemetryControl, TelemetryHold, TelemetryState,
    check_period,
};
pub use device::{EnergyTelemetry, GpuTelemetry, RailTelemetry, ThermalTelemetry};
pub use figures::{TelemetryValue, for_each_value, metrics};
pub use metric::{MetricKind, MetricOf, MetricUnit, TelemdMetric, TelemetryMetric};
pub use processor::{
    CoreTelemetry, CpuTelemetry, CpuTimes, LoadTelemetry, MemoryTelemetry, PressureResource, PressureTelemetry,
    PressureTotal,
};
pub use traffic::{DiskTelemetry, NetworkTelemetry, TcpStates, TcpTelemetry, WirelessTelemetry};

/// A machine at a moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NodeTelemetry {
    /// The machine's name on the bus, a token.
    pub node: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Identifier of the machine since it was booted: of two nodes that have the same one (containers), each says the
    /// same of the machine.
    pub machine: String,
    /// Random number of this sampler: another one begins with sequence 1 again.
    pub epoch: u64,
    /// Which message of this sampler it is, from 1. One that is not there was lost on its way.
    pub sequence: u64,
    /// When, on the machine's wall clock, in nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// When, on its CLOCK_MONOTONIC, in nanoseconds.
    pub at_monotonic_ns: u64,
    /// Time between two samples as it is wanted, in nanoseconds.
    pub period_ns: u64,
    /// What looking took.
    pub sampling: SamplingCost,
    /// Processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuTelemetry>,
    /// Load averages and who runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadTelemetry>,
    /// Memory and swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryTelemetry>,
    /// Pressure stall information.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pressure: Vec<PressureTelemetry>,
    /// Network interfaces but the loopback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkTelemetry>,
    /// Whole disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskTelemetry>,
    /// TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpTelemetry>,
    /// Control groups: those of containers, and those that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<CgroupTelemetry>,
    /// Energy meters of processors (RAPL).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub energy: Vec<EnergyTelemetry>,
    /// Power rails of a board (Jetson).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rails: Vec<RailTelemetry>,
    /// Thermal zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thermal: Vec<ThermalTelemetry>,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuTelemetry>,
    /// What a limit left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<Omitted>,
    /// What could not be read, or made no sense, for the first time: each is told once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What looking took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SamplingCost {
    /// From the beginning of this sample to its end, in nanoseconds.
    pub took_ns: u64,
    /// Processor time of the sampler since it began, in nanoseconds.
    pub cpu_ns: u64,
}

/// What a limit left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Omitted {
    /// What: `cgroups`, `networks`, `disks`, `cores`.
    pub what: String,
    /// How many there are beyond the limit; where even counting has a limit, how many were seen beyond.
    pub count: u64,
    /// The limit.
    pub limit: u64,
}
