//! Takes from the streams what nobody needs any more: deltas and request records of runs that ended a while ago. Both
//! streams refuse what comes when they are full, and a daemon may have died before it could do so.

use std::collections::BTreeSet;

use nuncius_bus::BusError;
use nuncius_bus::clock::unix_ms;
use tracing::{debug, warn};

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
    Ok(())
}
