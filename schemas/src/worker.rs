//! Workers and devices: what a worker says of itself, and the telemetry of hosts and devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a worker does, as part of its entry in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerInfo {
    /// Queue it takes jobs from.
    pub queue: String,
    /// Jobs it runs at once.
    pub slots: u32,
    /// Name of its node: of the machine, as its environment or host gives it.
    pub node: String,
    /// Name of its pod.
    pub pod: String,
    /// Program it runs, without arguments.
    pub workload: String,
    /// Devices it has.
    #[serde(default)]
    pub devices: Vec<DeviceInfo>,
}

/// What kind of thing a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A render node of the kernel's Direct Rendering Manager.
    Drm,
    /// An NVIDIA device file.
    Nvidia,
    /// A file that the worker's pattern found.
    File,
    /// Not there: an emulator stands for it.
    Emulated,
}

/// A device of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceInfo {
    /// Last part of its path: what results call it.
    pub name: String,
    /// What kind of thing it is.
    pub kind: DeviceKind,
    /// Its path, or the subject of an emulated one.
    pub path: String,
    /// What its driver calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// Telemetry of a host and its devices at a moment (subject `sample.<node>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSample {
    /// Who says so, as in the registry.
    pub node: String,
    /// When, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Queue it works for; absent where it is no worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Jobs it can run at once.
    #[serde(default)]
    pub slots: u32,
    /// Jobs it runs.
    #[serde(default)]
    pub busy: u32,
    /// Jobs it has finished since it started.
    #[serde(default)]
    pub finished: u64,
    /// Share of the host's processors in use, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// Memory of the host in use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Memory of the host, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Its devices, as far as they say anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceSample>,
}

/// Telemetry of one device; what it does not say is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceSample {
    /// As in [`DeviceInfo::name`].
    pub name: String,
    /// The device is emulated, and so are these figures.
    #[serde(default)]
    pub emulated: bool,
    /// Share of the time it was busy, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Its memory in use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Its temperature, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f64>,
    /// The power it takes, in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
}

/// A request to an emulated device (subject `device.<device>.run`): occupy it for some work.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeviceRequest {
    /// Work in seconds on a device of its own; absent: what the device's own distribution gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_seconds: Option<f64>,
}

/// The answer, once the work is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceReply {
    /// Device.
    pub device: String,
    /// The work, in seconds on a device of its own.
    pub work_seconds: f64,
    /// How long it waited for a lane, in seconds.
    pub wait_seconds: f64,
    /// How long it ran, in seconds.
    pub run_seconds: f64,
    /// Why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
