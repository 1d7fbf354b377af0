//! The GPU of a Jetson, which NVML of its time does not know.

use std::path::PathBuf;

use nuncius_schemas::telemetry::GpuTelemetry;

use crate::source::{Source, Tree, names_at};

/// Where the load is told, in thousandths: TX1, TX2, Xavier and Nano; Orin.
const LOADS: [&str; 4] = [
    "devices/gpu.0/load",
    "devices/platform/gpu.0/load",
    "devices/platform/bus@0/17000000.gpu/load",
    "devices/platform/17000000.gpu/load",
];

/// Ends of the names of the clocks that are a GPU's: of TX1 and Nano, TX2, Xavier, Orin.
const CLOCKS: [&str; 5] = ["gpu", "gm20b", "gp10b", "gv11b", "ga10b"];

#[derive(Debug)]
pub(super) struct Jetson {
    load: PathBuf,
    clock: Option<PathBuf>,
    model: Option<String>,
}

/// The GPU, if there is one.
pub(super) fn find(source: &mut Source) -> Option<Jetson> {
    // A board of somebody else's may have a clock of such a name, but not such a load.
    let load = LOADS.into_iter().map(|file| source.path(Tree::Sys, file)).find(|path| path.exists())?;
    let clocks = source.path(Tree::Sys, "class/devfreq");
    let is_gpu = |name: &String| CLOCKS.iter().any(|end| name.ends_with(end));
    let clock = names_at(&clocks).into_iter().find(is_gpu).map(|name| clocks.join(name).join("cur_freq"));
    let model = source.path(Tree::Sys, "firmware/devicetree/base/model");
    let model = source.line_at(&model);
    Some(Jetson { load, clock, model })
}

impl Jetson {
    pub(super) fn read(&self, source: &mut Source) -> Option<GpuTelemetry> {
        let thousandths = source.number_at(&self.load);
        let frequency_hertz = self.clock.as_ref().and_then(|path| source.number_at(path));
        if thousandths.is_none() && frequency_hertz.is_none() {
            return None;
        }
        Some(GpuTelemetry {
            device: "gpu.0".to_owned(),
            source: "jetson".to_owned(),
            model: self.model.clone(),
            busy_ratio: thousandths.map(|load| (load as f64 / 1e3).min(1.0)),
            frequency_hertz,
            ..GpuTelemetry::default()
        })
    }
}
