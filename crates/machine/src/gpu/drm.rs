//! GPUs of the kernel's Direct Rendering Manager: amdgpu, i915 and xe.

use std::path::{Path, PathBuf};

use nuncius_schemas::telemetry::GpuTelemetry;

use crate::source::{Source, Tree, names_at};

/// A card, with the files that it has.
#[derive(Debug)]
pub(super) struct Card {
    name: String,
    driver: Driver,
    model: Option<String>,
    /// Its directory among the cards.
    card: PathBuf,
    /// That of the hardware.
    device: PathBuf,
    monitor: Option<PathBuf>,
    /// Milliseconds of rest, and when they were read.
    rest: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Amdgpu,
    I915,
    Xe,
}

/// The cards whose drivers say something.
pub(super) fn find(source: &mut Source) -> Vec<Card> {
    let directory = source.path(Tree::Sys, "class/drm");
    let mut cards = Vec::new();
    for name in names_at(&directory) {
        // Others are outputs of cards, `card0-HDMI-A-1`, and their second faces, `renderD128`.
        let is_card = name.strip_prefix("card").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let card = directory.join(&name);
        let device = card.join("device");
        let driver = std::fs::read_link(device.join("driver")).ok();
        let driver = match driver.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
            Some("amdgpu") => Driver::Amdgpu,
            Some("i915") => Driver::I915,
            Some("xe") => Driver::Xe,
            Some(_) | None => continue,
        };
        if !is_card {
            continue;
        }
        let monitors = device.join("hwmon");
        let monitor = names_at(&monitors).into_iter().next().map(|name| monitors.join(name));
        let id = |source: &mut Source, file: &str| {
            source.line_at(&device.join(file)).map(|id| id.trim_start_matches("0x").to_owned())
        };
        let ids = id(source, "vendor").zip(id(source, "device")).map(|(vendor, device)| format!("{vendor}:{device}"));
        cards.push(Card { name, driver, model: ids, card, device, monitor, rest: None });
    }
    cards
}

impl Card {
    /// What it says now; `None` when that is nothing, as of hardware that sleeps: most questions would wake it.
    pub(super) fn read(&mut self, source: &mut Source, now_ns: u64) -> Option<GpuTelemetry> {
        if source.line_at(&self.device.join("power/runtime_status")).as_deref() == Some("suspended") {
            return None;
        }
        let mut gpu = match self.driver {
            Driver::Amdgpu => self.amdgpu(source),
            Driver::I915 => self.intel(
                source,
                now_ns,
                "i915",
                &["gt/gt0/rps_act_freq_mhz", "gt_act_freq_mhz"],
                &["gt/gt0/rc6_residency_ms", "power/rc6_residency_ms"],
            ),
            Driver::Xe => self.intel(
                source,
                now_ns,
                "xe",
                &["device/tile0/gt0/freq0/act_freq"],
                &["device/tile0/gt0/gtidle/idle_residency_ms"],
            ),
        };
        if let Some(monitor) = &self.monitor {
            let celsius = source.signed_at(&monitor.join("temp1_input")).map(|millidegrees| millidegrees as f64 / 1e3);
            gpu.temperature_celsius = celsius;
            let microwatts =
                ["power1_average", "power1_input"].into_iter().find_map(|file| source.number_at(&monitor.join(file)));
            gpu.power_watts = microwatts.map(|microwatts| microwatts as f64 / 1e6);
            let microjoules = source.number_at(&monitor.join("energy1_input"));
            gpu.energy_joules = microjoules.map(|microjoules| microjoules as f64 / 1e6);
        }
        gpu.device.clone_from(&self.name);
        let silent = GpuTelemetry { device: self.name.clone(), source: gpu.source.clone(), ..GpuTelemetry::default() };
        if gpu == silent {
            return None;
        }
        gpu.model.clone_from(&self.model);
        Some(gpu)
    }

    fn amdgpu(&self, source: &mut Source) -> GpuTelemetry {
        let mut ratio = |file: &str| {
            let percent = source.number_at(&self.device.join(file))?;
            Some((percent as f64 / 100.0).min(1.0))
        };
        let (busy_ratio, memory_busy_ratio) = (ratio("gpu_busy_percent"), ratio("mem_busy_percent"));
        let of_monitor = |source: &mut Source, file: &str| source.number_at(&self.monitor.as_ref()?.join(file));
        // 0 to 255.
        let fan = of_monitor(source, "pwm1").map(|duty| (duty as f64 / 255.0).min(1.0));
        GpuTelemetry {
            source: "amdgpu".to_owned(),
            busy_ratio,
            memory_busy_ratio,
            memory_used_bytes: source.number_at(&self.device.join("mem_info_vram_used")),
            memory_total_bytes: source.number_at(&self.device.join("mem_info_vram_total")),
            frequency_hertz: of_monitor(source, "freq1_input"),
            memory_frequency_hertz: of_monitor(source, "freq2_input"),
            fan_ratio: fan,
            ..GpuTelemetry::default()
        }
    }

    /// Intel's: a clock, and how long the hardware has rested, from which follows how long it has not.
    fn intel(&mut self, source: &mut Source, now_ns: u64, name: &str, clocks: &[&str], rests: &[&str]) -> GpuTelemetry {
        let mut first = |files: &[&str]| files.iter().find_map(|file| source.number_at(&self.card.join(file)));
        let megahertz = first(clocks);
        let rest = first(rests).map(|milliseconds| (milliseconds, now_ns));
        let before = std::mem::replace(&mut self.rest, rest);
        let busy_ratio = before.zip(rest).and_then(|((before, before_ns), (now, now_ns))| {
            let elapsed_ms = now_ns.saturating_sub(before_ns) as f64 / 1e6;
            let rested_ms = now.checked_sub(before)? as f64;
            (elapsed_ms > 0.0).then(|| (1.0 - rested_ms / elapsed_ms).clamp(0.0, 1.0))
        });
        GpuTelemetry {
            source: name.to_owned(),
            busy_ratio,
            frequency_hertz: megahertz.map(|megahertz| megahertz.saturating_mul(1_000_000)),
            ..GpuTelemetry::default()
        }
    }
}
