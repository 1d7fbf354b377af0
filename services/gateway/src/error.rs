//! Why a gateway ended.

use std::path::PathBuf;

use nuncius_bus::BusError;
use nuncius_serve::ServeError;

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The bus.
    #[error("gateway: {0}")]
    Bus(#[from] BusError),
    /// The pages.
    #[error("gateway: {0}")]
    Serve(#[from] ServeError),
    /// The collector.
    #[error("gateway: nothing can be sent to the collector: {0}; see --otlp-endpoint and --otlp-header")]
    Collector(String),
    /// The directory of the spool.
    #[error("gateway: the spool's directory {} cannot be used: {problem}; see --spool-directory", directory.display())]
    Spool {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        problem: String,
    },
}
