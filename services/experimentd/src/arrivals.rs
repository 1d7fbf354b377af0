//! The files of arrivals that an experiment names: the daemon has to know what they hold, as its nodes do.

use nuncius_bundle::Limits;
use nuncius_bus::apps::AppError;
use nuncius_control::recorded::{ArrivalsError, fetch};

use crate::running::{Running, Stopped};

/// Most of a bundle that is looked through: nodes have limits of their own, which are lower.
const LIMITS: Limits = Limits { files: 100_000, unpacked_bytes: 16 << 30 };

/// Puts what is in its files of arrivals into the specification of the run, where it has any.
///
/// # Errors
/// They cannot be offered, or not be had; the run is no longer ours.
pub(crate) async fn read_arrivals(running: &mut Running) -> Result<(), Stopped> {
    let written = &running.journal.record.spec;
    if !written.wants_instants() {
        return Ok(());
    }
    let read = running.insist("bundle", || async {
        let mut spec = written.clone();
        match fetch(&running.daemon.bus, &mut spec, LIMITS).await {
            Ok(()) => Ok(Ok(spec)),
            Err(ArrivalsError::App(AppError::Bus(error))) if error.is_transient() => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    });
    let spec = read.await?.map_err(Stopped::Failed)?;
    running.journal.record.spec = spec;
    Ok(())
}
