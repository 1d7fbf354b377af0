//! Memory, load and pressure of machines.

use crate::{Metric, Unit};

/// Load average over one minute.
pub const LOAD1: Metric =
    Metric::gauge("nuncius_machine_load1", Unit::None, &["node"], "Load average over one minute.").of_gateway();

/// Load average over five minutes.
pub const LOAD5: Metric =
    Metric::gauge("nuncius_machine_load5", Unit::None, &["node"], "Load average over five minutes.").of_gateway();

/// Load average over fifteen minutes.
pub const LOAD15: Metric =
    Metric::gauge("nuncius_machine_load15", Unit::None, &["node"], "Load average over fifteen minutes.").of_gateway();

/// Threads that run or wait for a processor.
pub const PROCS: Metric =
    Metric::gauge("nuncius_machine_procs", Unit::None, &["node"], "Threads that run or wait for a processor.")
        .of_gateway();

/// Threads there are.
pub const THREADS: Metric =
    Metric::gauge("nuncius_machine_threads", Unit::None, &["node"], "Threads there are.").of_gateway();

/// Threads that wait for a disk.
pub const PROCS_BLOCKED: Metric =
    Metric::gauge("nuncius_machine_procs_blocked", Unit::None, &["node"], "Threads that wait for a disk.").of_gateway();

/// Memory that no new program could have.
pub const RAM_BYTES: Metric =
    Metric::gauge("nuncius_machine_ram_bytes", Unit::Bytes, &["node"], "Memory that no new program could have.")
        .of_gateway();

/// Memory there is.
pub const RAM_TOTAL_BYTES: Metric =
    Metric::gauge("nuncius_machine_ram_total_bytes", Unit::Bytes, &["node"], "Memory there is.").of_gateway();

/// Memory that a new program could have.
pub const RAM_AVAILABLE_BYTES: Metric = Metric::gauge(
    "nuncius_machine_ram_available_bytes",
    Unit::Bytes,
    &["node"],
    "Memory that a new program could have.",
)
.of_gateway();

/// Memory used for nothing.
pub const RAM_FREE_BYTES: Metric =
    Metric::gauge("nuncius_machine_ram_free_bytes", Unit::Bytes, &["node"], "Memory used for nothing.").of_gateway();

/// Memory of buffers of block devices.
pub const RAM_BUFFERS_BYTES: Metric =
    Metric::gauge("nuncius_machine_ram_buffers_bytes", Unit::Bytes, &["node"], "Memory of buffers of block devices.")
        .of_gateway();

/// Memory of pages of files.
pub const RAM_CACHED_BYTES: Metric =
    Metric::gauge("nuncius_machine_ram_cached_bytes", Unit::Bytes, &["node"], "Memory of pages of files.").of_gateway();

/// Memory that waits to be written to disks.
pub const RAM_DIRTY_BYTES: Metric = Metric::gauge(
    "nuncius_machine_ram_dirty_bytes",
    Unit::Bytes,
    &["node"],
    "Memory that waits to be written to disks.",
)
.of_gateway();

/// Memory of the kernel that it cannot give back.
pub const RAM_SLAB_UNRECLAIMABLE_BYTES: Metric = Metric::gauge(
    "nuncius_machine_ram_slab_unreclaimable_bytes",
    Unit::Bytes,
    &["node"],
    "Memory of the kernel that it cannot give back.",
)
.of_gateway();

/// Swap in use.
pub const SWAP_BYTES: Metric =
    Metric::gauge("nuncius_machine_swap_bytes", Unit::Bytes, &["node"], "Swap in use.").of_gateway();

/// Swap there is.
pub const SWAP_TOTAL_BYTES: Metric =
    Metric::gauge("nuncius_machine_swap_total_bytes", Unit::Bytes, &["node"], "Swap there is.").of_gateway();

/// Read from swap.
pub const SWAP_IN_BYTES: Metric =
    Metric::counter("nuncius_machine_swap_in_bytes_total", Unit::Bytes, &["node"], "Read from swap.").of_gateway();

/// Written to swap.
pub const SWAP_OUT_BYTES: Metric =
    Metric::counter("nuncius_machine_swap_out_bytes_total", Unit::Bytes, &["node"], "Written to swap.").of_gateway();

