//! Takes from the bus what nobody needs any more: deltas and request records of runs that ended a while ago, and where
//! runs stood that have ended. Both streams refuse what comes when they are full, and a daemon may have died before it
//! could do so.

use std::collections::BTreeSet;

use nuncius_bus::BusError;
use nuncius_bus::clock::unix_ms;
use tracing::{debug, warn};

use crate::checkpoint;
use crate::daemon::Daemon;
use crate::timing::milliseconds;

/// Purges them.
///
/// # Errors
/// When the bus cannot be asked.
pub(crate) async fn trim(daemon: &Daemon) -> Result<(), BusError> {
    let names = daemon.bus.namespace().clone();
    let streams = [
        (names.stream_metric(), names.metric_all("*"), names.metric_all("")),
        (names.stream_trace(), names.trace_all("*"), names.trace_all("")),
    ];
    let before_unix_ms = unix_ms().saturating_sub(milliseconds(daemon.timing.stream_retention));
    for (stream, filter, beginning) in streams {
        let beginning = beginning.trim_end_matches(['.', '>']);
        let subjects = daemon.bus.subjects(&stream, &filter).await?;
        let ids: BTreeSet<&str> = subjects
            .keys()
            .filter_map(|subject| subject.strip_prefix(beginning)?.strip_prefix('.')?.split('.').next())
            .collect();
        for id in ids {
            match daemon.record(id).await {
                Ok(Some((record, _))) if record.ended_unix_ms.is_some_and(|ended| ended <= before_unix_ms) => {
                    let purged = daemon.bus.purge_subject(&stream, &filter.replacen('*', id, 1)).await?;
                    debug!(experiment = id, stream, purged, "no longer needed");
                }
                Ok(_) => {}
                Err(error) => warn!(experiment = id, %error, "run record cannot be read"),
            }
        }
    }
    checkpoints(daemon).await
}

/// Removes where runs stood that have ended, or that nobody knows.
async fn checkpoints(daemon: &Daemon) -> Result<(), BusError> {
    let objects = daemon.bus.objects(&daemon.bus.namespace().bucket_artifact()).await?;
    for object in objects.names().await? {
        let Some(id) = checkpoint::run_of(&object) else { continue };
        match daemon.record(id).await {
            Ok(Some((record, _))) if !record.is_told() => {}
            Ok(_) => {
                objects.delete(&object).await?;
                debug!(experiment = id, object, "no longer needed");
            }
            Err(error) => warn!(experiment = id, %error, "run record cannot be read"),
        }
    }
    Ok(())
}
