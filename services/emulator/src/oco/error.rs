//! Why there is no emulator.

use std::path::PathBuf;

use nuncius_bus::BusError;
use nuncius_serve::ServeError;

use super::keep::log::LogError;

/// Why there is no emulator.
#[derive(Debug, thiserror::Error)]
pub enum OcoError {
    /// A setting that cannot be meant.
    #[error("OCO emulator, setting {0}")]
    Setting(String),
    /// The file of settings.
    #[error("OCO emulator, settings in {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The address.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The file of state.
    #[error("OCO emulator, state in {0}")]
    Log(#[from] LogError),
    /// State shall be kept on the bus, and there is none.
    #[error("OCO emulator: state kv needs a connection to NATS; give one, or choose --state memory or file:PATH")]
    NoBus,
    /// The bus.
    #[error("OCO emulator: {0}")]
    Bus(#[from] BusError),
}
