//! Groups of clients, and the experiments of their work.

use std::time::Duration;

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_control::amend::{self, Amend};
use nuncius_control::cancel::cancel;
use nuncius_control::submit::{fresh_id, submit};
use nuncius_control::{ControlError, experiments, mark, reports};
use nuncius_load::schedule_of;
use nuncius_schemas::amendment::{Change, Multiplier};
use nuncius_schemas::codec;
use nuncius_schemas::interarrival::{CLIENTS_MAX, Interarrival};
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::second::ExperimentSecond;
use nuncius_schemas::spec::limits::AMENDMENTS_MAX;
use nuncius_schemas::submission::Submission;
use nuncius_schemas::units::HumanDuration;
use nuncius_shell::ShellError;

use super::convert::{Load, spec};
use super::state::{Group, Naming, Run, State};
use crate::output::{note, print};

/// How long an experiment may take to begin: nodes get ready for it meanwhile.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often an experiment is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long the report of an experiment that has ended may take to be there.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);

/// Most changes of one experiment: its end is one, too, and has to be possible.
const CHANGES_MAX: usize = AMENDMENTS_MAX - 1;
/// Why it was changed, for the audit.
const REASON: &str = "by the shell";

fn refuse(problem: String) -> anyhow::Error {
    ShellError::Arguments(problem).into()
}

/// The group of a number.
pub(super) fn group(state: &mut State, number: usize) -> Result<&mut Group> {
    state.groups.get_mut(number).ok_or_else(|| refuse("there is no such group".to_owned()))
}

/// The experiment of a group that is under way; one that has ended by itself is told, and forgotten.
async fn under_way(state: &mut State, number: usize) -> Result<Option<Run>> {
    let Some(run) = group(state, number)?.run.clone() else { return Ok(None) };
    let record = experiments::record(&state.bus, &run.id).await?;
    if record.is_some_and(|(record, _)| !record.status.is_terminal()) {
        return Ok(Some(run));
    }
    conclude(state, number).await?;
    Ok(None)
}

/// So many requests a second of each client; 0 pauses.
pub(super) async fn rps(state: &mut State, number: usize, rate: f64) -> Result<()> {
    let run = under_way(state, number).await?;
    match run {
        None if rate == 0.0 => Ok(()),
        Some(_) if rate == 0.0 => pause(state, number, true).await,
        Some(Run { rate: Some(written), .. }) => {
            let factor = Multiplier::new(rate / written).filter(|factor| factor.0 > 0);
            let factor =
                factor.ok_or_else(|| refuse(format!("rps: {rate} is too far from the first rate, {written}")))?;
            steer(state, number, Change::Scale(factor)).await?;
            // What is scaled has as many clients again as were written.
            let Group { count, run, .. } = group(state, number)?;
            let (count, run) = (*count, run.clone());
            if run.as_ref().is_some_and(|run| run.count != count) {
                steer(state, number, Change::Users(count)).await?;
            }
            if run.is_some_and(|run| run.is_paused) { pause(state, number, false).await } else { Ok(()) }
        }
        Some(_) | None => {
            let times =
                Interarrival::new("constant", &[1.0 / rate]).map_err(|error| refuse(format!("rps: {error}")))?;
            start(state, number, Load::Times(times, None), Some(rate)).await.map(drop)
        }
    }
}

