//! Control groups and containers of machines.

use crate::{Metric, Unit};

/// Processor time of a control group or container.
pub const CGROUP_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Processor time of a control group or container.",
)
.of_gateway();

/// Read from and written to disks by it.
pub const CGROUP_BLKIO_BYTES: Metric = Metric::counter(
    "nuncius_machine_cgroup_blkio_bytes_total",
    Unit::Bytes,
    &["node", "cgroup"],
    "Read from and written to disks by it.",
)
.of_gateway();

/// Memory it has, pages of files included.
pub const CGROUP_MEMORY_BYTES: Metric = Metric::gauge(
    "nuncius_machine_cgroup_memory_bytes",
    Unit::Bytes,
    &["node", "cgroup"],
    "Memory it has, pages of files included.",
)
.of_gateway();

/// Received and sent by a container.
pub const CGROUP_NET_BYTES: Metric = Metric::counter(
    "nuncius_machine_cgroup_net_bytes_total",
    Unit::Bytes,
    &["node", "cgroup"],
    "Received and sent by a container.",
)
.of_gateway();

/// Processor time of a group's programs.
pub const CGROUP_CPU_USER_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_user_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Processor time of a group's programs.",
)
.of_gateway();

/// Processor time of the kernel for a group.
pub const CGROUP_CPU_SYSTEM_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_system_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Processor time of the kernel for a group.",
)
.of_gateway();

/// Periods of a group's limit of processors.
pub const CGROUP_CPU_PERIODS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_periods_total",
    Unit::None,
    &["node", "cgroup"],
    "Periods of a group's limit of processors.",
)
.of_gateway();

/// Those in which it was throttled.
pub const CGROUP_CPU_THROTTLED_PERIODS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_throttled_periods_total",
    Unit::None,
    &["node", "cgroup"],
    "Those in which it was throttled.",
)
.of_gateway();

/// How long a group was throttled.
pub const CGROUP_CPU_THROTTLED_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_cpu_throttled_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "How long a group was throttled.",
)
.of_gateway();

/// Memory without files not used lately.
pub const CGROUP_MEMORY_WORKING_SET_BYTES: Metric = Metric::gauge(
    "nuncius_machine_cgroup_memory_working_set_bytes",
    Unit::Bytes,
    &["node", "cgroup"],
    "Memory without files not used lately.",
)
.of_gateway();

/// Most memory a group may have.
pub const CGROUP_MEMORY_LIMIT_BYTES: Metric = Metric::gauge(
    "nuncius_machine_cgroup_memory_limit_bytes",
    Unit::Bytes,
    &["node", "cgroup"],
    "Most memory a group may have.",
)
.of_gateway();

/// Swap a group has.
pub const CGROUP_SWAP_BYTES: Metric =
    Metric::gauge("nuncius_machine_cgroup_swap_bytes", Unit::Bytes, &["node", "cgroup"], "Swap a group has.")
        .of_gateway();

/// Processes killed for want of memory.
pub const CGROUP_OOM_KILLS: Metric = Metric::counter(
    "nuncius_machine_cgroup_oom_kills_total",
    Unit::None,
    &["node", "cgroup"],
    "Processes killed for want of memory.",
)
.of_gateway();

/// Read from disks by a group.
pub const CGROUP_READ_BYTES: Metric = Metric::counter(
    "nuncius_machine_cgroup_read_bytes_total",
    Unit::Bytes,
    &["node", "cgroup"],
    "Read from disks by a group.",
)
.of_gateway();

/// Written to disks by a group.
pub const CGROUP_WRITTEN_BYTES: Metric = Metric::counter(
    "nuncius_machine_cgroup_written_bytes_total",
    Unit::Bytes,
    &["node", "cgroup"],
    "Written to disks by a group.",
)
.of_gateway();

/// Processes and threads of a group.
pub const CGROUP_THREADS: Metric = Metric::gauge(
    "nuncius_machine_cgroup_threads",
    Unit::None,
    &["node", "cgroup"],
    "Processes and threads of a group.",
)
.of_gateway();

/// Time in which some threads waited for a processor.
pub const CGROUP_PSI_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_psi_cpu_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Time in which some threads waited for a processor.",
)
.of_gateway();

/// Time in which some threads waited for memory.
pub const CGROUP_PSI_MEMORY_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_psi_memory_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Time in which some threads waited for memory.",
)
.of_gateway();

/// Time in which some threads waited for a disk.
pub const CGROUP_PSI_IO_SECONDS: Metric = Metric::counter(
    "nuncius_machine_cgroup_psi_io_seconds_total",
    Unit::Seconds,
    &["node", "cgroup"],
    "Time in which some threads waited for a disk.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &CGROUP_CPU_SECONDS,
    &CGROUP_BLKIO_BYTES,
    &CGROUP_MEMORY_BYTES,
    &CGROUP_NET_BYTES,
    &CGROUP_CPU_USER_SECONDS,
    &CGROUP_CPU_SYSTEM_SECONDS,
    &CGROUP_CPU_PERIODS,
    &CGROUP_CPU_THROTTLED_PERIODS,
    &CGROUP_CPU_THROTTLED_SECONDS,
    &CGROUP_MEMORY_WORKING_SET_BYTES,
    &CGROUP_MEMORY_LIMIT_BYTES,
    &CGROUP_SWAP_BYTES,
    &CGROUP_OOM_KILLS,
    &CGROUP_READ_BYTES,
    &CGROUP_WRITTEN_BYTES,
    &CGROUP_THREADS,
    &CGROUP_PSI_CPU_SECONDS,
    &CGROUP_PSI_MEMORY_SECONDS,
    &CGROUP_PSI_IO_SECONDS,
];
