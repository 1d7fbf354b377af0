//! Changing the load of an experiment while it runs, by asking its daemon.

use nuncius_bus::Bus;
use nuncius_schemas::amendment::Change;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::Control;

use crate::ControlError;
use crate::holder::ask;

/// What shall be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amend {
    /// The group; every group when absent.
    pub group: Option<String>,
    /// What of its load.
    pub change: Change,
    /// Why, for the audit.
    pub reason: String,
    /// Who asks, where a face knows it.
    pub who: Option<String>,
}

/// Has the load of an experiment changed; from which instant of run time on it is, in nanoseconds. All nodes change at
/// it.
///
/// # Errors
/// Nobody knows the experiment, it does not offer load, no daemon holds it, or the change makes no sense.
pub async fn amend(bus: &Bus, id: &str, amend: &Amend) -> Result<u64, ControlError> {
    check_token("experiment", id)?;
    let Amend { group, change, reason, who } = amend.clone();
    let control = Control::Amend { group, change, reason, who };
    Ok(ask(bus, id, &control).await?.at_ns.unwrap_or(0))
}
