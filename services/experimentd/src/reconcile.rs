//! Has the store agree with the bus: at the start, and then now and then. What ended while the store could not be
//! written is stored once it can be; what nobody looks after any more is closed.

use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_clock::unix_ms;
use nuncius_schemas::codec;
use nuncius_schemas::run::RunRecord;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::daemon::Daemon;
use crate::restore::{RestoreError, restore, restore_report};
use crate::trim::trim;

/// How often every record of the bus is compared, though nothing is known to be missing.
const COMPARE_ALL: Duration = Duration::from_secs(600);
/// Most experiments that are looked at in one turn; the next turn has the rest.
const TURN_MAX: u32 = 1_000;
/// Said of an experiment whose process ended without a word.
const ABANDONED: &str =
    "the process that ran it ended before the run did, and no bus knows it any more: closed by the next one";

/// Reconciles until the daemon ends.
pub(crate) async fn serve(daemon: Daemon) {
    let mut generation = daemon.store.generation();
    let mut compared: Option<Instant> = None;
    loop {
        let now = daemon.store.generation();
        let is_due = compared.is_none_or(|at| at.elapsed() >= COMPARE_ALL) || now != generation;
        match turn(&daemon, is_due).await {
            Ok(()) if is_due => (generation, compared) = (now, Some(Instant::now())),
            Ok(()) => {}
            Err(error) => warn!(%error, "the store does not have all that it should: trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(daemon.timing.reconcile_period) => {}
            () = daemon.shutdown.cancelled() => return,
        }
    }
}

async fn turn(daemon: &Daemon, all: bool) -> Result<(), RestoreError> {
    close_abandoned(daemon).await?;
    let ids = if all {
        trim(daemon).await?;
        ended_on_the_bus(daemon).await?
    } else {
        daemon.owed()
    };
    for id in ids {
        match daemon.record(&id).await {
            // One that is still being ended stays owed: nothing would be stored of it now, nor later.
            Ok(Some((record, _))) if daemon.is_ours(&id) || !record.is_told() => continue,
            Ok(Some((record, _))) => store_end(daemon, &record).await?,
            Ok(None) => {}
            Err(error) => {
                warn!(experiment = %id, %error, "run record cannot be read");
                continue;
            }
        }
        daemon.settled(&id);
    }
    Ok(())
}

/// Experiments of the store that have not ended, whose process is gone and which the bus does not know.
async fn close_abandoned(daemon: &Daemon) -> Result<(), RestoreError> {
    for unended in daemon.store.unended(TURN_MAX).await? {
        let id = &unended.id;
        if daemon.is_ours(id) || (unended.has_owner && !unended.is_own) {
            continue;
        }
        match daemon.record(id).await {
            Ok(Some((record, _))) => store_end(daemon, &record).await?,
            Ok(None) => {
                // Taken up meanwhile?
                if !daemon.is_ours(id) && daemon.store.close_abandoned(id, ABANDONED, unix_ms()).await? {
                    info!(experiment = %id, status = unended.status.name(), "nobody looks after it: closed");
                }
            }
            // It is not known whether the bus knows it.
            Err(error) => warn!(experiment = %id, %error, "run record cannot be read"),
        }
    }
    Ok(())
}

/// The runs of this store that have ended, as far as the bus knows and the store does not.
async fn ended_on_the_bus(daemon: &Daemon) -> Result<BTreeSet<String>, RestoreError> {
    let mut missing = BTreeSet::new();
    let mut watch = daemon.runs.watch(">").await?;
    loop {
        match watch.next().await? {
            KvEvent::Entry(entry) if entry.operation == Operation::Put => {
                // What cannot be read is told by whoever recovers.
                let Ok(record) = codec::decode::<RunRecord>(&entry.value) else { continue };
                let is_ours = record.store.as_ref() == Some(&daemon.store_name);
                if is_ours && record.is_told() && !daemon.is_ours(&record.id) {
                    let held = daemon.store.held(&record.id).await?;
                    if !held.has_report || !held.has_ended {
                        missing.insert(record.id);
                    }
                }
            }
            KvEvent::Entry(_) => {}
            KvEvent::Current => break,
        }
        if missing.len() >= TURN_MAX as usize {
            break;
        }
    }
    watch.close().await;
    missing.extend(daemon.owed());
    Ok(missing)
}

/// Stores an experiment that has ended, from the bus.
async fn store_end(daemon: &Daemon, record: &RunRecord) -> Result<(), RestoreError> {
    let id = &record.id;
    if !record.is_told() || daemon.is_ours(id) || daemon.was_removed(id) {
        return Ok(());
    }
    let sums = restore(&daemon.bus, &daemon.store, record).await?;
    let has_report = restore_report(&daemon.bus, &daemon.store, id, sums).await?;
    info!(experiment = %id, has_report, "stored from the bus");
    Ok(())
}
