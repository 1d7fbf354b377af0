//! Marking an experiment: something that happened outside, as an event of it.

use nuncius_bus::Bus;
use nuncius_schemas::event::check_mark;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::Control;

use crate::ControlError;
use crate::holder::ask;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is called.
    pub name: String,
    /// What there is to say beside that.
    pub value: Option<String>,
    /// Who says so, where a face knows it.
    pub who: Option<String>,
    /// When it happened, in milliseconds since the Unix epoch; absent: now.
    pub at_unix_ms: Option<u64>,
}

/// Sets a mark on an experiment that has not ended. Once this returns it is in the experiment's event stream.
///
/// # Errors
/// [`ControlError::Mark`] for one that no view has room for; nobody knows the experiment, it has ended already, or no
/// daemon holds it.
pub async fn mark(bus: &Bus, id: &str, mark: &Mark) -> Result<(), ControlError> {
    check_token("experiment", id)?;
    check_mark(&mark.name, mark.value.as_deref())?;
    let Mark { name, value, who, at_unix_ms } = mark.clone();
    ask(bus, id, &Control::Mark { name, value, who, at_unix_ms }).await?;
    Ok(())
}
