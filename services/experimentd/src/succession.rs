//! Whose run it is: a run whose daemon is gone is taken up by another, or by the same one restarted, as soon as its
//! lease has run out, and goes on where it stood.
//!
//! A run that waited goes on waiting. One that was to be started and has offered nothing is started anew, as another
//! attempt. One whose load is offered is watched from its last checkpoint on: nodes go on, to their horizons, whoever
//! watches. One that has come to its end gets the verdict that its books give.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nuncius_bus::BusError;
use nuncius_bus::clock::Offset;
use nuncius_bus::expiry::ExpiryWatch;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::lease::Lease;
use nuncius_clock::{monotonic_ns, unix_ns};
use nuncius_schemas::codec;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::{Inquire, NodeCommand};
use nuncius_schemas::run::{RunRecord, RunStatus};
use tracing::{Instrument, debug, info, info_span, warn};

use crate::begun::{Begun, Left};
use crate::checkpoint::{self, Checkpoint};
use crate::daemon::{Daemon, give_back};
use crate::figures::{FIGURES, count};
use crate::finish;
use crate::fleet::{Standing, inquire_all, measure_clocks};
use crate::intake::{CANCELLED_WAITING, look_after};
use crate::restore::{Reading, RestoreError};
use crate::run::run;
use crate::running::{Running, Stopped, leave};

/// How often a lease that somebody holds is asked for, while a daemon begins: its own of before runs out by itself.
const LEASE_POLL: Duration = Duration::from_millis(300);
/// Pause before something that the bus could not do is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Takes up what has no end and no daemon, and goes on doing so.
pub(crate) fn begin(daemon: &Daemon) {
    let watching = daemon.clone();
    daemon.tasks.spawn(async move {
        let shutdown = watching.shutdown.clone();
        tokio::select! {
            ((), ()) = async { tokio::join!(take_up_all(&watching), watch_leases(&watching)) } => {}
            () = shutdown.cancelled() => {}
        }
    });
}

