//! Marks that anybody sets on a run while it is under way: events of kind `user`, told by the task that answers
//! requests, whatever the run is waiting for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nuncius_bus::Bus;
use nuncius_clock::unix_ms;
use nuncius_schemas::event::{EventKind, ExperimentEvent, MARKS_MAX, check_mark};
use nuncius_schemas::redact::redact_message;

/// The marks of one run that this daemon has taken.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    bus: Bus,
    experiment: String,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Vec<ExperimentEvent>,
    /// How many of them the store has been given.
    handed_on: usize,
}

impl Marks {
    pub(crate) fn new(bus: &Bus, experiment: &str) -> Self {
        Self { bus: bus.clone(), experiment: experiment.to_owned(), taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a mark, on the event stream first: of what happens now, or happened at an instant before.
    ///
    /// # Errors
    /// Why not, for whoever asked.
    pub(crate) async fn set(
        &self,
        (name, value): (&str, Option<&str>),
        who: Option<&str>,
        at_unix_ms: Option<u64>,
    ) -> Result<(), String> {
        check_mark(name, value).map_err(|error| error.to_string())?;
        let count = self.taken().all.len();
        if count >= MARKS_MAX {
            return Err(format!("it has {count} marks already, the most that are taken of a run"));
        }
        let now = unix_ms();
        let at_unix_ms = at_unix_ms.map_or(now, |at_unix_ms| at_unix_ms.min(now));
        let event = event(&self.experiment, (name, value), who, at_unix_ms);
        let id = format!("{}-mark-{:016x}", self.experiment, fastrand::u64(..));
        let subject = self.bus.namespace().experiment_event(&self.experiment);
        let stored = self.bus.store_message(&subject, "experiment-event.v1", &event, Some(&id)).await;
        stored.map_err(|error| format!("the mark was not stored: {error}"))?;
        tracing::info!(experiment = %self.experiment, name, value, who, "marked");
        self.taken().all.push(event);
        Ok(())
    }

    /// All of them, in the order in which they were taken.
    pub(crate) fn all(&self) -> Vec<ExperimentEvent> {
        self.taken().all.clone()
    }

    /// Those that the store has not been given yet; now it is.
    pub(crate) fn hand_on(&self) -> Vec<ExperimentEvent> {
        let mut taken = self.taken();
        let new = taken.all.get(taken.handed_on..).unwrap_or_default().to_vec();
        taken.handed_on = taken.all.len();
        new
    }
}

fn event(experiment: &str, (name, value): (&str, Option<&str>), who: Option<&str>, at_unix_ms: u64) -> ExperimentEvent {
    let value = value.map(redact_message);
    let told = value.as_ref().map_or_else(|| name.to_owned(), |value| format!("{name}: {value}"));
    let parts = [("name", Some(name.to_owned())), ("value", value), ("who", who.map(str::to_owned))];
    let data: BTreeMap<String, String> =
        parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    ExperimentEvent {
        experiment: experiment.to_owned(),
        at_unix_ms,
        kind: EventKind::User,
        message: redact_message(&told),
        status: None,
        verdict: None,
        data,
    }
}
