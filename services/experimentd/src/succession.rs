//! Whose run it is: a run whose daemon is gone is taken up by another, or by the same one restarted, as soon as its
//! lease has run out, and goes on where it stood.
//!
//! A run that waited goes on waiting. One that was to be started and has offered nothing is started anew, as another
//! attempt. One whose load is offered is watched from its last checkpoint on: nodes go on, to their horizons, whoever
//! watches. One that has come to its end gets the verdict that its books give.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::clock::{Offset, monotonic_ns, unix_ns};
use nuncius_bus::expiry::ExpiryWatch;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::lease::Lease;
use nuncius_schemas::codec;
use nuncius_schemas::node::{Inquire, NodeCommand};
use nuncius_schemas::run::{RunRecord, RunStatus};
use tracing::{Instrument, debug, info, info_span, warn};

use crate::checkpoint::{self, Checkpoint};
use crate::daemon::{Daemon, give_back};
use crate::finish;
use crate::fleet::{Standing, inquire_all, measure_clocks};
use crate::intake::{CANCELLED_WAITING, look_after};
use crate::plan::Plan;
use crate::run::{self, Running};
use crate::watch::Begun;

/// How often a lease that somebody holds is asked for, while a daemon begins: its own of before runs out by itself.
const LEASE_POLL: Duration = Duration::from_millis(300);
/// Pause before something that the bus could not do is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A run that another daemon has left while its load was offered.
pub(crate) struct Left {
    pub(crate) plan: Plan,
    pub(crate) begun: Begun,
    /// What happened, for people.
    pub(crate) told: String,
    /// Whoever wrote where it stood.
    pub(crate) token: u64,
}

/// Takes up what has no end and no daemon, and goes on doing so.
pub(crate) async fn begin(daemon: &Daemon) {
    let watching = daemon.clone();
    daemon.tasks.spawn(async move {
        let shutdown = watching.shutdown.clone();
        tokio::select! {
            () = watch_leases(&watching) => {}
            () = shutdown.cancelled() => {}
        }
    });
    take_up_all(daemon).await;
}

/// Looks at every record on the bus once.
async fn take_up_all(daemon: &Daemon) {
    let keys = match daemon.runs.keys().await {
        Ok(keys) => keys,
        Err(error) => return warn!(%error, "run records cannot be read"),
    };
    // A lease of ours of before, or of somebody who died just now, has run out by then; the rest is held by the living.
    let patience = daemon.timing.lease + 2 * LEASE_POLL;
    for id in keys {
        match daemon.record(&id).await {
            Ok(Some((record, _))) if !record.is_told() => take_up(daemon, &id, patience),
            Ok(_) => {}
            Err(error) => warn!(experiment = %id, %error, "run record cannot be read"),
        }
    }
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
        give_back(running.lease).await;
        daemon.forget(&id);
        return true;
    }
    match left(&running).instrument(span.clone()).await {
        Ok(left) => run::run(running, left).await,
        Err(problem) => {
            let reason = format!("daemon lost, and the run cannot go on: {problem}");
            finish::never_ran(&mut running, RunStatus::Failed, &reason).instrument(span).await;
            give_back(running.lease).await;
            daemon.forget(&id);
        }
    }
    true
}

/// Where the run stands; `None` when nothing was offered yet, so that it starts anew.
async fn left(running: &Running) -> Result<Option<Left>, String> {
    let (daemon, record) = (&running.daemon, &running.journal.record);
    let checkpoint = loop {
        match checkpoint::load(daemon, &record.id, record.token).await {
            Ok(found) => break found.filter(|checkpoint| checkpoint.attempt == record.attempt),
            Err(error) if daemon.shutdown.is_cancelled() => return Err(error),
            Err(error) if daemon.bus.connected_for() > daemon.timing.command => return Err(error),
            Err(error) => debug!(experiment = %record.id, error, "checkpoint cannot be read yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    let is_offered = matches!(record.status, RunStatus::Running | RunStatus::Draining);
    let checkpoint = match checkpoint {
        Some(checkpoint) => checkpoint,
        None if is_offered => return Err("where it stood is not on the bus".to_owned()),
        None => return Ok(None),
    };
    let names: Vec<String> = checkpoint.nodes.iter().map(|node| node.name.clone()).collect();
    let standings = standings(running, &checkpoint, &names).await;
    let nothing_offered = names.iter().all(|name| standings.get(name).is_some_and(|at| at.horizon_ns == 0));
    if !is_offered && nothing_offered && checkpoint.progress.is_none() {
        return Ok(None);
    }
    let (offsets, _) = measure_clocks(&daemon.bus, &names, daemon.timing.command, Duration::ZERO).await;
    let start_at_ns = start_at(&checkpoint, &standings, &offsets);
    // Ours, before the record says that ours counts: should we die now, the next one finds it.
    let bytes = codec::encode(&checkpoint).map_err(|error| error.to_string())?;
    let stored = checkpoint::store(&daemon.bus, &record.id, running.lease.token(), &bytes).await;
    stored.map_err(|error| error.to_string())?;
    let token = record.token;
    let told = format!("daemon {} watches the run from here on: the one before is lost", daemon.name);
    let plan = checkpoint.plan();
    let Checkpoint { start_unix_ns, horizon_ns, progress, .. } = checkpoint;
    Ok(Some(Left { plan, begun: Begun { start_at_ns, start_unix_ns, horizon_ns, offsets, progress }, told, token }))
}

/// Asks all nodes where they stand. Whoever answers has heard of the new token, and no longer obeys the daemon before.
async fn standings(running: &Running, checkpoint: &Checkpoint, names: &[String]) -> BTreeMap<String, Standing> {
    let (id, token, attempt) = (&running.journal.record.id, running.lease.token(), checkpoint.attempt);
    let inquire =
        |node: &String| (node.clone(), NodeCommand::Inquire(Inquire { experiment: id.clone(), token, attempt }));
    let timeout = running.daemon.timing.command;
    let mut standings = inquire_all(&running.daemon.bus, names.iter().map(inquire).collect(), timeout).await;
    standings.retain(|_, standing| standing.attempt == attempt);
    standings
}

/// The instant zero on our clock: as a node has it, or by the wall clock where none answers.
fn start_at(
    checkpoint: &Checkpoint,
    standings: &BTreeMap<String, Standing>,
    offsets: &BTreeMap<String, Offset>,
) -> u64 {
    let of_node = standings.iter().find_map(|(node, standing)| {
        let start_at_ns = standing.start_at_ns?;
        Some(start_at_ns.saturating_add_signed(offsets.get(node)?.offset_ns.saturating_neg()))
    });
    of_node.unwrap_or_else(|| {
        let since_ns = unix_ns().saturating_sub(checkpoint.start_unix_ns);
        monotonic_ns().saturating_sub(since_ns)
    })
}