/// Looks at every record on the bus, until each has been seen: a lease that ran out before anybody watched it is told
/// by nobody.
async fn take_up_all(daemon: &Daemon) {
    while let Err(error) = look_at_all(daemon).await {
        warn!(%error, "run records cannot all be read, trying again");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn look_at_all(daemon: &Daemon) -> Result<(), BusError> {
    // A lease of ours of before, or of somebody who died just now, has run out by then; the rest is held by the living.
    let patience = daemon.timing.lease + 2 * LEASE_POLL;
    let see = |record: RunRecord| {
        if !record.is_told() {
            take_up(daemon, &record.id, patience);
        }
    };
    // One after the other: there may be a hundred thousand that ended long ago.
    daemon.runs.visit_decoded(">", see).await
}

/// Takes up runs whose leases run out, or were given back before their end.
async fn watch_leases(daemon: &Daemon) {
    let bucket = daemon.bus.namespace().bucket_lease();
    loop {
        let watch = async {
            let kv = daemon.bus.kv(&bucket).await?;
            ExpiryWatch::new(&kv, &Daemon::lease_key("*")).await
        };
        match watch.await {
            Ok(watch) => follow(daemon, watch).await,
            Err(error) => debug!(%error, "leases cannot be watched yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        // What ran out meanwhile was not told.
        take_up_all(daemon).await;
    }
}

async fn follow(daemon: &Daemon, mut watch: ExpiryWatch) {
    loop {
        match watch.next().await {
            Ok(KvEvent::Current) => {}
            Ok(KvEvent::Entry(entry)) => match entry.operation {
                Operation::Put => {}
                Operation::Delete | Operation::Expired => {
                    if let Some(id) = Daemon::run_of_lease(&entry.key) {
                        take_up(daemon, id, Duration::ZERO);
                    }
                }
            },
            Err(error) => return debug!(%error, "leases can no longer be watched"),
        }
    }
}

/// Has a task look after a run that nobody looks after, if that is so for as long as `patience`.
fn take_up(daemon: &Daemon, id: &str, patience: Duration) {
    // Remembered at once: a submission of it that comes again must not be taken up beside this.
    if !daemon.remember(id) {
        return;
    }
    let (daemon, id) = (daemon.clone(), id.to_owned());
    let tasks = daemon.tasks.clone();
    tasks.spawn(async move {
        if !succeed(&daemon, &id, patience).await {
            daemon.forget(&id);
        }
    });
}

/// `false` when it is not ours after all; otherwise whoever looks after it gives it back.
async fn succeed(daemon: &Daemon, id: &str, patience: Duration) -> bool {
    match daemon.record(id).await {
        Ok(Some((record, _))) if !record.is_told() => {}
        Ok(_) => return false,
        Err(error) => debug!(experiment = %id, %error, "run record cannot be read"),
    }
    let deadline = tokio::time::Instant::now() + patience;
    let lease = loop {
        match daemon.acquire(id).await {
            Ok(Some(lease)) => break lease,
            Ok(None) if tokio::time::Instant::now() >= deadline => return false,
            Ok(None) => {}
            Err(error) => debug!(experiment = %id, %error, "lease cannot be asked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(LEASE_POLL) => {}
            () = daemon.shutdown.cancelled() => return false,
        }
    };
    // Somebody may have ended it while the lease ran out.
    let (record, revision) = loop {
        match daemon.record(id).await {
            Ok(Some((record, revision))) if !record.is_told() => break (record, revision),
            Ok(_) => {
                give_back(lease).await;
                return false;
            }
            Err(error) => warn!(experiment = %id, %error, "run record cannot be read, trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            () = daemon.shutdown.cancelled() => return false,
        }
    };
    if record.status == RunStatus::Submitted {
        look_after(daemon, record, revision, None, lease).await;
        return true;
    }
    go_on(daemon, record, revision, lease).await
}

/// Goes on with a run that a daemon had begun with.
async fn go_on(daemon: &Daemon, record: RunRecord, revision: u64, lease: Lease) -> bool {
    let id = record.id.clone();
    info!(experiment = %id, status = record.status.name(), "nobody looks after it");
    let span = info_span!("succeed", "otel.name" = "take experiment over", nuncius.experiment.id = %id);
    // Gives everything back where it cannot.
    let Some(mut running) = Running::take(daemon, record, revision, lease, span.clone()).await else { return true };
    running.journal.recall().await;
    if running.journal.record.status == RunStatus::Cancelled {
        let reason = running.journal.record.reason.clone().unwrap_or_else(|| CANCELLED_WAITING.to_owned());
        finish::never_ran(&mut running, RunStatus::Cancelled, &reason).instrument(span).await;
        leave(daemon, &id, running.lease).await;
        return true;
    }
    if running.journal.record.spec.is_study() {
        count(&FIGURES.takeovers);
        run(running, None).await;
        return true;
    }
    match left(&running).instrument(span.clone()).await {
        Ok(left) => {
            count(&FIGURES.takeovers);
            run(running, left).await;
        }
        Err(Stopped::Failed(problem) | Stopped::Cancelled(problem)) => {
            let reason = format!("daemon lost, and the run cannot go on: {problem}");
            finish::never_ran(&mut running, RunStatus::Failed, &reason).instrument(span).await;
            leave(daemon, &id, running.lease).await;
        }
        Err(Stopped::NotOurs(error)) => {
            warn!(experiment = %id, %error, "leaving the run alone");
            leave(daemon, &id, running.lease).await;
        }
    }
    true
}

/// Where the run stands; `None` when nothing was offered yet, so that it starts anew.
async fn left(running: &Running) -> Result<Option<Left>, Stopped> {
    let (daemon, record) = (&running.daemon, &running.journal.record);
    let is_offered = matches!(record.status, RunStatus::Running | RunStatus::Draining);
    // Before anything is read: whoever looked after it may live, and be about to let its nodes go.
    let mut standings = ask_standings(running, record.nodes.iter().map(|node| node.name.as_str())).await;
    let (id, token) = (record.id.as_str(), record.token);
    let bytes = running.insist("where it stood cannot be read", || checkpoint::load(daemon, id, token)).await?;
    let checkpoint: Option<Checkpoint> = bytes
        .map(|bytes| codec::decode_own(&bytes))
        .transpose()
        .map_err(|error| Stopped::Failed(format!("where it stood cannot be read: {error}")))?;
    let checkpoint = match checkpoint.filter(|checkpoint| checkpoint.attempt == record.attempt) {
        Some(checkpoint) => checkpoint,
        None if is_offered => return Err(Stopped::Failed("where it stood is not on the bus".to_owned())),
        None => return Ok(None),
    };
    // The record does not name all nodes of a very large run.
    let named: BTreeSet<&str> = record.nodes.iter().map(|node| node.name.as_str()).collect();
    let others = checkpoint.nodes.iter().map(|node| node.name.as_str()).filter(|name| !named.contains(name));
    standings.extend(ask_standings(running, others).await);
    if !is_offered && checkpoint.progress.is_none() && !has_begun(daemon, &checkpoint, id, &standings).await {
        return Ok(None);
    }
    let names: Vec<String> = checkpoint.nodes.iter().map(|node| node.name.clone()).collect();
    let (offsets, _) = measure_clocks(&daemon.bus, &names, daemon.timing.command, Duration::ZERO).await;
    let start_at_ns = start_at(&checkpoint, &standings, &offsets);
    // Ours, before the record says that ours counts: should we die now, the next one finds it.
    let bytes = codec::encode(&checkpoint).map_err(|error| Stopped::Failed(error.to_string()))?;
    let (bus, ours) = (&daemon.bus, running.lease.token());
    running.insist("where it stood cannot be stored", || checkpoint::store(bus, id, ours, &bytes)).await?;
    let told = format!("daemon {} watches the run from here on: the one before is lost", daemon.name);
    let plan = checkpoint.plan();
    let Checkpoint { start_unix_ns, horizon_ns, progress, given, .. } = checkpoint;
    let begun = Begun { start_at_ns, start_unix_ns, horizon_ns, offsets, progress };
    Ok(Some(Left { plan, begun, given, told, token }))
}

/// Whether anything was offered, or may yet be by a node that does not answer.
async fn has_begun(daemon: &Daemon, checkpoint: &Checkpoint, id: &str, standings: &BTreeMap<String, Standing>) -> bool {
    let has_nothing = checkpoint.nodes.iter().all(|node| match standings.get(&node.name) {
        Some(Standing::At { horizon_ns, .. }) => *horizon_ns == 0,
        // It was told to stop, or has come to its end: then it has told what it offered.
        Some(Standing::Idle { epoch }) => *epoch == node.epoch,
        None => false,
    });
    if !has_nothing {
        return true;
    }
    let told = async {
        let namespace = daemon.bus.namespace();
        let mut reading = Reading::open(&daemon.bus, namespace.stream_metric(), namespace.metric_all(id)).await?;
        while let Some(message) = reading.next().await? {
            let Ok(delta) = codec::decode::<MetricDelta>(&message.payload) else { continue };
            if delta.attempt == checkpoint.attempt && delta.steps.iter().any(|step| step.planned > 0) {
                return Ok(true);
            }
        }
        Ok::<_, RestoreError>(false)
    };
    // What cannot be known is taken for begun: it is told as a deficit then, and never offered twice.
    told.await.unwrap_or(true)
}

/// Asks nodes where they stand. Whoever answers has heard of the new token, and no longer obeys the daemon before.
/// Those that are at another attempt are left out.
async fn ask_standings<'a>(running: &Running, names: impl Iterator<Item = &'a str>) -> BTreeMap<String, Standing> {
    let record = &running.journal.record;
    let (token, of_run) = (running.lease.token(), record.attempt);
    let inquire = |node: &str| {
        let inquire = Inquire { experiment: record.id.clone(), token, attempt: of_run };
        (node.to_owned(), NodeCommand::Inquire(inquire))
    };
    let timeout = running.daemon.timing.command;
    let mut standings = inquire_all(&running.daemon.bus, names.map(inquire).collect(), timeout).await;
    standings.retain(|_, standing| match standing {
        Standing::At { attempt, .. } => *attempt == of_run,
        Standing::Idle { .. } => true,
    });
    standings
}

/// The instant zero on our clock: as a node has it, or by the wall clock where none answers.
fn start_at(
    checkpoint: &Checkpoint,
    standings: &BTreeMap<String, Standing>,
    offsets: &BTreeMap<String, Offset>,
) -> u64 {
    let of_node = standings.iter().find_map(|(node, standing)| match standing {
        Standing::At { start_at_ns: Some(start_at_ns), .. } => {
            Some(start_at_ns.saturating_add_signed(offsets.get(node)?.offset_ns.saturating_neg()))
        }
        Standing::At { start_at_ns: None, .. } | Standing::Idle { .. } => None,
    });
    of_node.unwrap_or_else(|| {
        let since_ns = unix_ns().saturating_sub(checkpoint.start_unix_ns);
        monotonic_ns().saturating_sub(since_ns)
    })
}
