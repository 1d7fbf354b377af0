//! Processors and memory of the host.

use std::time::Instant;

use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, System};

/// How a host fares; what it does not say is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostSample {
    /// Share of its processors in use since the sample before, 0 to 1; absent until there is a span to tell of.
    pub cpu_share: Option<f64>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory there is, in bytes.
    pub memory_total_bytes: Option<u64>,
}

/// One reader, kept because a share of processors is a difference.
#[derive(Debug)]
pub(super) struct Host {
    /// `None` where the system is one that `sysinfo` does not know.
    system: Option<System>,
    read: Instant,
    cpu_share: Option<f64>,
}

impl Host {
    pub(super) fn new() -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { system, read: Instant::now(), cpu_share: None }
    }

    pub(super) fn sample(&mut self) -> HostSample {
        let Some(system) = &mut self.system else { return HostSample::default() };
        // A shorter span says nothing: the kernel counts in hundredths of a second.
        if self.read.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL {
            system.refresh_cpu_usage();
            self.read = Instant::now();
            let share = f64::from(system.global_cpu_usage()) / 100.0;
            self.cpu_share = share.is_finite().then(|| share.clamp(0.0, 1.0));
        }
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let total = Some(system.total_memory()).filter(|total| *total > 0);
        HostSample {
            cpu_share: self.cpu_share,
            memory_used_bytes: total.map(|_| system.used_memory()),
            memory_total_bytes: total,
        }
    }
}
