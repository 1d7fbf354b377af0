//! One experiment of a study: submitted as any other, and waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::kv::KvEvent;
use nuncius_bus::{Headers, inject_current};
use nuncius_schemas::run::{Control, ControlReply, RunRecord};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_SCHEMA};
use tracing::debug;

use crate::daemon::RecordError;
use crate::journal::JournalError;
use crate::running::{Running, Stopped};

/// How often the lease of the study is looked after while an experiment of it runs, and the experiment's record looked
/// at, should the watch of it have missed something.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request to the experiment may take.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);
/// How long an experiment that is to be cancelled may take to end.
const CANCEL_PATIENCE: Duration = Duration::from_secs(60);

/// Where an experiment says in its metadata which one of which study it is.
const BELONGS: [&str; 5] = ["search", "load", "sweep", "combination", "repeat"];

/// What events say of an experiment of a study.
pub(super) fn data_of(spec: &ExperimentSpec) -> BTreeMap<String, String> {
    spec.id.iter().map(|id| ("experiment".to_owned(), id.clone())).collect()
}

/// Runs an experiment to its end, or finds it where it was submitted before.
///
/// # Errors
/// The study is to end; then the experiment ends, too, unless another daemon goes on with both.
pub(super) async fn run(running: &mut Running, spec: &ExperimentSpec) -> Result<RunRecord, Stopped> {
    let id = spec.id.clone().ok_or_else(|| Stopped::Failed("an experiment of a study without an id".to_owned()))?;
    let mut watch = {
        let (runs, key) = (running.daemon.runs.clone(), id.clone());
        running.insist("run records cannot be watched", || runs.watch(&key)).await?
    };
    let mut is_submitted = false;
    loop {
        match known(running, &id, spec).await? {
            Some(record) if record.is_told() => return Ok(record),
            Some(_) => is_submitted = true,
            None if !is_submitted => {
                submit(running, &id, spec).await?;
                is_submitted = true;
            }
            None => {}
        }
        let shutdown = running.daemon.shutdown.clone();
        tokio::select! {
            event = watch.next() => match event {
                Ok(KvEvent::Entry(_) | KvEvent::Current) => {}
                Err(error) => {
                    debug!(experiment = %id, %error, "the record cannot be watched");
                    tokio::time::sleep(LOOK).await;
                }
            },
            () = tokio::time::sleep(LOOK) => running.keep_lease().await?,
            reason = running.control.cancelled() => {
                cancel(running, &id, spec, &reason).await;
                return Err(Stopped::Cancelled(reason));
            }
            () = shutdown.cancelled() => return Err(Stopped::NotOurs(JournalError::HandedOver)),
        }
    }
}

/// The record of the experiment, where it has been submitted.
async fn known(running: &Running, id: &str, spec: &ExperimentSpec) -> Result<Option<RunRecord>, Stopped> {
    let found = running.insist("a run record cannot be read", || async {
        match running.daemon.record(id).await {
            Ok(found) => Ok(Ok(found)),
            Err(RecordError::Bus(error)) => Err(error),
            Err(error @ (RecordError::Unreadable(_) | RecordError::Stranger { .. })) => Ok(Err(error.to_string())),
        }
    });
    let found = found.await?.map_err(|problem| Stopped::Failed(format!("experiment {id}: {problem}")))?;
    let Some((record, _)) = found else { return Ok(None) };
    let is_same = |key: &&str| record.spec.metadata.get(*key) == spec.metadata.get(*key);
    if !BELONGS.iter().all(is_same) {
        return Err(Stopped::Failed(format!("an experiment `{id}` exists already, and is not of this study")));
    }
    Ok(Some(record))
}

async fn submit(running: &Running, id: &str, spec: &ExperimentSpec) -> Result<(), Stopped> {
    let payload = serde_json::to_vec(spec).map_err(|error| Stopped::Failed(format!("experiment {id}: {error}")))?;
    let mut headers = Headers::new().with(HEADER_CONTENT_TYPE, "application/json").with(HEADER_SCHEMA, "experiment.v1");
    inject_current(&mut headers);
    let bus = &running.daemon.bus;
    let subject = bus.namespace().experiment_submit();
    let publish = || bus.publish_acked(&subject, &headers, payload.clone().into(), Some(id), None);
    running.insist("an experiment of it cannot be submitted", publish).await.map(drop)
}

/// Ends the experiment, and waits for that.
async fn cancel(running: &Running, id: &str, spec: &ExperimentSpec, reason: &str) {
    let bus = &running.daemon.bus;
    let subject = bus.namespace().experiment_control(id);
    let control = Control::Cancel { reason: reason.to_owned(), who: None };
    let ended = async {
        loop {
            match known(running, id, spec).await {
                Ok(Some(record)) if !record.is_told() => {
                    let asked =
                        bus.request_message::<_, ControlReply>(&subject, "control.v1", &control, CONTROL_PATIENCE);
                    if let Err(error) = asked.await {
                        debug!(experiment = %id, %error, "not cancelled yet");
                    }
                    tokio::time::sleep(LOOK / 4).await;
                }
                Ok(_) | Err(_) => return,
            }
        }
    };
    if tokio::time::timeout(CANCEL_PATIENCE, ended).await.is_err() {
        debug!(experiment = %id, "not ended within {CANCEL_PATIENCE:?}: left to end by itself");
    }
}
