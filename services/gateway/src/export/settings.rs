//! Settings of the export.

use std::path::PathBuf;
use std::time::Duration;

use nuncius_telemetry::otlp::Endpoint;

/// Where telemetry goes, and how much of it may wait.
#[derive(Debug, Clone)]
pub struct ExportConfig {
    /// One for each signal; without any nothing is exported, and the bus forgets what nobody takes.
    pub endpoints: Vec<Endpoint>,
    /// Most bytes of one signal that wait in memory; beyond it the oldest are dropped, or written to the directory.
    pub spool_bytes: usize,
    /// Most messages of one signal that wait in memory.
    pub spool_messages: usize,
    /// Where what does not fit into memory is written; none drops it.
    pub spool_directory: Option<PathBuf>,
    /// Most bytes of one signal in the directory; beyond it the oldest are dropped.
    pub spool_directory_bytes: u64,
    /// Messages that wait are sent together, up to so many bytes.
    pub batch_bytes: usize,
    /// Pause before the second try; doubled for each further one.
    pub retry_pause: Duration,
    /// Longest such pause.
    pub retry_pause_max: Duration,
    /// How long after the death of a gateway another gets what it had taken.
    pub ack_wait: Duration,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            spool_bytes: 64 << 20,
            spool_messages: 10_000,
            spool_directory: None,
            spool_directory_bytes: 1 << 30,
            batch_bytes: 1 << 20,
            retry_pause: Duration::from_millis(500),
            retry_pause_max: Duration::from_secs(15),
            ack_wait: Duration::from_secs(30),
        }
    }
}
