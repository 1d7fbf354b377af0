//! Which devices a node has, and how they and their host fare.
//!
//! Found once, at the start: nodes of the kernel's Direct Rendering Manager, NVIDIA's device files, and the files of
//! the worker's pattern. What can be asked of each is found then too, so that a sample is a few short reads. Everything
//! that a host does not say is absent, never an error.
//!
//! All calls read files and may wait for a driver: they block, for a few milliseconds at most where drivers behave.

mod drm;
mod host;
mod nvidia;

#[cfg(test)]
mod tests;

pub use host::HostSample;

use std::fs;
use std::path::{Path, PathBuf};

use nuncius_schemas::worker::{DeviceInfo, DeviceKind, DeviceSample};
use tracing::warn;

use host::Host;

/// Most devices that are told of: all of them are part of one entry in the registry.
pub const DEVICES_MAX: usize = 256;

/// The devices of a node.
#[derive(Debug)]
pub struct Inventory {
    devices: Vec<DeviceInfo>,
    drm: Vec<drm::Sensors>,
    nvidia: nvidia::Sensors,
    host: Host,
}

impl Inventory {
    /// Looks for devices below `root`, which is `/` but in tests, and adds the files that a worker's pattern found.
    ///
    /// NVML is loaded only where `root` is `/` and there is a device file of NVIDIA's.
    pub fn find(root: &Path, files: &[PathBuf]) -> Self {
        let (mut devices, drm) = drm::find(root, files);
        let (nvidia_devices, nvidia) = nvidia::find(root);
        devices.extend(nvidia_devices);
        for file in files {
            let path = file.display().to_string();
            if devices.iter().all(|device| device.path != path) {
                let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
                devices.push(DeviceInfo { name, kind: DeviceKind::File, path, model: None, memory_bytes: None });
            }
        }
        if devices.len() > DEVICES_MAX {
            warn!(found = devices.len(), "more than {DEVICES_MAX} devices, the limit: the rest is not told of");
            devices.truncate(DEVICES_MAX);
        }
        Self { devices, drm, nvidia, host: Host::new() }
    }

    /// All devices that were found.
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// How the devices fare, as far as they say anything; one sample for each piece of hardware, however many files it
    /// has.
    pub fn samples(&self) -> Vec<DeviceSample> {
        let mut samples: Vec<_> = self.drm.iter().filter_map(drm::Sensors::sample).collect();
        samples.extend(self.nvidia.samples());
        samples.truncate(DEVICES_MAX);
        samples
    }

    /// How the host fares since the call before.
    pub fn host_sample(&mut self) -> HostSample {
        self.host.sample()
    }
}

/// A device that has said nothing yet.
fn silent(name: &str) -> DeviceSample {
    DeviceSample {
        name: name.to_owned(),
        emulated: false,
        utilization: None,
        memory_used_bytes: None,
        temperature_celsius: None,
        power_watts: None,
    }
}

/// The sample, unless it says nothing.
fn if_any(sample: DeviceSample) -> Option<DeviceSample> {
    (sample != silent(&sample.name)).then_some(sample)
}

/// The files in a directory whose names are one of these prefixes and a number: (prefix's place, number, name), in
/// order.
fn numbered(directory: &Path, prefixes: &[&str]) -> Vec<(usize, u32, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (place, digits) =
                prefixes.iter().enumerate().find_map(|(place, prefix)| Some((place, name.strip_prefix(prefix)?)))?;
            let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
            Some((place, number, name))
        })
        .collect();
    found.sort();
    found
}
