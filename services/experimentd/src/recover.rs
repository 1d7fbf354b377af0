//! After a restart: runs that waited go on waiting; a run that was under way when its daemon died ends as
//! `failed: daemon lost`, with everything that its nodes had stored until then in the books.
//!
//! The load is never offered twice: nodes that are still at it are stopped, and nobody is started again.

use std::time::Duration;

use nuncius_bus::tail::Start;
use nuncius_schemas::codec;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_stats::Incarnation;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::daemon::{Daemon, give_back};
use crate::finish;
use crate::fleet::command_all;
use crate::intake::{CANCELLED_WAITING, look_after};
use crate::judge::{Judge, steps_per_group};
use crate::offered::scheduled;
use crate::plan::Plan;
use crate::run::Running;
use crate::seconds::{Closing, Seconds};
use crate::start::stop_command;
use crate::summary::Ended;
use crate::tell::Teller;
use crate::totals::RunTotals;
use crate::watch::Offered;

/// How often a lease of the dead daemon is looked at; it expires by itself.
const LEASE_POLL: Duration = Duration::from_millis(500);
/// How long nothing may come from the nodes before the books are closed.
const QUIET: Duration = Duration::from_secs(3);
/// Longest that the nodes of an orphan are waited for.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(30);

/// Looks at every record on the bus and takes up what has no end.
pub(crate) async fn recover(daemon: &Daemon) {
    let keys = match daemon.runs.keys().await {
        Ok(keys) => keys,
        Err(error) => return warn!(%error, "run records cannot be read"),
    };
    for id in keys {
        match daemon.record(&id).await {
            Ok(Some((record, _))) if is_told(&record) => {}
            Ok(Some((record, revision))) => {
                // Remembered before submissions are taken: one that comes again must not be taken up beside this.
                if !daemon.remember(&id) {
                    continue;
                }
                let daemon = daemon.clone();
                let tasks = daemon.tasks.clone();
                tasks.spawn(async move { orphan(&daemon, record, revision).await });
            }
            Ok(None) => {}
            Err(error) => warn!(experiment = %id, error, "run record cannot be read"),
        }
    }
}

/// Whether it has ended and its end was told. One that was cancelled by writing its record, while no daemon ran, has
/// neither an event nor a report of that yet.
fn is_told(record: &RunRecord) -> bool {
    record.status.is_terminal() && !(record.status == RunStatus::Cancelled && record.ended_unix_ms.is_none())
}

