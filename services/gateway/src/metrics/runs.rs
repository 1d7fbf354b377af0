//! The runs that are shown: found by their records, followed second by second until some minutes after their end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nuncius_bus::clock::unix_ms;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_bus::{Bus, BusError};
use nuncius_metrics::Families;
use nuncius_metrics::names::gateway;
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::second::ExperimentSecond;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, FoldedCounts};
use super::own::What;
use super::run::Run;
use super::{MetricsSettings, MetricsState};

/// Pause before something is tried again that the bus refused.
const PAUSE: Duration = Duration::from_secs(1);

/// The runs.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    runs: BTreeMap<String, Followed>,
    /// Runs beyond as many as are shown.
    left_out: u64,
}

/// A run that is followed.
#[derive(Debug)]
struct Followed {
    run: Run,
    budget: Budget,
    /// When it was seen to have ended; or, of one that had ended before, as long ago as that was.
    ended: Option<Instant>,
    submitted_unix_ms: u64,
    stop: CancellationToken,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of all runs; those that ended long ago are forgotten.
    pub(crate) fn families(&self, now: Instant, settings: &MetricsSettings, counts: &mut FoldedCounts) -> Families {
        let mut known = self.lock();
        known.forget_ended(now, settings.ended_for);
        let mut families = Families::new();
        for followed in known.runs.values_mut() {
            let (bounded, folded) = followed.budget.bound(followed.run.families(), settings.family_series_max);
            families.append(bounded);
            folded.add_to(&mut families, &[followed.run.id()], counts);
        }
        families.count(&gateway::RUNS, &[], known.runs.len() as u64);
        families.count(&gateway::LEFT_OUT_RUNS, &[], known.left_out);
        families
    }

    /// Changes of seconds that came too late to be shown.
    pub(crate) fn late_seconds(&self) -> u64 {
        self.lock().runs.values().map(|followed| followed.run.late_seconds).sum()
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Run)) {
        if let Some(followed) = self.lock().runs.get_mut(id) {
            change(&mut followed.run);
        }
    }
}

impl Known {
    fn forget_ended(&mut self, now: Instant, ended_for: Duration) {
        self.runs.retain(|_, followed| {
            let is_shown = followed.ended.is_none_or(|ended| now.saturating_duration_since(ended) < ended_for);
            if !is_shown {
                followed.stop.cancel();
            }
            is_shown
        });
    }

    /// Of more than so many the oldest goes.
    fn make_room(&mut self, runs_max: usize) {
        while self.runs.len() > runs_max.max(1) {
            let oldest = self.runs.iter().min_by_key(|(_, followed)| followed.submitted_unix_ms);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else { return };
            if let Some(gone) = self.runs.remove(&id) {
                gone.stop.cancel();
                self.left_out += 1;
            }
        }
    }
}

/// Follows the records of runs, and every run that is under way or ended a short time ago.
///
/// # Errors
/// [`BusError`] where the records may not be watched.
pub(crate) async fn follow(
    state: MetricsState,
    shutdown: CancellationToken,
) -> Result<futures_util::future::BoxFuture<'static, ()>, BusError> {
    let bucket = state.bus.kv(&state.bus.namespace().bucket_run()).await?;
    let mut records = bucket.watch("*").await?;
    Ok(Box::pin(async move {
        loop {
            match records.next().await {
                Ok(KvEvent::Entry(entry)) if entry.operation == Operation::Put => {
                    match codec::decode::<RunRecord>(&entry.value) {
                        Ok(record) if record.id == entry.key => note(&state, &record, &shutdown),
                        Ok(_) | Err(_) => state.shown.own.unreadable(What::Record),
                    }
                }
                // Removed on request: nobody asks for it any more.
                Ok(KvEvent::Entry(entry)) => {
                    if let Some(gone) = state.shown.runs.lock().runs.remove(&entry.key) {
                        gone.stop.cancel();
                    }
                }
                Ok(KvEvent::Current) => {}
                Err(BusError::Closed) => return,
                Err(error) => {
                    tracing::debug!(%error, "records of runs are not followed at present");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }))
}

/// Takes a record: of a run that is new to be shown a task follows what is told.
fn note(state: &MetricsState, record: &RunRecord, shutdown: &CancellationToken) {
    let settings = &state.shown.settings;
    let now = Instant::now();
    let over_for = record
        .status
        .is_terminal()
        .then(|| Duration::from_millis(record.ended_unix_ms.map_or(0, |ended| unix_ms().saturating_sub(ended))));
    let mut known = state.shown.runs.lock();
    if let Some(followed) = known.runs.get_mut(&record.id)
        && followed.submitted_unix_ms == record.submitted_unix_ms
    {
        followed.run.recorded(record);
        if followed.run.is_over() {
            followed.ended.get_or_insert(now);
        }
        return;
    }
    if over_for.is_some_and(|over_for| over_for >= settings.ended_for) {
        return;
    }
    // The same id again is another experiment.
    if let Some(before) = known.runs.remove(&record.id) {
        before.stop.cancel();
    }
    let stop = shutdown.child_token();
    let followed = Followed {
        run: Run::new(record, settings.family_series_max),
        budget: Budget::default(),
        ended: over_for.map(|over_for| now.checked_sub(over_for).unwrap_or(now)),
        submitted_unix_ms: record.submitted_unix_ms,
        stop: stop.clone(),
    };
    known.runs.insert(record.id.clone(), followed);
    known.make_room(settings.runs_max);
    drop(known);
    let (state, id) = (state.clone(), record.id.clone());
    tokio::spawn(async move {
        let told = tell(&state, &id);
        tokio::select! {
            () = told => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Hears everything that is told of a run, from its beginning.
async fn tell(state: &MetricsState, id: &str) {
    let names = state.bus.namespace().clone();
    let seconds = read(&state.bus, names.stream_second(), names.experiment_second(id), |message| {
        match codec::decode::<ExperimentSecond>(&message.payload) {
            Ok(second) if second.experiment == id => state.shown.runs.with(id, |run| run.second(&second)),
            Ok(_) | Err(_) => state.shown.own.unreadable(What::Second),
        }
    });
    let events = read(&state.bus, names.stream_event(), names.experiment_event(id), |message| {
        match codec::decode::<ExperimentEvent>(&message.payload) {
            Ok(event) if event.experiment == id => state.shown.runs.with(id, |run| run.event(&event)),
            Ok(_) | Err(_) => state.shown.own.unreadable(What::Event),
        }
    });
    tokio::join!(seconds, events);
}

/// Gives every message of a subject to `take`, until the connection is closed.
async fn read(bus: &Bus, stream: String, subject: String, take: impl Fn(&StoredMessage)) {
    let mut tail: Option<Tail> = None;
    loop {
        let Some(open) = &mut tail else {
            match bus.tail(&stream, &subject, Start::All).await {
                Ok(opened) => tail = Some(opened),
                Err(BusError::Closed) => return,
                Err(error) => {
                    tracing::debug!(stream, %error, "not read at present");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            continue;
        };
        match open.next().await {
            Ok(message) => take(&message),
            Err(BusError::Closed) => return,
            Err(error) => {
                tracing::debug!(stream, %error, "not read at present");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
