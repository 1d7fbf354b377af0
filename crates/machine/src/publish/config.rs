//! What a process that tells of its machine was told.

use nuncius_schemas::names::token_from_host;
use nuncius_schemas::units::HumanDuration;

use crate::config::MachineConfig;

/// How a process tells of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Name of the machine on the bus, a token; another machine that has it already makes this one `name-2`.
    pub node: String,
    /// Host name as the host gives it.
    pub host: String,
    /// What the process is: `telemetry`, `client`, `worker`, `emulator`.
    pub process: String,
    /// Time between two samples.
    pub period: HumanDuration,
    /// What is sampled.
    pub machine: MachineConfig,
    /// The process does nothing else: it is in the registry under the machine's name with `-telemetry`.
    pub is_alone: bool,
}

impl TelemetryConfig {
    /// Of a process on this machine: a sample a second, of everything there is.
    pub fn new(host: &str, process: &str) -> Self {
        Self {
            node: token_from_host(host),
            host: host.to_owned(),
            process: process.to_owned(),
            period: HumanDuration::from_secs(1),
            machine: MachineConfig::default(),
            is_alone: false,
        }
    }
}
