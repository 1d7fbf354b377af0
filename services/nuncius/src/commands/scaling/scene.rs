//! What all of a scaling experiment share: where it happens, what is to be measured, and that it may be interrupted.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_emulator::device::DeviceConfig;
use nuncius_schemas::scaling::ScalingSpec;
use nuncius_schemas::spec::ExperimentSpec;
use tokio_util::sync::CancellationToken;

use crate::args::{Global, RunArgs};

/// Where a scaling experiment happens.
pub(in crate::commands) struct Scene<'a> {
    pub(in crate::commands) global: &'a Global,
    pub(in crate::commands) args: &'a RunArgs,
    pub(in crate::commands) bus: &'a Bus,
    /// Of the server, for the workers that are started here.
    pub(in crate::commands) url: &'a str,
    pub(in crate::commands) data: &'a Path,
}

/// What is to be measured.
pub(in crate::commands) struct Wanted {
    pub(super) id: String,
    pub(super) queue: String,
    pub(super) spec: ExperimentSpec,
    pub(super) scaling: ScalingSpec,
    pub(super) device: Option<DeviceConfig>,
}

/// It was ended by request; the text says how.
#[derive(Debug)]
pub(super) struct Interrupted(pub(super) String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Waits a little.
///
/// # Errors
/// [`Interrupted`] when a signal came.
pub(super) async fn pause(duration: Duration, interrupted: &CancellationToken) -> Result<()> {
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(()),
        () = interrupted.cancelled() => Err(Interrupted("interrupted".to_owned()).into()),
    }
}
