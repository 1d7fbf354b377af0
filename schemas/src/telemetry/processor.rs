//! Processors, load, memory, pressure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Processor time by mode, in nanoseconds since the machine was booted.
///
/// Guests run within `user_ns` and `nice_ns`, as the kernel counts them: they are not to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CpuTimes {
    /// Programs.
    pub user_ns: u64,
    /// Programs of low priority.
    pub nice_ns: u64,
    /// The kernel.
    pub system_ns: u64,
    /// Nothing.
    pub idle_ns: u64,
    /// Nothing, while something waited for a disk.
    pub iowait_ns: u64,
    /// Interrupts.
    pub irq_ns: u64,
    /// What interrupts left to be done.
    pub softirq_ns: u64,
    /// Wanted, but given to other virtual machines by the host.
    pub steal_ns: u64,
    /// Virtual machines that run here.
    pub guest_ns: u64,
    /// Those of low priority.
    pub guest_nice_ns: u64,
}

impl CpuTimes {
    /// All but idle and waiting for disks. Guests are within user and nice; stolen time is nobody's here.
    pub const fn busy_ns(&self) -> u64 {
        self.user_ns
            .saturating_add(self.nice_ns)
            .saturating_add(self.system_ns)
            .saturating_add(self.irq_ns)
            .saturating_add(self.softirq_ns)
    }

    /// All modes together.
    pub const fn total_ns(&self) -> u64 {
        self.busy_ns().saturating_add(self.idle_ns).saturating_add(self.iowait_ns).saturating_add(self.steal_ns)
    }
}

/// All processors together, and each of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CpuTelemetry {
    /// All processors together.
    pub times: CpuTimes,
    /// Share of their time that they were busy since the sample before, 0 to 1: all modes but idle, iowait and steal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ratio: Option<f64>,
    /// Share of their time that other virtual machines had since the sample before, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_ratio: Option<f64>,
    /// Sum of the frequencies of all processors, in hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_hertz: Option<u64>,
    /// Changes from one thread to another since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<u64>,
    /// Interrupts since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<u64>,
    /// Processes and threads begun since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<u64>,
    /// Times that processors were slowed down because of heat, since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thermal_throttles: Option<u64>,
    /// Each processor that is online.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<CoreTelemetry>,
}

/// One processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CoreTelemetry {
    /// Its number.
    pub core: u32,
    /// Its time.
    pub times: CpuTimes,
    /// Its frequency, in hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_hertz: Option<u64>,
}

/// Who runs and who wants to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LoadTelemetry {
    /// Load average over one minute.
    pub load1: f64,
    /// Load average over five minutes.
    pub load5: f64,
    /// Load average over fifteen minutes.
    pub load15: f64,
    /// Threads that run or wait for a processor.
    pub runnable: u64,
    /// Threads there are.
    pub threads: u64,
    /// Threads that wait for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<u64>,
}

/// Memory and swap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MemoryTelemetry {
    /// There is.
    pub total_bytes: u64,
    /// A new program could have, without swapping.
    pub available_bytes: u64,
    /// Used for nothing.
    pub free_bytes: u64,
    /// Buffers of block devices.
    pub buffers_bytes: u64,
    /// Pages of files.
    pub cached_bytes: u64,
    /// Waits to be written to disks.
    pub dirty_bytes: u64,
    /// Structures of the kernel that it cannot give back.
    pub slab_unreclaimable_bytes: u64,
    /// Swap there is.
    pub swap_total_bytes: u64,
    /// Swap that is free.
    pub swap_free_bytes: u64,
    /// Read from swap since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped_in_bytes: Option<u64>,
    /// Written to swap since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped_out_bytes: Option<u64>,
    /// Page faults that had to read a disk, since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_faults: Option<u64>,
    /// Processes killed for want of memory, since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
}

/// What threads stood still for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PressureResource {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Io,
}

impl PressureResource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Io, Self::Memory];

    /// Its name, of the kernel's file too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// Pressure stall information of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PressureTelemetry {
    /// What was lacking.
    pub resource: PressureResource,
    /// Time in which at least one thread stood still.
    pub some: PressureTotal,
    /// Time in which all threads stood still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<PressureTotal>,
}

/// How much of the time threads stood still.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PressureTotal {
    /// Share of the last ten seconds, 0 to 1.
    pub average_10s_ratio: f64,
    /// Share of the last minute.
    pub average_60s_ratio: f64,
    /// Share of the last five minutes.
    pub average_300s_ratio: f64,
    /// Since the boot, in nanoseconds.
    pub total_ns: u64,
}