/// Gives a group work, in place of what it has; the id of the experiment.
pub(super) async fn start(state: &mut State, number: usize, load: Load, rate: Option<f64>) -> Result<String> {
    conclude(state, number).await?;
    let id = fresh_id();
    let (named, keeps_records) = (state.naming.clone(), state.keeps_records());
    let found = group(state, number)?;
    if found.count == 0 {
        let name = &found.name;
        return Err(refuse(format!("{name} has no clients: give it some with {name}.add(1)")));
    }
    let spec = spec(&id, found, load, named.as_ref(), keeps_records);
    spec.validate().map_err(|error| refuse(error.to_string()))?;
    let is_named = named.is_some();
    // Before it is there: whoever leaves meanwhile ends it.
    found.run = Some(Run { id: id.clone(), rate, count: found.count, is_paused: false, is_named, changes: 0 });
    let told = format!("{id}: {} clients of {} ({})", found.count, found.service, found.name);
    let begun = match submit(&state.bus, &Submission::Spec(Box::new(spec))).await {
        Ok(_) => match mark_all(&state.bus, &id, named.as_ref()).await {
            Ok(()) => begun(&state.bus, &id).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    if let Err(error) = begun {
        // What may begin yet is ended by whoever leaves.
        let record = experiments::record(&state.bus, &id).await?;
        if record.is_none_or(|(record, _)| record.status.is_terminal()) {
            group(state, number)?.run = None;
        }
        return Err(error);
    }
    if let Some(naming) = state.naming.as_mut() {
        naming.has_begun = true;
    }
    print(&told);
    Ok(id)
}

/// Sets the marks that were kept for what begins.
async fn mark_all(bus: &Bus, id: &str, naming: Option<&Naming>) -> Result<()> {
    for kept in naming.iter().flat_map(|naming| &naming.kept) {
        match mark::mark(bus, id, kept).await {
            // Whoever waits for its beginning says why.
            Err(ControlError::Ended { .. } | ControlError::NotDone { .. }) => {
                note(&format!("{id} is over, and is not marked: {}", kept.name));
            }
            marked => marked?,
        }
    }
    Ok(())
}

/// Waits until load is offered.
async fn begun(bus: &Bus, id: &str) -> Result<()> {
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match experiments::record(bus, id).await? {
            Some((RunRecord { status: RunStatus::Running | RunStatus::Draining | RunStatus::Finished, .. }, _)) => {
                return Ok(());
            }
            Some((record, _)) if record.status.is_terminal() => {
                bail!("{id} is {}: {}", record.status.name(), record.reason.unwrap_or_default());
            }
            Some(_) | None if tokio::time::Instant::now() > deadline => {
                cancel(bus, id, REASON, None).await?;
                bail!(
                    "{id} did not begin within {START_PATIENCE:?} and is cancelled: a node takes part in one \
                     experiment at a time, so close the group that has the nodes, or spawn groups on different \
                     `worker_labels`"
                );
            }
            Some(_) | None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Changes the load of a group, and says from when on.
async fn steer(state: &mut State, number: usize, change: Change) -> Result<()> {
    let Some(Run { id, changes, .. }) = group(state, number)?.run.clone() else { return Ok(()) };
    if changes >= CHANGES_MAX {
        return Err(refuse(format!(
            "{id} was changed {CHANGES_MAX} times, which is as often as it can be: close the group"
        )));
    }
    let wanted = Amend { group: None, change, reason: REASON.to_owned(), who: None };
    let at = HumanDuration(amend::amend(&state.bus, &id, &wanted).await?);
    if let Some(run) = group(state, number)?.run.as_mut() {
        run.changes += 1;
    }
    print(&format!("{id}: {} from {at} of run time on, on all nodes", wanted.change.told()));
    Ok(())
}

/// Pauses a group, or lets it go on.
pub(super) async fn pause(state: &mut State, number: usize, is_paused: bool) -> Result<()> {
    let Some(_) = under_way(state, number).await? else {
        let name = &group(state, number)?.name;
        return Err(refuse(format!("{name} has no work: give it some with {name}.rps(1)")));
    };
    steer(state, number, if is_paused { Change::Pause } else { Change::Resume }).await?;
    if let Some(run) = group(state, number)?.run.as_mut() {
        run.is_paused = is_paused;
    }
    Ok(())
}

/// More clients.
pub(super) async fn add(state: &mut State, number: usize, more: u64) -> Result<()> {
    let count = u64::from(group(state, number)?.count).saturating_add(more);
    let count = u32::try_from(count).ok().filter(|count| *count <= CLIENTS_MAX);
    let count = count.ok_or_else(|| refuse(format!("add: more than {CLIENTS_MAX} clients")))?;
    resize(state, number, count).await
}

/// Fewer clients, or none.
pub(super) async fn close(state: &mut State, number: usize, fewer: Option<u64>) -> Result<()> {
    let Group { count, name, .. } = group(state, number)?.clone();
    let left = fewer.map_or(0, |fewer| u64::from(count).saturating_sub(fewer));
    print(&format!("closing {} clients of {name}", u64::from(count) - left));
    match u32::try_from(left) {
        Ok(left) if left > 0 => resize(state, number, left).await,
        Ok(_) | Err(_) => {
            group(state, number)?.count = 0;
            conclude(state, number).await
        }
    }
}

async fn resize(state: &mut State, number: usize, count: u32) -> Result<()> {
    if under_way(state, number).await?.is_some() {
        steer(state, number, Change::Users(count)).await?;
    }
    group(state, number)?.count = count;
    Ok(())
}

/// Ends the work of a group, if it has some, waits for the report and says the verdict.
pub(super) async fn conclude(state: &mut State, number: usize) -> Result<()> {
    let Some(Run { id, .. }) = group(state, number)?.run.clone() else { return Ok(()) };
    let wanted = Amend { group: None, change: Change::End, reason: REASON.to_owned(), who: None };
    match amend::amend(&state.bus, &id, &wanted).await {
        // It has ended by itself, or ends.
        Ok(_) | Err(ControlError::Ended { .. }) => {}
        Err(ControlError::NotDone { .. }) => cancel_waiting(&state.bus, &id).await?,
        Err(ControlError::NoExperiment { .. }) => {
            group(state, number)?.run = None;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    wait(state, number, &id).await
}

/// Cancels an experiment that has not begun; one whose load is over goes on to its end.
async fn cancel_waiting(bus: &Bus, id: &str) -> Result<()> {
    let waits = matches!(
        experiments::record(bus, id).await?,
        Some((RunRecord { status: RunStatus::Submitted | RunStatus::Planned | RunStatus::Preparing, .. }, _))
    );
    match waits {
        true => Ok(cancel(bus, id, REASON, None).await.map(drop)?),
        false => Ok(()),
    }
}

/// Waits for the end of an experiment and says the verdict.
pub(super) async fn wait(state: &mut State, number: usize, id: &str) -> Result<()> {
    let mut planned = None;
    loop {
        match experiments::record(&state.bus, id).await? {
            Some((record, _)) if !record.is_told() => end_if_all_sent(&state.bus, &record, &mut planned).await?,
            Some(_) | None => break,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if let Some(found) = state.groups.get_mut(number).filter(|found| found.run.as_ref().is_some_and(|run| run.id == id))
    {
        found.run = None;
    }
    let deadline = tokio::time::Instant::now() + REPORT_PATIENCE;
    let report = loop {
        match reports::report(&state.bus, id).await {
            Err(ControlError::NoReport { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            other => break other?,
        }
    };
    print(&told(&report));
    Ok(())
}

/// Ends an experiment whose clients have sent all that they were to, and would only wait for the end of its time.
/// `planned` holds how many requests the schedule has after so many amendments.
async fn end_if_all_sent(bus: &Bus, record: &RunRecord, planned: &mut Option<(usize, u64)>) -> Result<()> {
    let Some(found) = record.spec.groups.first() else { return Ok(()) };
    let is_limited = found
        .clients
        .as_ref()
        .is_some_and(|clients| clients.requests.is_some() || matches!(clients.interarrival, Interarrival::List(_)));
    let is_ending = record.spec.amendments.iter().any(|amendment| amendment.change == Change::End);
    if !is_limited || is_ending || record.status != RunStatus::Running {
        return Ok(());
    }
    let changes = record.spec.amendments.len();
    let known = planned.filter(|(at, _)| *at == changes).map(|(_, requests)| requests);
    let requests = match known {
        Some(requests) => requests,
        None => schedule_of(&record.spec, 0, found, 1)?.map(|_| 1u64).sum(),
    };
    *planned = Some((changes, requests));
    if offered(bus, &record.id).await? < requests {
        return Ok(());
    }
    let wanted = Amend { group: None, change: Change::End, reason: REASON.to_owned(), who: None };
    match amend::amend(bus, &record.id, &wanted).await {
        Ok(_) | Err(ControlError::Ended { .. } | ControlError::NotDone { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Verdict, id and numbers of a report, in a line.
fn told(report: &Report) -> String {
    let sum = |part: fn(&nuncius_schemas::report::StepReport) -> u64| -> u64 {
        report.groups.iter().flat_map(|group| &group.steps).map(part).sum()
    };
    let verdict = report.verdict.map_or_else(|| report.status.name(), |verdict| verdict.name());
    let numbers = format!("{} requests, {} failed", sum(|step| step.sent), sum(|step| step.failed));
    let why = report.reasons.first().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}: {verdict}, {numbers}{why}", report.id)
}

/// The last second that the daemon has told.
async fn last_second(bus: &Bus, id: &str) -> Result<Option<ExperimentSecond>> {
    let (stream, subject) = (bus.namespace().stream_second(), bus.namespace().experiment_second(id));
    let last = bus.last_message(&stream, &subject).await?;
    Ok(last.map(|last| codec::decode(&last.payload)).transpose()?)
}

/// Requests that were taken from the schedule so far.
async fn offered(bus: &Bus, id: &str) -> Result<u64> {
    let second = last_second(bus, id).await?;
    Ok(second.map_or(0, |second| second.groups.iter().map(|group| group.so_far.iterations.offered).sum()))
}

/// Sent and failed requests so far.
pub(super) async fn so_far(bus: &Bus, id: &str) -> Result<(u64, u64)> {
    let Some(second) = last_second(bus, id).await? else { return Ok((0, 0)) };
    let sums = second.groups.iter().map(|group| group.so_far.requests);
    Ok(sums.fold((0, 0), |(sent, failed), counts| (sent + counts.sent, failed + counts.failed)))
}

/// Ends everything that runs, and says what.
pub(super) async fn conclude_all(state: &mut State, is_meant: impl Fn(&Run) -> bool) -> Result<()> {
    let meant: Vec<usize> = (0..state.groups.len())
        .filter(|number| state.groups.get(*number).and_then(|group| group.run.as_ref()).is_some_and(&is_meant))
        .collect();
    let mut outcome = Ok(());
    for number in meant {
        if let Err(error) = conclude(state, number).await {
            note(&format!("{error:#}"));
            outcome = Err(error);
        }
    }
    outcome
}