async fn orphan(daemon: &Daemon, record: RunRecord, revision: u64) {
    let id = record.id.clone();
    let lease = loop {
        match daemon.acquire(&id).await {
            Ok(Some(lease)) => break lease,
            Ok(None) => {}
            Err(error) => warn!(experiment = %id, %error, "lease cannot be asked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(LEASE_POLL) => {}
            () = daemon.shutdown.cancelled() => return daemon.forget(&id),
        }
    };
    // Somebody may have ended it while the lease ran out.
    let (record, revision) = match daemon.record(&id).await {
        Ok(Some(now)) => now,
        _ => (record, revision),
    };
    if is_told(&record) {
        give_back(lease).await;
        return daemon.forget(&id);
    }
    if record.status == RunStatus::Submitted {
        return look_after(daemon, record, revision, None, lease).await;
    }
    info!(experiment = %id, status = record.status.name(), "nobody looks after it");
    let span = info_span!("recover", "otel.name" = "recover experiment", nuncius.experiment.id = %id);
    let Some(mut running) = Running::take(daemon, record, revision, lease, span.clone()).await else { return };
    if running.journal.record.status == RunStatus::Cancelled {
        let reason = running.journal.record.reason.clone().unwrap_or_else(|| CANCELLED_WAITING.to_owned());
        finish::never_ran(&mut running, RunStatus::Cancelled, &reason).instrument(span).await;
    } else {
        close_books(&mut running).instrument(span).await;
    }
    give_back(running.lease).await;
    daemon.forget(&id);
}

async fn close_books(running: &mut Running) {
    let record = running.journal.record.clone();
    let spec = &record.spec;
    let names: Vec<String> = record.nodes.iter().map(|node| node.name.clone()).collect();
    running.control.close();
    let stop = |name: &String| (name.clone(), stop_command(running, spec.drain.0, "the daemon was lost"));
    let timeout = running.daemon.timing.command;
    for error in command_all(&running.daemon.bus, names.iter().map(stop).collect(), timeout).await {
        debug!(%error, "stop had no effect");
    }
    let namespace = running.daemon.bus.namespace().clone();
    let tail = running.daemon.bus.tail(&namespace.stream_metric(), &namespace.metric_all(&record.id), Start::All).await;
    let mut tail = match tail {
        Ok(tail) => tail,
        Err(error) => return warn!(%error, "deltas cannot be read: the run stays as it is for the next daemon"),
    };
    let mut totals = RunTotals::new(steps_per_group(spec));
    for node in &record.nodes {
        totals.enroll(&node.name, Incarnation { epoch: node.epoch, attempt: record.attempt });
    }
    let nodes_of = |group: usize| {
        let selected = spec.groups.get(group).is_some_and(|group| group.rate_per_node);
        if selected { u32::try_from(names.len()).unwrap_or(1) } else { 1 }
    };
    let nodes_per_group: Vec<u32> = (0..spec.groups.len()).map(nodes_of).collect();
    let mut judge = Judge::new(spec, &nodes_per_group);
    let deadline = tokio::time::Instant::now() + ORPHAN_PATIENCE;
    let quiet = QUIET + spec.drain.to_std();
    while !names.iter().all(|name| totals.is_complete(name)) {
        let until = deadline.min(tokio::time::Instant::now() + quiet);
        match tokio::time::timeout_at(until, tail.next()).await {
            Ok(Ok(message)) => {
                let delta = codec::decode::<MetricDelta>(&message.payload).ok();
                let expected = |delta: &MetricDelta| {
                    record.nodes.iter().any(|node| node.name == delta.node && node.epoch == delta.epoch)
                        && delta.attempt == record.attempt
                };
                if let Some(delta) = delta.filter(expected)
                    && let Err(error) = totals.merge(&delta)
                {
                    warn!(%error, "a delta cannot be merged");
                }
            }
            Ok(Err(error)) => {
                warn!(%error, "deltas cannot be read");
                tokio::time::sleep(LEASE_POLL).await;
            }
            Err(_) => break,
        }
    }
    let start_unix_ns = record.started_unix_ms.unwrap_or(0).saturating_mul(1_000_000);
    let mut seconds = Seconds::new(&record.id, spec, &nodes_per_group, start_unix_ns);
    let teller = Teller::start(running.daemon.bus.clone(), running.daemon.store.clone());
    let closing = Closing { status: record.status, stopped_ns: None, ended_ns: None };
    for (second, closed) in totals.close_before(u32::MAX) {
        let _ = judge.add_second(second, &closed);
        seconds.close(second, &closed, &closing).into_iter().for_each(|told| teller.tell(told));
    }
    teller.end().await;
    // It was stopped, nobody knows when: after what was offered last.
    if seconds.last_offered_ns() > 0 {
        judge.end_at(seconds.last_offered_ns());
    }
    let over_time = seconds.over_time();
    let scheduled: Vec<Option<u64>> = spec
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| scheduled(spec, u16::try_from(index).unwrap_or(u16::MAX), group, nodes_of(index)))
        .collect();
    let gates = judge.decide(&totals.steps, &[]).gates;
    let offered_time = judge.offered();
    let plan = Plan { nodes: record.nodes.clone(), assignments: Default::default(), nodes_per_group: Vec::new() };
    let (clocks, lost) = (Default::default(), Default::default());
    let offered = Offered { totals, judge, clocks, lost, cut_short: None, pressure_problems: Vec::new(), over_time };
    let nodes = finish::node_reports(running, &plan, &offered);
    let Offered { totals, over_time, .. } = offered;
    let reasons = vec!["daemon lost: the run was cut short and its books closed after the restart".to_owned()];
    let ended = Ended {
        status: RunStatus::Failed,
        verdict: Some(Verdict::Invalid),
        reasons,
        gates,
        nodes,
        events: Vec::new(),
        offered: offered_time,
        over_time,
        unaccounted: 0,
    };
    finish::end(running, ended, &totals, &scheduled).await;
}