/// Page faults that had to read a disk.
pub const MAJOR_FAULTS: Metric = Metric::counter(
    "nuncius_machine_major_faults_total",
    Unit::None,
    &["node"],
    "Page faults that had to read a disk.",
)
.of_gateway();

/// Processes killed for want of memory.
pub const OOM_KILLS: Metric =
    Metric::counter("nuncius_machine_oom_kills_total", Unit::None, &["node"], "Processes killed for want of memory.")
        .of_gateway();

/// Time in which some or all threads waited for a processor.
pub const PSI_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_machine_psi_cpu_seconds_total",
    Unit::Seconds,
    &["node", "stall"],
    "Time in which some or all threads waited for a processor.",
)
.of_gateway();

/// Share of the last ten seconds of that.
pub const PSI_CPU_AVG10_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_cpu_avg10_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last ten seconds of that.",
)
.of_gateway();

/// Share of the last minute of that.
pub const PSI_CPU_AVG60_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_cpu_avg60_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last minute of that.",
)
.of_gateway();

/// Share of the last five minutes of that.
pub const PSI_CPU_AVG300_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_cpu_avg300_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last five minutes of that.",
)
.of_gateway();

/// Time in which some or all threads waited for a disk.
pub const PSI_IO_SECONDS: Metric = Metric::counter(
    "nuncius_machine_psi_io_seconds_total",
    Unit::Seconds,
    &["node", "stall"],
    "Time in which some or all threads waited for a disk.",
)
.of_gateway();

/// Share of the last ten seconds of that.
pub const PSI_IO_AVG10_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_io_avg10_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last ten seconds of that.",
)
.of_gateway();

/// Share of the last minute of that.
pub const PSI_IO_AVG60_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_io_avg60_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last minute of that.",
)
.of_gateway();

/// Share of the last five minutes of that.
pub const PSI_IO_AVG300_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_io_avg300_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last five minutes of that.",
)
.of_gateway();

/// Time in which some or all threads waited for memory.
pub const PSI_MEMORY_SECONDS: Metric = Metric::counter(
    "nuncius_machine_psi_memory_seconds_total",
    Unit::Seconds,
    &["node", "stall"],
    "Time in which some or all threads waited for memory.",
)
.of_gateway();

/// Share of the last ten seconds of that.
pub const PSI_MEMORY_AVG10_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_memory_avg10_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last ten seconds of that.",
)
.of_gateway();

/// Share of the last minute of that.
pub const PSI_MEMORY_AVG60_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_memory_avg60_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last minute of that.",
)
.of_gateway();

/// Share of the last five minutes of that.
pub const PSI_MEMORY_AVG300_RATIO: Metric = Metric::gauge(
    "nuncius_machine_psi_memory_avg300_ratio",
    Unit::Ratio,
    &["node", "stall"],
    "Share of the last five minutes of that.",
)
.of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &LOAD1,
    &LOAD5,
    &LOAD15,
    &PROCS,
    &THREADS,
    &PROCS_BLOCKED,
    &RAM_BYTES,
    &RAM_TOTAL_BYTES,
    &RAM_AVAILABLE_BYTES,
    &RAM_FREE_BYTES,
    &RAM_BUFFERS_BYTES,
    &RAM_CACHED_BYTES,
    &RAM_DIRTY_BYTES,
    &RAM_SLAB_UNRECLAIMABLE_BYTES,
    &SWAP_BYTES,
    &SWAP_TOTAL_BYTES,
    &SWAP_IN_BYTES,
    &SWAP_OUT_BYTES,
    &MAJOR_FAULTS,
    &OOM_KILLS,
    &PSI_CPU_SECONDS,
    &PSI_CPU_AVG10_RATIO,
    &PSI_CPU_AVG60_RATIO,
    &PSI_CPU_AVG300_RATIO,
    &PSI_IO_SECONDS,
    &PSI_IO_AVG10_RATIO,
    &PSI_IO_AVG60_RATIO,
    &PSI_IO_AVG300_RATIO,
    &PSI_MEMORY_SECONDS,
    &PSI_MEMORY_AVG10_RATIO,
    &PSI_MEMORY_AVG60_RATIO,
    &PSI_MEMORY_AVG300_RATIO,
];
