//! Nodes of the Direct Rendering Manager, and what sysfs says of the hardware behind them.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nuncius_schemas::worker::{DeviceInfo, DeviceKind, DeviceSample};

use super::{if_any, numbered, silent};

/// Prefixes of node names; where one piece of hardware has both, its samples carry the first one's name.
const PREFIXES: [&str; 2] = ["renderD", "card"];

/// Files that say how a piece of hardware fares; those it has not are absent.
#[derive(Debug)]
pub(super) struct Sensors {
    name: String,
    hardware: PathBuf,
    power_state: Option<PathBuf>,
    busy_percent: Option<PathBuf>,
    memory_used_bytes: Option<PathBuf>,
    temperature_millicelsius: Option<PathBuf>,
    power_microwatts: Option<PathBuf>,
}

/// All nodes, and one set of sensors for each piece of hardware: under the name of a node in `files` if there is one.
pub(super) fn find(root: &Path, files: &[PathBuf]) -> (Vec<DeviceInfo>, Vec<Sensors>) {
    let (mut devices, mut sensors): (Vec<_>, Vec<Sensors>) = (Vec::new(), Vec::new());
    let mut nodes = numbered(&root.join("dev/dri"), &PREFIXES);
    let path_of = |name: &str| Path::new("/dev/dri").join(name);
    nodes.sort_by_cached_key(|(place, number, name)| (!files.contains(&path_of(name)), *place, *number));
    for (_, _, name) in nodes {
        let link = root.join("sys/class/drm").join(&name).join("device");
        devices.push(DeviceInfo {
            kind: DeviceKind::Drm,
            path: path_of(&name).display().to_string(),
            model: model(&link),
            memory_bytes: number(&link.join("mem_info_vram_total")).filter(|bytes| *bytes > 0),
            name: name.clone(),
        });
        if let Ok(hardware) = fs::canonicalize(&link)
            && sensors.iter().all(|other| other.hardware != hardware)
        {
            sensors.push(Sensors::of(name, hardware));
        }
    }
    (devices, sensors)
}

/// Driver and the ids of vendor and device, as in "amdgpu 1002:73bf"; as much of it as there is.
fn model(link: &Path) -> Option<String> {
    let driver = fs::read_link(link.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let id = |file| {
        let text = fs::read_to_string(link.join(file)).ok()?;
        Some(text.trim().trim_start_matches("0x").to_owned()).filter(|id| !id.is_empty())
    };
    let ids = id("vendor").zip(id("device")).map(|(vendor, device)| format!("{vendor}:{device}"));
    let parts: Vec<String> = [driver, ids].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

impl Sensors {
    fn of(name: String, hardware: PathBuf) -> Self {
        let present = |path: PathBuf| path.exists().then_some(path);
        let monitors = numbered(&hardware.join("hwmon"), &["hwmon"]);
        let monitor =
            |file: &str| monitors.iter().find_map(|(_, _, name)| present(hardware.join("hwmon").join(name).join(file)));
        Self {
            power_state: present(hardware.join("power/runtime_status")),
            busy_percent: present(hardware.join("gpu_busy_percent")),
            memory_used_bytes: present(hardware.join("mem_info_vram_used")),
            temperature_millicelsius: monitor("temp1_input"),
            // Which of the two there is depends on the hardware.
            power_microwatts: monitor("power1_average").or_else(|| monitor("power1_input")),
            name,
            hardware,
        }
    }

    /// What it says now; `None` when that is nothing, as of hardware that sleeps: most questions would wake it.
    pub(super) fn sample(&self) -> Option<DeviceSample> {
        let asleep = self.power_state.as_deref().and_then(|path| fs::read_to_string(path).ok());
        if asleep.is_some_and(|state| state.trim() == "suspended") {
            return None;
        }
        let percent: Option<f64> = read(self.busy_percent.as_deref());
        let millicelsius: Option<f64> = read(self.temperature_millicelsius.as_deref());
        let microwatts: Option<f64> = read(self.power_microwatts.as_deref());
        if_any(DeviceSample {
            utilization: percent.map(|percent| (percent / 100.0).clamp(0.0, 1.0)),
            memory_used_bytes: read(self.memory_used_bytes.as_deref()),
            temperature_celsius: millicelsius.map(|value| value / 1e3),
            power_watts: microwatts.map(|value| value / 1e6),
            ..silent(&self.name)
        })
    }
}

fn read<T: FromStr>(path: Option<&Path>) -> Option<T> {
    fs::read_to_string(path?).ok()?.trim().parse().ok()
}

fn number(path: &Path) -> Option<u64> {
    read(Some(path))
}
