//! Studies: experiments that are a series of experiments, searches and sweeps. A study offers no load itself: it
//! submits one experiment after the other, as anybody would, and looks how each came out.
//!
//! Where it stands is stored after each of them, and every experiment has an id that follows from the study: a daemon
//! that takes a study over goes on where it was, and runs none twice.
//!
//! Layout: `member` runs one experiment of a study; `search` and `sweep` say which comes next and what came of all, in
//! the form of `wanted`.

use nuncius_schemas::codec;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_search::search::SearchState;
use serde::{Deserialize, Serialize};
use tracing::{Instrument, warn};

use crate::checkpoint;
use crate::finish;
use crate::judge::OfferedSeconds;
use crate::running::{Running, Stopped, leave};
use crate::summary::{Ended, OverTime, StudyReport};
use crate::totals::RunTotals;

mod member;
mod search;
mod sweep;
mod wanted;

use sweep::SweepState;
use wanted::{Conclusion, Wanted};

/// Where a study stands.
#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    state: State,
    /// When it began, milliseconds since the Unix epoch.
    started_unix_ms: u64,
    /// The experiment that runs was cut short by this daemon's own end: it says nothing of the target.
    is_interrupted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Search(SearchState),
    Sweep(SweepState),
}

/// Runs a study to its end, from where it stood, if it did. Never fails: whatever happens is written down.
pub(crate) async fn run(mut running: Running) {
    let span = running.span.clone();
    let id = running.journal.record.id.clone();
    async {
        match go_through(&mut running).await {
            Ok((standing, conclusion)) => end(&mut running, &standing, conclusion).await,
            Err((standing, Stopped::Failed(reason))) => {
                stopped(&mut running, standing, RunStatus::Failed, reason).await;
            }
            Err((standing, Stopped::Cancelled(reason))) => {
                stopped(&mut running, standing, RunStatus::Cancelled, reason).await;
            }
            Err((_, Stopped::NotOurs(error))) => warn!(experiment = %id, %error, "leaving the study alone"),
        }
    }
    .instrument(span)
    .await;
    if running.journal.record.status.is_terminal() {
        checkpoint::forget(&running.daemon.bus, &id, running.journal.record.token).await;
    }
    leave(&running.daemon, &id, running.lease).await;
}

/// One experiment after the other.
async fn go_through(running: &mut Running) -> Result<(Standing, Conclusion), (Option<Standing>, Stopped)> {
    let mut standing = begin(running).await.map_err(|stopped| (None, stopped))?;
    loop {
        let wanted = match standing.next(&running.journal.record) {
            Ok(wanted) => wanted,
            Err(problem) => return Err((Some(standing), Stopped::Failed(problem))),
        };
        let Some(wanted) = wanted else {
            let conclusion = standing.conclusion(&running.journal.record);
            return Ok((standing, conclusion));
        };
        if let Err(stopped) = take_in(running, &mut standing, wanted).await {
            if running.daemon.shutdown.is_cancelled() {
                standing.is_interrupted = true;
                // Whoever goes on without it takes an experiment that we cut short for the target's.
                let _ = store(running, &standing).await;
            }
            return Err((Some(standing), stopped));
        }
    }
}

/// Where the study stands: as it was left, or at its beginning.
async fn begin(running: &mut Running) -> Result<Standing, Stopped> {
    let (before, id) = (running.journal.record.token, running.journal.record.id.clone());
    let daemon = running.daemon.clone();
    let bytes = running.insist("where it stood cannot be read", || checkpoint::load(&daemon, &id, before)).await?;
    let left: Option<Standing> = bytes
        .map(|bytes| codec::decode_own(&bytes))
        .transpose()
        .map_err(|error| Stopped::Failed(format!("where it stood cannot be read: {error}")))?;
    let is_new = left.is_none();
    let standing = match left {
        Some(left) => left,
        None => Standing::new(&running.journal.record.spec).map_err(Stopped::Failed)?,
    };
    // Ours, before the record says that ours counts: should we die now, the next one finds it.
    store(running, &standing).await?;
    running.journal.record.token = running.lease.token();
    if running.journal.record.status == RunStatus::Running {
        running.journal.write().await?;
        let told = format!("daemon {} goes on with it: the one before is lost", running.daemon.name);
        running.journal.say(EventKind::Warning, &told, Default::default()).await;
    } else {
        let told = if is_new { "running" } else { "going on" };
        running.journal.status(RunStatus::Running, told).await?;
    }
    if before != running.lease.token() {
        checkpoint::forget(&running.daemon.bus, &running.journal.record.id, before).await;
    }
    Ok(standing)
}

