//! GPUs: NVIDIA's through NVML, others through the kernel's Direct Rendering Manager, Jetson's through sysfs.

use nuncius_schemas::telemetry::GpuTelemetry;

use crate::config::MachineConfig;
use crate::source::Source;

mod drm;
mod helper;
mod jetson;
pub mod nvml;

/// Reads GPUs.
#[derive(Debug)]
pub(crate) struct Gpus {
    helper: helper::Helper,
    drm: Option<Vec<drm::Card>>,
    jetson: Option<Option<jetson::Jetson>>,
}

impl Gpus {
    pub(crate) fn new(config: &MachineConfig) -> Self {
        Self { helper: helper::Helper::new(config), drm: None, jetson: None }
    }

    /// Asks NVML, whose answer is read by [`Gpus::read`].
    pub(crate) fn ask(&mut self, source: &mut Source, now_ns: u64) {
        self.helper.ask(source, now_ns);
    }

    /// All GPUs; those of NVML first, as it counts them.
    pub(crate) fn read(&mut self, source: &mut Source, now_ns: u64, limit: usize) -> Vec<GpuTelemetry> {
        let mut gpus = self.helper.answer(source, now_ns);
        let mut next = gpus.iter().map(|gpu| gpu.index.saturating_add(1)).max().unwrap_or(0);
        let others = self.drm.get_or_insert_with(|| drm::find(source));
        let mut more: Vec<GpuTelemetry> = others.iter_mut().filter_map(|card| card.read(source, now_ns)).collect();
        let jetson = self.jetson.get_or_insert_with(|| jetson::find(source));
        more.extend(jetson.iter().filter_map(|jetson| jetson.read(source)));
        for gpu in &mut more {
            gpu.index = next;
            next = next.saturating_add(1);
        }
        gpus.extend(more);
        gpus.truncate(limit);
        gpus
    }
}
