//! Deleting an experiment wherever it is: in the database of the daemon that ran it, and on the bus.

use nuncius_bus::kv::Entry;
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::RunRecord;

use crate::ControlError;
use crate::archive::{self, Found};

/// What else is to be done beside what the bus and the daemons do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Removal<'a> {
    /// Whether what the bus has is deleted though no database has the experiment, or nobody can read its record.
    pub force: bool,
    /// Another place that is looked at, for messages: the path of a database.
    pub elsewhere: Option<&'a str>,
}

/// Deletes everything of an experiment; `false` when nobody knows it. `elsewhere` deletes it in another place, and says
/// whether it was there; it is called once nothing forbids it.
///
/// # Errors
/// It has not ended; or the bus knows it and no database that can be reached has it: then nothing is deleted.
pub async fn remove<E: From<ControlError>>(
    bus: &Bus,
    id: &str,
    removal: Removal<'_>,
    elsewhere: impl AsyncFnOnce() -> Result<bool, E>,
) -> Result<bool, E> {
    check_token("experiment", id).map_err(ControlError::from)?;
    let entry = record_of(bus, id, removal.force).await?;
    // The databases come first: what the bus has is how the experiment is found again when one of them cannot be
    // reached.
    let remote = archive::remove(bus, id).await?;
    let local = elsewhere().await?;
    if remote != Found::Yes && !local && entry.is_some() && !removal.force {
        let elsewhere = removal.elsewhere.map_or_else(String::new, |place| format!(", and it is not in {place}"));
        return Err(ControlError::OutOfReach { id: id.to_owned(), who: remote.who(), elsewhere }.into());
    }
    forget(bus, id, entry.as_ref()).await?;
    Ok(local || remote == Found::Yes || entry.is_some())
}

/// The record of an experiment that may be deleted.
async fn record_of(bus: &Bus, id: &str, force: bool) -> Result<Option<Entry>, ControlError> {
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    let Some(entry) = runs.get(id).await? else { return Ok(None) };
    match codec::decode::<RunRecord>(&entry.value) {
        Ok(record) if !record.status.is_terminal() => {
            Err(ControlError::NotEnded { id: id.to_owned(), status: record.status.name() })
        }
        Ok(_) => Ok(Some(entry)),
        // What nobody can read, nobody runs.
        Err(error) if force => {
            tracing::warn!("removing {}", runs.unreadable(&entry, &error));
            Ok(Some(entry))
        }
        Err(error) => {
            Err(ControlError::RecordUnreadable { id: id.to_owned(), unreadable: runs.unreadable(&entry, &error) })
        }
    }
}

/// Deletes what the bus has.
async fn forget(bus: &Bus, id: &str, entry: Option<&Entry>) -> Result<(), ControlError> {
    let namespace = bus.namespace();
    if let Some(entry) = entry {
        bus.kv(&namespace.bucket_run()).await?.delete_revision(id, entry.revision).await?;
    }
    bus.objects(&namespace.bucket_artifact()).await?.delete(&namespace.artifact_report(id)).await?;
    forget_profiles(bus, id).await?;
    for (stream, subject) in [
        (namespace.stream_event(), namespace.experiment_event(id)),
        (namespace.stream_second(), namespace.experiment_second(id)),
        (namespace.stream_metric(), namespace.metric_all(id)),
        (namespace.stream_trace(), namespace.trace_all(id)),
    ] {
        bus.purge_subject(&stream, &subject).await?;
    }
    Ok(())
}

/// Deletes what profilers wrote beside an experiment.
async fn forget_profiles(bus: &Bus, id: &str) -> Result<(), ControlError> {
    let (bucket, beginning) = (bus.namespace().bucket_profile(), bus.namespace().profile_outputs(id));
    let objects = match bus.objects(&bucket).await {
        Ok(objects) => objects,
        // A server that nobody has profiled on.
        Err(BusError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in objects.names().await?.iter().filter(|name| name.starts_with(&beginning)) {
        objects.delete(name).await?;
    }
    Ok(())
}
