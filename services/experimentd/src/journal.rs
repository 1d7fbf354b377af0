//! What is written down of a run while it happens: the record on the bus (by compare-and-swap), the event stream, the
//! store. The bus comes first: the store may lag behind it, never the other way round, and is not waited for but at the
//! end.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::kv::Kv;
use nuncius_bus::{Bus, BusError};
use nuncius_clock::unix_ms;
use nuncius_schemas::codec;
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::redact::{redact_message, redact_spec};
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::daemon::Daemon;
use crate::figures::FIGURES;
use crate::marks::Marks;
use crate::restore::{Reading, RestoreError};
use crate::storing::Storing;

/// Pause between attempts to write while the bus is away.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// How long reading the earlier events of a run may take.
const RECALL_PATIENCE: Duration = Duration::from_secs(10);

/// Most events that are kept for a run's report.
const EVENTS_KEPT_MAX: usize = 10_000;

/// The run is no longer ours to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JournalError {
    /// Somebody else wrote the record.
    #[error("the run record was changed by somebody else: it is now {}", .0.name())]
    Taken(RunStatus),
    /// The record is gone.
    #[error("the run record is gone")]
    Gone,
    /// Another daemon looks after it.
    #[error("the lease of the run is held by another daemon")]
    Held,
    /// This daemon ends, and another is there.
    #[error("this daemon ends, and another goes on with the run")]
    HandedOver,
    /// The bus or the record's bytes.
    #[error("run record: {0}")]
    Bus(String),
}

/// Writes down one run.
pub(crate) struct Journal {
    bus: Bus,
    /// Its store.
    pub(crate) storing: Storing,
    bucket: Kv,
    /// What others have said of it.
    marks: Marks,
    /// The record as last written.
    pub(crate) record: RunRecord,
    revision: u64,
    /// What was said so far, as far as it is kept for the report.
    events: Vec<ExperimentEvent>,
    /// How many were said after [`EVENTS_KEPT_MAX`]: they are on the event stream and in the store alone.
    events_left_out: u64,
    /// How many the bus did not take: whoever replays its stream misses them.
    events_not_stored: u64,
    event_number: u64,
    /// How long the store is waited for when the end is told.
    pub(crate) end_patience: Duration,
}

/// What was said of a run so far, as far as it can be read.
async fn said_of(bus: &Bus, experiment: &str) -> Result<Vec<ExperimentEvent>, RestoreError> {
    let namespace = bus.namespace();
    let mut reading = Reading::open(bus, namespace.stream_event(), namespace.experiment_event(experiment)).await?;
    let mut said = Vec::new();
    while let Some(message) = reading.next().await? {
        said.extend(codec::decode::<ExperimentEvent>(&message.payload));
    }
    Ok(said)
}

impl Journal {
    /// Of a record that is on the bus at `revision`.
    pub(crate) fn new(daemon: &Daemon, record: RunRecord, revision: u64, marks: Marks) -> Self {
        let storing = Storing::start(daemon.bus.clone(), daemon.store.clone(), daemon.timing.store_retry);
        Self {
            bus: daemon.bus.clone(),
            storing,
            bucket: daemon.runs.clone(),
            marks,
            record: RunRecord { store: Some(daemon.store_name.clone()), ..record },
            revision,
            events: Vec::new(),
            events_left_out: 0,
            events_not_stored: 0,
            event_number: 0,
            end_patience: daemon.timing.store_patience,
        }
    }

