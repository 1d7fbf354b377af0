//! Where a machine is looked at, and how much of it.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the kernel's trees are: elsewhere in a container that is given those of its host, and in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// As `/proc`.
    pub proc: PathBuf,
    /// As `/sys`.
    pub sys: PathBuf,
    /// As `/dev`.
    pub dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }
}

impl Roots {
    /// `proc`, `sys` and `dev` below one directory.
    pub fn below(root: &std::path::Path) -> Self {
        Self { proc: root.join("proc"), sys: root.join("sys"), dev: root.join("dev") }
    }
}

/// Most of each kind that a message has; what is beyond is counted in `omitted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineLimits {
    /// Processors.
    pub cores: usize,
    /// Network interfaces.
    pub networks: usize,
    /// Disks.
    pub disks: usize,
    /// Control groups; those of containers come first.
    pub cgroups: usize,
    /// Control groups that are looked at to find those.
    pub cgroups_visited: usize,
    /// Interfaces of a container.
    pub cgroup_networks: usize,
    /// Meters, rails, zones and GPUs, of each.
    pub devices: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
}

impl Default for MachineLimits {
    fn default() -> Self {
        Self {
            cores: 256,
            networks: 64,
            disks: 64,
            cgroups: 256,
            cgroups_visited: 20_000,
            cgroup_networks: 8,
            devices: 64,
            // A quarter of what a NATS server takes by default, and a little less for headers.
            message_bytes: 240 * 1024,
        }
    }
}

/// How a machine is sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// Where the kernel's trees are.
    pub roots: Roots,
    /// How much is told.
    pub limits: MachineLimits,
    /// Patterns of paths of control groups that are no containers and are sampled, too; `*` stands for anything but
    /// `/`.
    pub cgroups: Vec<String>,
    /// A program that answers as [`crate::gpu::nvml::serve`] does, with its arguments: NVML is asked in a process of
    /// its own, as a driver's library may crash. None: it is not asked.
    pub nvml: Option<Vec<OsString>>,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self { roots: Roots::default(), limits: MachineLimits::default(), cgroups: vec!["/*".to_owned()], nvml: None }
    }
}
