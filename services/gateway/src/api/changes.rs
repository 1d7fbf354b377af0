//! What is written down of a change: who, what and why. Of an experiment it is an event, too.

use std::time::Duration;

use nuncius_clock::unix_ms;
use nuncius_control::audit;
use nuncius_schemas::change::ChangeRecord;
use schemars::JsonSchema;
use serde::Deserialize;

use super::asked::Asked;
use super::state::ApiState;
use crate::access::Who;
use crate::problem::Problem;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// Why something is done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Why {
    /// Why, for the audit.
    pub(super) reason: String,
}

impl Why {
    /// The reason; where the body says none, that of the header.
    ///
    /// # Errors
    /// More than there is room for.
    pub(super) fn given(self, asked: &Asked) -> Result<String, Problem> {
        let reason = cleaned(&self.reason, "reason")?;
        if reason.is_empty() { reason_of(asked) } else { Ok(reason) }
    }
}

/// Header: why something is done, where the body has no place for it.
pub(super) const HEADER_REASON: &str = "nuncius-reason";
/// How long the bus may take to keep what was changed: the change is made, whether or not.
const PATIENCE: Duration = Duration::from_secs(2);

/// A reason as it is written down.
///
/// # Errors
/// More than there is room for.
pub(crate) fn cleaned(reason: &str, field: &str) -> Result<String, Problem> {
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if reason.chars().count() > REASON_MAX {
        return Err(Problem::parameter(field, format!("at most {REASON_MAX} characters")));
    }
    Ok(reason.trim().to_owned())
}

/// Why something is done, as a header says.
///
/// # Errors
/// More than there is room for.
pub(super) fn reason_of(asked: &Asked) -> Result<String, Problem> {
    cleaned(asked.header(HEADER_REASON).unwrap_or_default(), HEADER_REASON)
}

/// Writes down what somebody changed: in the log, and on the bus.
pub(crate) async fn note(api: &ApiState, who: &Who, action: &str, what: &str, reason: &str) {
    note_in_log(who, action, what, reason);
    let change = ChangeRecord {
        at_unix_ms: unix_ms(),
        who: who.name.clone(),
        by: api.name().to_owned(),
        action: action.to_owned(),
        what: what.to_owned(),
        reason: reason.to_owned(),
    };
    match tokio::time::timeout(PATIENCE, audit::note(api.bus(), &change)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, action, what, "the change is not written down on the bus"),
        Err(_) => tracing::warn!(action, what, "the change is not written down on the bus in time"),
    }
}

/// The same of an experiment that is there, of which its daemon makes an event.
pub(crate) fn note_in_log(who: &Who, action: &str, what: &str, reason: &str) {
    let who = who.name.as_deref().unwrap_or("anybody here");
    tracing::info!(who, action, what, reason, "changed on request");
}
