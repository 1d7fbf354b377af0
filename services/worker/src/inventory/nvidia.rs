//! NVIDIA's device files, and what NVML says of them where it is installed.
//!
//! NVML is part of the driver and loaded while running; a worker without it, or linked statically, just knows less.

use std::path::Path;

use nuncius_schemas::worker::{DeviceInfo, DeviceKind, DeviceSample};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use tracing::debug;

use super::{if_any, numbered, silent};

const PREFIX: &str = "nvidia";

/// NVML, and the names of the devices that it knows, by its index.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    nvml: Option<Nvml>,
    devices: Vec<(u32, String)>,
}

/// All device files, described by NVML as far as it knows them.
pub(super) fn find(root: &Path) -> (Vec<DeviceInfo>, Sensors) {
    let mut found: Vec<DeviceInfo> = numbered(&root.join("dev"), &[PREFIX])
        .into_iter()
        .map(|(_, _, name)| {
            let path = format!("/dev/{name}");
            DeviceInfo { name, kind: DeviceKind::Nvidia, path, model: None, memory_bytes: None }
        })
        .collect();
    if found.is_empty() || root != Path::new("/") {
        return (found, Sensors::default());
    }
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(error) => {
            debug!(%error, "no NVML: nothing is known of NVIDIA's devices but their files");
            return (found, Sensors::default());
        }
    };
    let mut devices = Vec::new();
    for index in 0..nvml.device_count().unwrap_or(0) {
        // The number in the file's name is the minor number; the index is NVML's own and may differ.
        let Ok(device) = nvml.device_by_index(index) else { continue };
        let Ok(minor) = device.minor_number() else { continue };
        let name = format!("{PREFIX}{minor}");
        if let Some(info) = found.iter_mut().find(|info| info.name == name) {
            info.model = device.name().ok();
            info.memory_bytes = device.memory_info().ok().map(|memory| memory.total);
            devices.push((index, name));
        }
    }
    (found, Sensors { nvml: Some(nvml), devices })
}

impl Sensors {
    /// What the devices say now.
    pub(super) fn samples(&self) -> Vec<DeviceSample> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        let sample = |(index, name): &(u32, String)| {
            let device = nvml.device_by_index(*index).ok()?;
            if_any(DeviceSample {
                utilization: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu.min(100)) / 100.0),
                memory_used_bytes: device.memory_info().ok().map(|memory| memory.used),
                temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
                power_watts: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
                ..silent(name)
            })
        };
        self.devices.iter().filter_map(sample).collect()
    }
}
