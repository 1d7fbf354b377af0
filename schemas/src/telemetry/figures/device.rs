//! Figures of energy, heat and GPUs.

use super::{Figure, See, figure, list_of, number, see_all};
use crate::telemetry::NodeTelemetry;
use crate::telemetry::device::{EnergyTelemetry, GpuTelemetry, RailTelemetry, ThermalTelemetry};
use crate::telemetry::metric::{MetricKind::*, MetricOf, MetricUnit::*, TelemetryMetric};

const GPU: MetricOf = MetricOf::Gpu;

static ENERGY: &[Figure<EnergyTelemetry>] = &[
    figure(
        MetricOf::Meter,
        "energy",
        Counter,
        Joules,
        "Energy that a part of a processor took",
        |meter: &EnergyTelemetry| Some(meter.energy_joules),
    ),
    figure(
        MetricOf::Meter,
        "energy_power",
        Gauge,
        Watts,
        "Power that a part of a processor takes",
        |meter: &EnergyTelemetry| meter.power_watts,
    ),
];

static RAILS: &[Figure<RailTelemetry>] = &[figure(
    MetricOf::Rail,
    "power",
    Gauge,
    Watts,
    "Power that goes through a rail of the board",
    |rail: &RailTelemetry| Some(rail.power_watts),
)
.telemd("mW", "")];

static THERMAL: &[Figure<ThermalTelemetry>] = &[figure(
    MetricOf::Zone,
    "temperature",
    Gauge,
    Celsius,
    "How hot a part of the machine is",
    |zone: &ThermalTelemetry| Some(zone.temperature_celsius),
)];

static GPUS: &[Figure<GpuTelemetry>] = &[
    figure(GPU, "gpu_util", Gauge, Ratio, "Share of the time in which something ran on a GPU", |gpu: &GpuTelemetry| {
        gpu.busy_ratio
    })
    .telemd("%", ""),
    figure(
        GPU,
        "gpu_util_memory",
        Gauge,
        Ratio,
        "Share of the time in which its memory was read or written",
        |gpu: &GpuTelemetry| gpu.memory_busy_ratio,
    )
    .telemd("%", ""),
    figure(GPU, "gpu_freq", Gauge, Hertz, "Clock of a GPU's processors", |gpu: &GpuTelemetry| {
        number(gpu.frequency_hertz?)
    })
    .telemd("MHz", ""),
    figure(GPU, "gpu_power", Gauge, Watts, "Power that a GPU takes", |gpu: &GpuTelemetry| gpu.power_watts)
        .telemd("mW", ""),
    figure(GPU, "gpu_energy", Counter, Joules, "Energy that a GPU took", |gpu: &GpuTelemetry| gpu.energy_joules),
    figure(GPU, "gpu_memory", Gauge, Bytes, "Memory of a GPU in use", |gpu: &GpuTelemetry| {
        number(gpu.memory_used_bytes?)
    }),
    figure(GPU, "gpu_memory_total", Gauge, Bytes, "Memory of a GPU", |gpu: &GpuTelemetry| {
        number(gpu.memory_total_bytes?)
    }),
    figure(GPU, "gpu_memory_freq", Gauge, Hertz, "Clock of a GPU's memory", |gpu: &GpuTelemetry| {
        number(gpu.memory_frequency_hertz?)
    }),
    figure(GPU, "gpu_temperature", Gauge, Celsius, "How hot a GPU is", |gpu: &GpuTelemetry| gpu.temperature_celsius),
    figure(GPU, "gpu_fan", Gauge, Ratio, "Speed of a GPU's fan", |gpu: &GpuTelemetry| gpu.fan_ratio),
    figure(
        GPU,
        "gpu_throttled",
        Gauge,
        Number,
        "1 while a GPU is slowed because of power or heat",
        |gpu: &GpuTelemetry| Some(f64::from(u8::from(gpu.is_throttled?))),
    ),
    figure(
        GPU,
        "gpu_memory_errors",
        Counter,
        Number,
        "Errors of a GPU's memory that could not be mended",
        |gpu: &GpuTelemetry| number(gpu.memory_errors?),
    ),
];

pub(super) fn visit(message: &NodeTelemetry, see: See<'_>) {
    for meter in &message.energy {
        see_all(ENERGY, meter, &meter.zone, see);
    }
    for rail in &message.rails {
        see_all(RAILS, rail, &rail.rail, see);
    }
    for zone in &message.thermal {
        see_all(THERMAL, zone, &zone.zone, see);
    }
    for gpu in &message.gpus {
        see_all(GPUS, gpu, &gpu.index.to_string(), see);
    }
}

pub(super) fn list(metrics: &mut Vec<&'static TelemetryMetric>) {
    list_of(ENERGY, metrics);
    list_of(RAILS, metrics);
    list_of(THERMAL, metrics);
    list_of(GPUS, metrics);
}
