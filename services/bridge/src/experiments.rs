//! Messages that become experiments.

use std::time::Duration;

use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::{Bus, BusError};
use nuncius_control::ControlError;
use nuncius_control::submit::{fresh_id, submit_once};
use nuncius_schemas::codec;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::run::{RunRecord, SubmitReply};
use nuncius_schemas::submission;

use crate::figures::Reason;
use crate::hold::Pauses;
use crate::shared::{Incoming, Outcome, Refusal, Shared};

/// Pauses before an experiment is submitted again that no daemon took.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Has a daemon take an experiment, however long that takes, and waits for its end where that is wanted.
///
/// Its id is that of the specification, else of the message: the same message is the same experiment, however often it
/// comes.
///
/// # Errors
/// The bus is closed, in words; within: why the message is refused.
pub(crate) async fn take(
    shared: &Shared,
    bus: &Bus,
    incoming: &Incoming,
    wants_answer: bool,
) -> Result<Result<Option<Outcome>, Refusal>, String> {
    let refuse = |reason, problem: String| Ok(Err(Refusal { reason, problem }));
    let mut submission = match submission::from_bytes(&incoming.delivery.data) {
        Ok(submission) => submission,
        Err(error) => return refuse(Reason::Unreadable, error.to_string()),
    };
    let id = match submission.id() {
        Some(id) => id.to_owned(),
        None if incoming.has_id => incoming.id.clone(),
        None => fresh_id(),
    };
    let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
    let mut held = None;
    let was_there = loop {
        let error = match submit_once(bus, &mut submission, &id).await {
            Ok(once) => break once.was_there,
            // It has a record, which tells why.
            Err(ControlError::Refused { .. }) => break false,
            Err(error) => error,
        };
        // Anything else is nobody's fault who wrote the message.
        if matches!(error, ControlError::TooLarge { .. }) {
            return refuse(Reason::TooLarge, error.to_string());
        }
        if matches!(error, ControlError::Taken { .. }) {
            return refuse(Reason::IdTaken, error.to_string());
        }
        if matches!(error, ControlError::NotAdmitted(_) | ControlError::Name(_)) {
            return refuse(Reason::NotAdmitted, error.to_string());
        }
        if matches!(error.bus(), Some(BusError::Closed)) {
            return Err(error.to_string());
        }
        shared.say(&error.to_string());
        held.get_or_insert_with(|| shared.figures.held.hold());
        pauses.pause().await;
    };
    drop(held);
    let figure = if was_there { &shared.figures.known } else { &shared.figures.accepted };
    figure.add(1);
    if !wants_answer {
        return Ok(Ok(None));
    }
    loop {
        match end_of(bus, &id).await {
            Ok(outcome) => return Ok(Ok(Some(outcome))),
            Err(BusError::Closed) => return Err(BusError::Closed.to_string()),
            Err(error) => shared.say(&error.to_string()),
        }
        pauses.pause().await;
    }
}

/// The record of an experiment that has ended; or that it was removed.
async fn end_of(bus: &Bus, id: &str) -> Result<Outcome, BusError> {
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    let mut watch = runs.watch(id).await?;
    let mut was_there = false;
    let document = loop {
        match watch.next().await? {
            KvEvent::Entry(entry) if entry.operation == Operation::Put => {
                was_there = true;
                let Ok(mut record) = codec::decode::<RunRecord>(&entry.value) else { continue };
                if record.is_told() {
                    // One that was cancelled before its start has its secrets yet.
                    record.spec = redact_spec(&record.spec);
                    break (serde_json::to_vec(&record), "run-record.v1");
                }
            }
            KvEvent::Current if was_there => {}
            KvEvent::Entry(_) | KvEvent::Current => {
                let error = Some(format!("experiment {id} was removed before its end was told"));
                let reply = SubmitReply { id: Some(id.to_owned()), accepted: true, error };
                break (serde_json::to_vec(&reply), "submit-reply.v1");
            }
        }
    };
    watch.close().await;
    let (document, kind) = document;
    let document = document.map_err(|error| BusError::BadAnswer { what: id.to_owned(), reason: error.to_string() })?;
    Ok(Outcome { id: id.to_owned(), kind, document })
}
