//! Deleting an experiment wherever it is: in the database of the daemon that ran it, in that of this machine, on the
//! bus.

use std::path::Path;

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_schemas::codec;
use nuncius_schemas::run::RunRecord;
use nuncius_store::Store;

use super::archive::{self, Found};
use crate::output::note;

/// Where to look.
pub(crate) struct Places<'a> {
    /// The bus, when there is one.
    pub(crate) bus: Option<&'a Bus>,
    /// The database of this machine, when there is one.
    pub(crate) store: Option<&'a Store>,
    /// Its path, for messages.
    pub(crate) path: &'a Path,
    /// Whether what the bus has is deleted though no database has the experiment.
    pub(crate) force: bool,
}

/// Deletes everything of an experiment; `false` when nobody knows it.
///
/// # Errors
/// It has not ended; or the bus knows it and no database that can be reached has it: then nothing is deleted.
pub(crate) async fn remove(places: &Places<'_>, id: &str) -> Result<bool> {
    let Some(bus) = places.bus else {
        return match places.store {
            Some(store) => Ok(store.remove(id).await?),
            None => Ok(false),
        };
    };
    let namespace = bus.namespace().clone();
    let runs = bus.kv(&namespace.bucket_run()).await?;
    let entry = runs.get(id).await?;
    if let Some(entry) = &entry {
        match codec::decode::<RunRecord>(&entry.value) {
            Ok(record) if !record.status.is_terminal() => {
                bail!("experiment {id} is {}: cancel it first", record.status.name());
            }
            Ok(_) => {}
            // What nobody can read, nobody runs.
            Err(error) if places.force => note(&format!("removing {}", runs.unreadable(entry, &error))),
            Err(error) => bail!("{}; `nuncius rm --force {id}` removes it, too", runs.unreadable(entry, &error)),
        }
    }
    // The databases come first: what the bus has is how the experiment is found again when one of them cannot be
    // reached.
    let remote = archive::remove(bus, id).await?;
    let local = match places.store {
        Some(store) => store.remove(id).await?,
        None => false,
    };
    if remote != Found::Yes && !local && entry.is_some() && !places.force {
        let who = match remote {
            Found::NobodyAsked => "no daemon runs",
            Found::Yes | Found::No => "no daemon that runs has it",
        };
        bail!(
            "experiment {id} is in the database of the daemon that ran it: {who}, and it is not in {}; start that \
             daemon and try again, or use --force to delete what the bus has of it; nothing was deleted",
            places.path.display()
        );
    }
    if let Some(entry) = &entry {
        runs.delete_revision(id, entry.revision).await?;
    }
    bus.objects(&namespace.bucket_artifact()).await?.delete(&namespace.artifact_report(id)).await?;
    for (stream, subject) in [
        (namespace.stream_event(), namespace.experiment_event(id)),
        (namespace.stream_second(), namespace.experiment_second(id)),
        (namespace.stream_metric(), namespace.metric_all(id)),
        (namespace.stream_trace(), namespace.trace_all(id)),
    ] {
        bus.purge_subject(&stream, &subject).await?;
    }
    Ok(local || remote == Found::Yes || entry.is_some())
}
