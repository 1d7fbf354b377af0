//! NVML, in a process of its own: it is a driver's library, which may crash, or never return.
//!
//! The process reads lines and answers each with one: a [`NvmlAnswer`] as JSON. It ends with its input.

use std::io::{BufRead, Write};
use std::path::Path;

use nuncius_schemas::telemetry::GpuTelemetry;
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::device::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use serde::{Deserialize, Serialize};

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NvmlAnswer {
    /// All GPUs that NVML knows.
    #[serde(default)]
    pub gpus: Vec<GpuTelemetry>,
    /// Why NVML says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answers each line of `input` with one on `output`, until it ends. `library` is a file to load in place of the
/// driver's.
///
/// # Errors
/// When a line cannot be read or written.
pub fn serve(input: impl BufRead, mut output: impl Write, library: Option<&Path>) -> std::io::Result<()> {
    let nvml = match library {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
        None => Nvml::init(),
    };
    for line in input.lines() {
        line?;
        let answer = match &nvml {
            Ok(nvml) => look(nvml),
            Err(error) => NvmlAnswer { gpus: Vec::new(), error: Some(error.to_string()) },
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn look(nvml: &Nvml) -> NvmlAnswer {
    let count = match nvml.device_count() {
        Ok(count) => count,
        Err(error) => return NvmlAnswer { gpus: Vec::new(), error: Some(error.to_string()) },
    };
    let gpus = (0..count).filter_map(|index| Some(sample(index, &nvml.device_by_index(index).ok()?))).collect();
    NvmlAnswer { gpus, error: None }
}

/// What slows a GPU because of power or heat, of all that may slow it.
const SLOWED: ThrottleReasons = ThrottleReasons::SW_POWER_CAP
    .union(ThrottleReasons::HW_SLOWDOWN)
    .union(ThrottleReasons::SW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN);

fn sample(index: u32, device: &Device<'_>) -> GpuTelemetry {
    let ratio = |percent: u32| f64::from(percent.min(100)) / 100.0;
    let clock = |clock| device.clock_info(clock).ok().map(|megahertz| u64::from(megahertz) * 1_000_000);
    let utilization = device.utilization_rates().ok();
    let memory = device.memory_info().ok();
    let reasons = device.current_throttle_reasons().ok();
    let device_name = match device.minor_number() {
        Ok(minor) => format!("nvidia{minor}"),
        Err(_) => format!("nvidia-{index}"),
    };
    GpuTelemetry {
        index,
        device: device_name,
        source: "nvml".to_owned(),
        model: device.name().ok(),
        uuid: device.uuid().ok(),
        busy_ratio: utilization.as_ref().map(|rates| ratio(rates.gpu)),
        memory_busy_ratio: utilization.as_ref().map(|rates| ratio(rates.memory)),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        frequency_hertz: clock(Clock::SM),
        memory_frequency_hertz: clock(Clock::Memory),
        power_watts: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
        energy_joules: device.total_energy_consumption().ok().map(|millijoules| millijoules as f64 / 1e3),
        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
        fan_ratio: device.fan_speed(0).ok().map(ratio),
        is_throttled: reasons.map(|reasons| reasons.intersects(SLOWED)),
        throttle_reasons: reasons
            .map(|reasons| reasons.iter_names().map(|(name, _)| name.to_owned()).collect())
            .unwrap_or_default(),
        memory_errors: device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile).ok(),
    }
}
