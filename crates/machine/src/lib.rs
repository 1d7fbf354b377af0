//! What a machine says of itself: samples of its processors, memory, networks, disks, control groups and devices, and
//! their way onto the bus.
//!
//! It must never hold up load: one thread of low priority reads, nothing waits for it, what is too slow or too much is
//! read less often or left out, and what cannot be read is told once. It never invents a figure: what a machine does
//! not say is absent.
//!
//! Layout: [`Sampler`] reads one [`nuncius_schemas::telemetry::NodeTelemetry`] after the other; `source` is how files
//! are read, below roots that may be anywhere; `processor`, `memory`, `traffic`, `tcp`, `cgroup`, `power`, `gpu` each
//! know their files; `counter` is how counters are compared, `paced` what keeps costs down. [`thread`] samples at even
//! times; [`publish`] tells the bus, one process for each machine, and does what it is asked.

mod cgroup;
mod config;
mod counter;
mod describe;
mod disk;
pub mod gpu;
mod memory;
mod network;
mod omitted;
mod paced;
mod power;
mod problems;
mod processor;
pub mod publish;
mod sampler;
mod source;
mod tcp;
pub mod thread;
mod wireless;

pub use config::{MachineConfig, MachineLimits, Roots};
pub use describe::describe;
pub use sampler::Sampler;
