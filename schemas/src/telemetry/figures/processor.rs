//! Figures of processors, load, memory and pressure.

use super::{Figure, See, figure, list_of, number, seconds, see_all};
use crate::telemetry::metric::{MetricKind::*, MetricOf, MetricUnit::*, TelemetryMetric};
use crate::telemetry::processor::{
    CoreTelemetry, CpuTelemetry, LoadTelemetry, MemoryTelemetry, PressureResource, PressureTotal,
};
use crate::telemetry::{NodeTelemetry, SamplingCost};

const MACHINE: MetricOf = MetricOf::Machine;
const CORE: MetricOf = MetricOf::Core;
const STALL: MetricOf = MetricOf::Stall;

static CPU: &[Figure<CpuTelemetry>] = &[
    figure(MACHINE, "cpu", Gauge, Ratio, "Share of the processors' time that they were busy", |cpu: &CpuTelemetry| {
        cpu.busy_ratio
    })
    .telemd("%", "time of low priority and of interrupts counts as busy, waiting for disks and stolen time do not"),
    figure(
        MACHINE,
        "cpu_steal_share",
        Gauge,
        Ratio,
        "Share of the processors' time that others had",
        |cpu: &CpuTelemetry| cpu.steal_ratio,
    ),
    figure(MACHINE, "freq", Gauge, Hertz, "Sum of the frequencies of all processors", |cpu: &CpuTelemetry| {
        number(cpu.frequency_hertz?)
    })
    .telemd("kHz", ""),
    figure(MACHINE, "cpu_user", Counter, Seconds, "Processor time of programs", |cpu: &CpuTelemetry| {
        Some(seconds(cpu.times.user_ns))
    })
    .mode("cpu", "user"),
    figure(
        MACHINE,
        "cpu_nice",
        Counter,
        Seconds,
        "Processor time of programs of low priority",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.nice_ns)),
    )
    .mode("cpu", "nice"),
    figure(MACHINE, "cpu_system", Counter, Seconds, "Processor time of the kernel", |cpu: &CpuTelemetry| {
        Some(seconds(cpu.times.system_ns))
    })
    .mode("cpu", "system"),
    figure(MACHINE, "cpu_idle", Counter, Seconds, "Time without work", |cpu: &CpuTelemetry| {
        Some(seconds(cpu.times.idle_ns))
    })
    .mode("cpu", "idle"),
    figure(
        MACHINE,
        "cpu_iowait",
        Counter,
        Seconds,
        "Time without work while something waited for a disk",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.iowait_ns)),
    )
    .mode("cpu", "iowait"),
    figure(MACHINE, "cpu_irq", Counter, Seconds, "Processor time of interrupts", |cpu: &CpuTelemetry| {
        Some(seconds(cpu.times.irq_ns))
    })
    .mode("cpu", "irq"),
    figure(
        MACHINE,
        "cpu_softirq",
        Counter,
        Seconds,
        "Processor time of what interrupts left to be done",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.softirq_ns)),
    )
    .mode("cpu", "softirq"),
    figure(
        MACHINE,
        "cpu_steal",
        Counter,
        Seconds,
        "Time that the host gave to other virtual machines",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.steal_ns)),
    )
    .mode("cpu", "steal"),
    figure(
        MACHINE,
        "cpu_guest",
        Counter,
        Seconds,
        "Processor time of virtual machines, within user",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.guest_ns)),
    )
    .mode("cpu", "guest"),
    figure(
        MACHINE,
        "cpu_guest_nice",
        Counter,
        Seconds,
        "The same of low priority, within nice",
        |cpu: &CpuTelemetry| Some(seconds(cpu.times.guest_nice_ns)),
    )
    .mode("cpu", "guest_nice"),
    figure(MACHINE, "context_switches", Counter, Number, "Changes from one thread to another", |cpu: &CpuTelemetry| {
        number(cpu.context_switches?)
    }),
    figure(MACHINE, "interrupts", Counter, Number, "Interrupts", |cpu: &CpuTelemetry| number(cpu.interrupts?)),
    figure(MACHINE, "forks", Counter, Number, "Processes and threads begun", |cpu: &CpuTelemetry| number(cpu.forks?)),
    figure(
        MACHINE,
        "thermal_throttles",
        Counter,
        Number,
        "Times that processors were slowed because of heat",
        |cpu: &CpuTelemetry| number(cpu.thermal_throttles?),
    ),
];