    /// Remembers what was said of the run before, by whoever looked after it then: the report has it all.
    pub(crate) async fn recall(&mut self) {
        let deadline = Instant::now() + RECALL_PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, said_of(&self.bus, &self.record.id)).await {
                Ok(Ok(said)) => {
                    self.event_number = said.len() as u64;
                    self.events_left_out = said.len().saturating_sub(EVENTS_KEPT_MAX) as u64;
                    self.events = said;
                    self.events.truncate(EVENTS_KEPT_MAX);
                    return;
                }
                Ok(Err(error)) => warn!(experiment = %self.record.id, %error, "earlier events cannot be read"),
                Err(_) => {
                    let id = &self.record.id;
                    return warn!(experiment = %id, "earlier events did not come within {RECALL_PATIENCE:?}");
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Changes the status, on the bus first; then says so.
    pub(crate) async fn status(&mut self, status: RunStatus, message: &str) -> Result<(), JournalError> {
        self.record.status = status;
        match status {
            // The start has written the instant zero.
            RunStatus::Running if self.record.started_unix_ms.is_none() => {
                self.record.started_unix_ms = Some(unix_ms())
            }
            _ if status.is_terminal() => self.record.ended_unix_ms = Some(unix_ms()),
            _ => {}
        }
        self.write().await?;
        FIGURES.status(&self.record.id, status, self.record.verdict);
        let mut stored = self.record.clone();
        stored.spec = redact_spec(&stored.spec);
        self.storing.experiment(stored);
        self.say(EventKind::Status, message, BTreeMap::new()).await;
        Ok(())
    }

    /// The last status, with the verdict. The specification is redacted from here on.
    pub(crate) async fn end(
        &mut self,
        status: RunStatus,
        verdict: Option<Verdict>,
        reason: &str,
    ) -> Result<(), JournalError> {
        self.record.verdict = verdict;
        self.record.reason = Some(redact_message(reason));
        self.record.spec = redact_spec(&self.record.spec);
        self.status(status, reason).await
    }

    /// Writes the record by compare-and-swap; waits while the bus is away.
    pub(crate) async fn write(&mut self) -> Result<(), JournalError> {
        let bytes = codec::encode(&self.record).map_err(|error| JournalError::Bus(error.to_string()))?;
        loop {
            match self.bucket.update(&self.record.id, bytes.clone().into(), self.revision).await {
                Ok(revision) => {
                    self.revision = revision;
                    return Ok(());
                }
                Err(BusError::WrongLastSequence { .. }) => {
                    // Either somebody else wrote, or our own write arrived and its answer was lost.
                    match self.bucket.get(&self.record.id).await {
                        Ok(Some(entry)) if entry.value.as_ref() == bytes.as_slice() => {
                            self.revision = entry.revision;
                            return Ok(());
                        }
                        Ok(Some(entry)) => {
                            let now: RunRecord =
                                codec::decode(&entry.value).map_err(|e| JournalError::Bus(e.to_string()))?;
                            if now.status == RunStatus::Cancelled && now.ended_unix_ms.is_none() {
                                // Cancelled by writing the record: its end is still ours to tell.
                                self.revision = entry.revision;
                            }
                            return Err(JournalError::Taken(now.status));
                        }
                        Ok(None) => return Err(JournalError::Gone),
                        Err(error) => warn!(%error, "run record cannot be read, trying again"),
                    }
                }
                Err(BusError::Closed) => return Err(JournalError::Bus("the connection is closed".to_owned())),
                Err(error) => warn!(%error, "run record not written, trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Says something on the event stream and in the store.
    pub(crate) async fn say(&mut self, kind: EventKind, message: &str, data: BTreeMap<String, String>) {
        let event = ExperimentEvent {
            experiment: self.record.id.clone(),
            at_unix_ms: unix_ms(),
            kind,
            message: redact_message(message),
            status: (kind == EventKind::Status).then_some(self.record.status),
            verdict: if kind == EventKind::Status { self.record.verdict } else { None },
            data,
        };
        info!(experiment = %self.record.id, kind = kind.name(), "{message}");
        for mark in self.marks.hand_on() {
            self.storing.event(mark);
        }
        let is_end = kind == EventKind::Status && self.record.status.is_terminal();
        if is_end {
            // Whoever hears of the end finds all of it in the store.
            self.storing.event(event.clone());
            if let Err(error) = self.storing.settle(Instant::now() + self.end_patience).await {
                warn!(experiment = %self.record.id, error, "the end is not in the store yet");
            }
        }
        self.event_number += 1;
        let id = format!("{}-{}-{}", self.record.id, event.at_unix_ms, self.event_number);
        let subject = self.bus.namespace().experiment_event(&self.record.id);
        // Acknowledged if at all possible, but an event that cannot be said must not hold up the run.
        if let Err(error) = self.bus.store_message(&subject, "experiment-event.v1", &event, Some(&id)).await {
            warn!(%error, "event not stored on the bus");
            self.events_not_stored += 1;
        }
        if !is_end {
            self.storing.event(event.clone());
        }
        if self.events.len() < EVENTS_KEPT_MAX {
            self.events.push(event);
        } else {
            self.events_left_out += 1;
        }
    }

    /// The events for the report; the last ones say what the report or the event stream does not have.
    pub(crate) fn events(&self) -> Vec<ExperimentEvent> {
        let mut events = self.events.clone();
        events.extend(self.storing.said());
        // One that came while earlier events were read is among them.
        events.extend(self.marks.all().into_iter().filter(|mark| !self.events.contains(mark)));
        events.sort_by_key(|event| event.at_unix_ms);
        let missing = [
            (self.events_left_out, "events more are on the event stream and in the store alone"),
            (self.events_not_stored, "events could not be stored on the bus: its event stream misses them"),
        ];
        for (count, text) in missing.into_iter().filter(|(count, _)| *count > 0) {
            events.push(ExperimentEvent {
                experiment: self.record.id.clone(),
                at_unix_ms: unix_ms(),
                kind: EventKind::Warning,
                message: format!("{count} {text}"),
                status: None,
                verdict: None,
                data: BTreeMap::new(),
            });
        }
        events
    }
}
