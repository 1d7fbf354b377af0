//! Every family there is, one file for each part that reports.
//!
//! Names are `nuncius_<noun>_<unit>[_total]`; those of [`queue`] that begin with `hpa_` are the scalability tester's.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Metric;

pub mod bridge;
pub mod daemon;
pub mod device;
pub mod emulator;
pub mod experiment;
pub mod gateway;
pub mod machine;
pub mod nats;
pub mod node;
pub mod process;
pub mod queue;

/// The parts, in the order of `docs/metrics.md`: what each is called and its families.
pub const AREAS: [(&str, &[&Metric]); 11] = [
    ("Experiments", experiment::ALL),
    ("Queues", queue::ALL),
    ("The AMQP bridge", bridge::ALL),
    ("Nodes", node::ALL),
    ("Devices of workers", device::ALL),
    ("Machines", machine::ALL),
    ("Emulators", emulator::ALL),
    ("NATS", nats::ALL),
    ("The daemon", daemon::ALL),
    ("Processes", process::ALL),
    ("The gateway", gateway::ALL),
];

/// All families.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    AREAS.iter().flat_map(|(_, families)| families.iter().copied())
}

/// The family of this name, as it is scraped.
pub fn find(name: &str) -> Option<&'static Metric> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Metric>> =
        LazyLock::new(|| all().map(|metric| (metric.name, metric)).collect());
    BY_NAME.get(name).copied()
}