static CORES: &[Figure<CoreTelemetry>] = &[
    figure(CORE, "core_user", Counter, Seconds, "Time of programs, by processor", |core: &CoreTelemetry| {
        Some(seconds(core.times.user_ns))
    })
    .mode("core", "user"),
    figure(
        CORE,
        "core_nice",
        Counter,
        Seconds,
        "Time of programs of low priority, by processor",
        |core: &CoreTelemetry| Some(seconds(core.times.nice_ns)),
    )
    .mode("core", "nice"),
    figure(CORE, "core_system", Counter, Seconds, "Time of the kernel, by processor", |core: &CoreTelemetry| {
        Some(seconds(core.times.system_ns))
    })
    .mode("core", "system"),
    figure(CORE, "core_idle", Counter, Seconds, "Time without work, by processor", |core: &CoreTelemetry| {
        Some(seconds(core.times.idle_ns))
    })
    .mode("core", "idle"),
    figure(CORE, "core_iowait", Counter, Seconds, "Time of waiting for disks, by processor", |core: &CoreTelemetry| {
        Some(seconds(core.times.iowait_ns))
    })
    .mode("core", "iowait"),
    figure(CORE, "core_irq", Counter, Seconds, "Time of interrupts, by processor", |core: &CoreTelemetry| {
        Some(seconds(core.times.irq_ns))
    })
    .mode("core", "irq"),
    figure(
        CORE,
        "core_softirq",
        Counter,
        Seconds,
        "Time of what interrupts left to be done, by processor",
        |core: &CoreTelemetry| Some(seconds(core.times.softirq_ns)),
    )
    .mode("core", "softirq"),
    figure(
        CORE,
        "core_steal",
        Counter,
        Seconds,
        "Time that other virtual machines had, by processor",
        |core: &CoreTelemetry| Some(seconds(core.times.steal_ns)),
    )
    .mode("core", "steal"),
    figure(CORE, "core_freq", Gauge, Hertz, "Frequency, by processor", |core: &CoreTelemetry| {
        number(core.frequency_hertz?)
    }),
];

static LOAD: &[Figure<LoadTelemetry>] = &[
    figure(MACHINE, "load1", Gauge, Number, "Load average over one minute", |load: &LoadTelemetry| Some(load.load1))
        .telemd("", ""),
    figure(MACHINE, "load5", Gauge, Number, "Load average over five minutes", |load: &LoadTelemetry| Some(load.load5))
        .telemd("", ""),
    figure(MACHINE, "load15", Gauge, Number, "Load average over fifteen minutes", |load: &LoadTelemetry| {
        Some(load.load15)
    }),
    figure(MACHINE, "procs", Gauge, Number, "Threads that run or wait for a processor", |load: &LoadTelemetry| {
        number(load.runnable)
    })
    .telemd("", ""),
    figure(MACHINE, "threads", Gauge, Number, "Threads there are", |load: &LoadTelemetry| number(load.threads)),
    figure(MACHINE, "procs_blocked", Gauge, Number, "Threads that wait for a disk", |load: &LoadTelemetry| {
        number(load.blocked?)
    }),
];

static MEMORY: &[Figure<MemoryTelemetry>] = &[
    figure(MACHINE, "ram", Gauge, Bytes, "Memory that no new program could have", |memory: &MemoryTelemetry| {
        number(memory.total_bytes.saturating_sub(memory.available_bytes))
    })
    .telemd("KiB", ""),
    figure(MACHINE, "ram_total", Gauge, Bytes, "Memory there is", |memory: &MemoryTelemetry| {
        number(memory.total_bytes)
    }),
    figure(
        MACHINE,
        "ram_available",
        Gauge,
        Bytes,
        "Memory that a new program could have",
        |memory: &MemoryTelemetry| number(memory.available_bytes),
    ),
    figure(MACHINE, "ram_free", Gauge, Bytes, "Memory used for nothing", |memory: &MemoryTelemetry| {
        number(memory.free_bytes)
    }),
    figure(MACHINE, "ram_buffers", Gauge, Bytes, "Memory of buffers of block devices", |memory: &MemoryTelemetry| {
        number(memory.buffers_bytes)
    }),
    figure(MACHINE, "ram_cached", Gauge, Bytes, "Memory of pages of files", |memory: &MemoryTelemetry| {
        number(memory.cached_bytes)
    }),
    figure(
        MACHINE,
        "ram_dirty",
        Gauge,
        Bytes,
        "Memory that waits to be written to disks",
        |memory: &MemoryTelemetry| number(memory.dirty_bytes),
    ),
    figure(
        MACHINE,
        "ram_slab_unreclaimable",
        Gauge,
        Bytes,
        "Memory of the kernel that it cannot give back",
        |memory: &MemoryTelemetry| number(memory.slab_unreclaimable_bytes),
    ),
    figure(MACHINE, "swap", Gauge, Bytes, "Swap in use", |memory: &MemoryTelemetry| {
        number(memory.swap_total_bytes.saturating_sub(memory.swap_free_bytes))
    }),
    figure(MACHINE, "swap_total", Gauge, Bytes, "Swap there is", |memory: &MemoryTelemetry| {
        number(memory.swap_total_bytes)
    }),
    figure(MACHINE, "swap_in", Counter, Bytes, "Read from swap", |memory: &MemoryTelemetry| {
        number(memory.swapped_in_bytes?)
    }),
    figure(MACHINE, "swap_out", Counter, Bytes, "Written to swap", |memory: &MemoryTelemetry| {
        number(memory.swapped_out_bytes?)
    }),
    figure(
        MACHINE,
        "major_faults",
        Counter,
        Number,
        "Page faults that had to read a disk",
        |memory: &MemoryTelemetry| number(memory.major_faults?),
    ),
    figure(MACHINE, "oom_kills", Counter, Number, "Processes killed for want of memory", |memory: &MemoryTelemetry| {
        number(memory.oom_kills?)
    }),
];

