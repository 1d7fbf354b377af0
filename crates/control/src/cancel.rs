//! Ending an experiment: one that runs by asking its daemon, one that waits by writing its record.

use nuncius_bus::Bus;
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::{Control, RunRecord, RunStatus, Verdict};

use crate::ControlError;
use crate::holder::{Succession, ask_once};

/// How an experiment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Its daemon ends it now.
    Ending,
    /// It had not started, and never will.
    BeforeStart,
}

/// Has an experiment end. Why, and where a face knows it who asks, stand in its events.
///
/// # Errors
/// Nobody knows it, it has ended already, or no daemon holds it.
pub async fn cancel(bus: &Bus, id: &str, reason: &str, who: Option<&str>) -> Result<Cancelled, ControlError> {
    check_token("experiment", id)?;
    let control = Control::Cancel { reason: reason.to_owned(), who: who.map(str::to_owned) };
    let succession = Succession::begin();
    loop {
        if ask_once(bus, id, &control).await?.is_some() {
            return Ok(Cancelled::Ending);
        }
        // No daemon holds it: one that waits is cancelled by writing its record.
        if cancel_waiting(bus, id, reason, who).await? {
            return Ok(Cancelled::BeforeStart);
        }
        succession.wait(id).await?;
    }
}

/// Cancels a run that waits; `false` when it is under way.
async fn cancel_waiting(bus: &Bus, id: &str, reason: &str, who: Option<&str>) -> Result<bool, ControlError> {
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    let entry = runs.get(id).await?.ok_or_else(|| ControlError::NoExperiment { id: id.to_owned() })?;
    let mut record: RunRecord = codec::decode(&entry.value).map_err(|error| runs.unreadable(&entry, &error))?;
    match record.status {
        RunStatus::Submitted => {
            // The next daemon tells its end: until then it has none.
            record.status = RunStatus::Cancelled;
            record.verdict = Some(Verdict::Undetermined);
            let by = who.map_or_else(String::new, |who| format!(" by {who}"));
            record.reason = Some(match reason {
                "" => format!("cancelled while it waited{by}"),
                reason => format!("cancelled while it waited{by}: {reason}"),
            });
            let unwritable = |source: CodecError| ControlError::Document { what: "the record", source };
            runs.update(id, codec::encode(&record).map_err(unwritable)?.into(), entry.revision).await?;
            Ok(true)
        }
        status if status.is_terminal() => Err(ControlError::Ended { id: id.to_owned(), status: status.name() }),
        _ => Ok(false),
    }
}
