//! Machines: what their telemetry says. The figures, and what each is called in telemetry, are in `docs/telemetry.md`.

use crate::Metric;

pub mod cgroup;
pub mod device;
pub mod memory;
pub mod processor;
pub mod traffic;

/// A machine that is sampled: its host, and the kernel's identifier of it since the boot.
pub const INFO: Metric = Metric::info(
    "nuncius_machine_info",
    &["node", "host", "machine"],
    "A machine that is sampled: its host, and the kernel's identifier of it since the boot.",
)
.of_gateway();

/// Samples of a machine that were heard.
pub const SAMPLES: Metric = Metric::counter(
    "nuncius_machine_samples_total",
    crate::Unit::None,
    &["node"],
    "Samples of a machine that were heard.",
)
.of_gateway();

/// When the last sample of a machine was taken, since the Unix epoch.
pub const SAMPLED_SECONDS: Metric = Metric::gauge(
    "nuncius_machine_sampled_timestamp_seconds",
    crate::Unit::Seconds,
    &["node"],
    "When the last sample of a machine was taken, since the Unix epoch.",
)
.of_gateway();

const OWN: &[&Metric] = &[&INFO, &SAMPLES, &SAMPLED_SECONDS];

/// All of them.
pub const ALL: &[&Metric] = &joined();

const COUNT: usize =
    OWN.len() + processor::ALL.len() + memory::ALL.len() + traffic::ALL.len() + cgroup::ALL.len() + device::ALL.len();

#[expect(clippy::indexing_slicing, reason = "it is done while compiling: what is out of bounds does not compile")]
const fn joined() -> [&'static Metric; COUNT] {
    let parts = [OWN, processor::ALL, memory::ALL, traffic::ALL, cgroup::ALL, device::ALL];
    let mut all = [&INFO; COUNT];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut place = 0;
        while place < parts[part].len() {
            all[at] = parts[part][place];
            at += 1;
            place += 1;
        }
        part += 1;
    }
    all
}