type Stalls = &'static [Figure<PressureTotal>];

const TOTAL: fn(&PressureTotal) -> Option<f64> = |total| Some(seconds(total.total_ns));
const AVERAGE_10S: fn(&PressureTotal) -> Option<f64> = |total| Some(total.average_10s_ratio);
const AVERAGE_60S: fn(&PressureTotal) -> Option<f64> = |total| Some(total.average_60s_ratio);
const AVERAGE_300S: fn(&PressureTotal) -> Option<f64> = |total| Some(total.average_300s_ratio);

static PSI_CPU: Stalls = &[
    figure(STALL, "psi_cpu", Counter, Seconds, "Time in which some or all threads waited for a processor", TOTAL)
        .telemd("µs", ""),
    figure(STALL, "psi_cpu_avg10", Gauge, Ratio, "Share of the last ten seconds of that", AVERAGE_10S),
    figure(STALL, "psi_cpu_avg60", Gauge, Ratio, "Share of the last minute of that", AVERAGE_60S),
    figure(STALL, "psi_cpu_avg300", Gauge, Ratio, "Share of the last five minutes of that", AVERAGE_300S),
];

static PSI_IO: Stalls = &[
    figure(STALL, "psi_io", Counter, Seconds, "Time in which some or all threads waited for a disk", TOTAL)
        .telemd("µs", ""),
    figure(STALL, "psi_io_avg10", Gauge, Ratio, "Share of the last ten seconds of that", AVERAGE_10S),
    figure(STALL, "psi_io_avg60", Gauge, Ratio, "Share of the last minute of that", AVERAGE_60S),
    figure(STALL, "psi_io_avg300", Gauge, Ratio, "Share of the last five minutes of that", AVERAGE_300S),
];

static PSI_MEMORY: Stalls = &[
    figure(STALL, "psi_memory", Counter, Seconds, "Time in which some or all threads waited for memory", TOTAL)
        .telemd("µs", ""),
    figure(STALL, "psi_memory_avg10", Gauge, Ratio, "Share of the last ten seconds of that", AVERAGE_10S),
    figure(STALL, "psi_memory_avg60", Gauge, Ratio, "Share of the last minute of that", AVERAGE_60S),
    figure(STALL, "psi_memory_avg300", Gauge, Ratio, "Share of the last five minutes of that", AVERAGE_300S),
];

static SAMPLING: &[Figure<SamplingCost>] = &[
    figure(MACHINE, "sampling_time", Gauge, Seconds, "How long the sample took", |cost: &SamplingCost| {
        Some(seconds(cost.took_ns))
    }),
    figure(MACHINE, "sampling_cpu", Counter, Seconds, "Processor time of the sampler", |cost: &SamplingCost| {
        Some(seconds(cost.cpu_ns))
    }),
];

fn stalls(resource: PressureResource) -> Stalls {
    match resource {
        PressureResource::Cpu => PSI_CPU,
        PressureResource::Io => PSI_IO,
        PressureResource::Memory => PSI_MEMORY,
    }
}

pub(super) fn visit(message: &NodeTelemetry, see: See<'_>) {
    if let Some(cpu) = &message.cpu {
        see_all(CPU, cpu, "", see);
        for core in &cpu.cores {
            see_all(CORES, core, &core.core.to_string(), see);
        }
    }
    if let Some(load) = &message.load {
        see_all(LOAD, load, "", see);
    }
    if let Some(memory) = &message.memory {
        see_all(MEMORY, memory, "", see);
    }
    for pressure in &message.pressure {
        see_all(stalls(pressure.resource), &pressure.some, "some", see);
        if let Some(full) = &pressure.full {
            see_all(stalls(pressure.resource), full, "full", see);
        }
    }
    see_all(SAMPLING, &message.sampling, "", see);
}

pub(super) fn list(metrics: &mut Vec<&'static TelemetryMetric>) {
    list_of(CPU, metrics);
    list_of(CORES, metrics);
    list_of(LOAD, metrics);
    list_of(MEMORY, metrics);
    for resource in PressureResource::ALL {
        list_of(stalls(resource), metrics);
    }
    list_of(SAMPLING, metrics);
}