async fn store(running: &Running, standing: &Standing) -> Result<(), Stopped> {
    let bytes = codec::encode(standing).map_err(|error| Stopped::Failed(error.to_string()))?;
    let (bus, id, token) = (&running.daemon.bus, &running.journal.record.id, running.lease.token());
    running.insist("where it stands cannot be stored", || checkpoint::store(bus, id, token, &bytes)).await
}

/// Runs one experiment, and notes how it came out.
async fn take_in(running: &mut Running, standing: &mut Standing, wanted: Wanted) -> Result<(), Stopped> {
    let told = wanted.told;
    running.journal.say(EventKind::Experiment, &told, member::data_of(&wanted.spec)).await;
    let record = member::run(running, &wanted.spec).await?;
    let outcome = standing.note(running, &record).await?;
    let text = match &record.reason {
        Some(reason) => format!("{told}: {outcome} ({reason})"),
        None => format!("{told}: {outcome}"),
    };
    running.journal.say(EventKind::Experiment, &text, member::data_of(&wanted.spec)).await;
    running.keep_lease().await?;
    store(running, standing).await
}

impl Standing {
    fn new(spec: &ExperimentSpec) -> Result<Self, String> {
        let state = match (&spec.search, &spec.sweep) {
            (Some(search), _) => State::Search(SearchState::new(search.clone()).map_err(|error| error.to_string())?),
            (None, Some(_)) => State::Sweep(SweepState::default()),
            (None, None) => return Err("it is neither a search nor a sweep".to_owned()),
        };
        Ok(Self { state, started_unix_ms: nuncius_clock::unix_ms(), is_interrupted: false })
    }

    /// The next experiment; `None` when there is none any more.
    fn next(&self, record: &RunRecord) -> Result<Option<Wanted>, String> {
        match &self.state {
            State::Search(state) => search::next(state, record),
            State::Sweep(state) => sweep::next(state, record),
        }
    }

    /// Notes how an experiment came out; in a word.
    async fn note(&mut self, running: &Running, member: &RunRecord) -> Result<String, Stopped> {
        let was_interrupted = std::mem::take(&mut self.is_interrupted);
        match &mut self.state {
            State::Search(state) => search::note(state, member, was_interrupted).map_err(Stopped::Failed),
            State::Sweep(state) => Ok(sweep::note(state, running, member).await),
        }
    }

    fn conclusion(&self, record: &RunRecord) -> Conclusion {
        match &self.state {
            State::Search(state) => search::conclusion(state),
            State::Sweep(state) => sweep::conclusion(state, record),
        }
    }

    fn report(&self, record: &RunRecord) -> Option<StudyReport> {
        match &self.state {
            State::Search(state) => {
                let report = nuncius_search::search::report(state, &record.id, self.started_unix_ms);
                Some(StudyReport::Search(Box::new(report)))
            }
            State::Sweep(state) => {
                let report = sweep::report(state, record, self.started_unix_ms)?;
                Some(StudyReport::Sweep(Box::new(report)))
            }
        }
    }
}

/// Ends a study that did not come to its own end, with what it knows, if it had begun.
async fn stopped(running: &mut Running, standing: Option<Standing>, status: RunStatus, reason: String) {
    match standing {
        Some(standing) => {
            let conclusion = Conclusion { status, verdict: Verdict::Undetermined, reasons: vec![reason] };
            end(running, &standing, conclusion).await;
        }
        None => finish::never_ran(running, status, &reason).await,
    }
}

async fn end(running: &mut Running, standing: &Standing, conclusion: Conclusion) {
    running.control.close();
    let Conclusion { status, verdict, reasons } = conclusion;
    let ended = Ended {
        status,
        verdict: (status != RunStatus::Failed).then_some(verdict),
        reasons,
        gates: Vec::new(),
        nodes: Vec::new(),
        machines: Vec::new(),
        events: Vec::new(),
        offered: OfferedSeconds::default(),
        over_time: OverTime::default(),
        unaccounted: 0,
        profiles: Vec::new(),
        study: standing.report(&running.journal.record),
    };
    finish::end(running, ended, &RunTotals::new(Vec::new()), &[]).await;
}
