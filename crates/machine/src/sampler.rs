//! One sample after the other.

use nuncius_bus::clock::{monotonic_ns, unix_ns};
use nuncius_schemas::telemetry::{NodeTelemetry, SamplingCost};

use crate::cgroup::Cgroups;
use crate::config::MachineConfig;
use crate::describe;
use crate::disk::Disks;
use crate::gpu::Gpus;
use crate::memory;
use crate::network::Networks;
use crate::paced::thread_cpu_ns;
use crate::power::Power;
use crate::processor::{self, Processors};
use crate::source::Source;
use crate::tcp::Tcp;

/// Samples a machine; keeps what differences need. Its calls read files: they block for as long as that takes.
#[derive(Debug)]
pub struct Sampler {
    config: MachineConfig,
    source: Source,
    machine: String,
    processors: Processors,
    networks: Networks,
    disks: Disks,
    tcp: Tcp,
    cgroups: Cgroups,
    power: Power,
    gpus: Gpus,
    cpu_ns: u64,
}

impl Sampler {
    /// A sampler that has read nothing yet.
    pub fn new(config: MachineConfig) -> Self {
        let mut source = Source::new(config.roots.clone());
        Self {
            machine: describe::machine(&mut source),
            source,
            processors: Processors::new(),
            networks: Networks::new(),
            disks: Disks::new(),
            tcp: Tcp::new(),
            cgroups: Cgroups::new(&config.cgroups),
            power: Power::new(),
            gpus: Gpus::new(&config),
            config,
            cpu_ns: 0,
        }
    }

    /// The machine now. Name, epoch, sequence and period are for whoever tells it.
    pub fn sample(&mut self) -> NodeTelemetry {
        self.sample_at(monotonic_ns(), unix_ns())
    }

    /// The same with clocks of somebody else's.
    fn sample_at(&mut self, now_ns: u64, unix_ns: u64) -> NodeTelemetry {
        let cpu_before = thread_cpu_ns();
        let began_ns = monotonic_ns();
        let limits = &self.config.limits;
        let source = &mut self.source;
        let mut omitted = Vec::new();
        self.gpus.ask(source, now_ns);
        let (cpu, blocked) = self.processors.read(source, now_ns, limits.cores, &mut omitted).unzip();
        let load = processor::load(source, blocked.flatten());
        let memory = memory::read(source);
        let pressure = processor::pressure(source);
        let networks = self.networks.read(source, now_ns, limits.networks, &mut omitted);
        let disks = self.disks.read(source, now_ns, limits.disks, &mut omitted);
        let tcp = self.tcp.read(source, now_ns);
        let cgroups = self.cgroups.read(source, now_ns, limits, &mut omitted);
        let (energy, rails, thermal) = self.power.read(source, now_ns, limits.devices);
        let gpus = self.gpus.read(source, now_ns, limits.devices);
        let problems = source.problems().take_fresh();
        self.cpu_ns = self.cpu_ns.saturating_add(thread_cpu_ns().saturating_sub(cpu_before));
        NodeTelemetry {
            machine: self.machine.clone(),
            at_unix_ns: unix_ns,
            at_monotonic_ns: now_ns,
            sampling: SamplingCost { took_ns: monotonic_ns().saturating_sub(began_ns), cpu_ns: self.cpu_ns },
            cpu,
            load,
            memory,
            pressure,
            networks,
            disks,
            tcp,
            cgroups,
            energy,
            rails,
            thermal,
            gpus,
            omitted,
            problems,
            ..NodeTelemetry::default()
        }
    }
}

#[cfg(test)]
mod tests;
