//! Publishing an experiment, and awaiting the daemon's word on it.

use std::time::Duration;

use nuncius_bus::{Bus, BusError, Headers, inject_current};
use nuncius_clock::unix_ms;
use nuncius_schemas::codec::{CodecError, MESSAGE_MAX_BYTES};
use nuncius_schemas::galileo::GalileoInput;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::run::{RunRecord, SubmitReply};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_REPLY, HEADER_SCHEMA};
use nuncius_schemas::submission::Submission;
use tracing::{Instrument, info_span};

use crate::{ControlError, experiments};

/// How long the daemon may take to say whether it takes an experiment, leaders of streams being there.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(20);
/// How often an experiment that another request has published is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long the daemon is waited for. In a cluster it may have to wait for an election itself.
fn admission_patience(bus: &Bus) -> Duration {
    ADMISSION_PATIENCE + if bus.is_apart() { bus.election_patience() } else { Duration::ZERO }
}

/// Publishes, awaits the stream's acknowledgement and the daemon's answer; returns the id.
///
/// # Errors
/// Nobody takes it, or the daemon refuses it.
pub async fn submit(bus: &Bus, submission: &Submission) -> Result<String, ControlError> {
    let (id, is_new) = (fresh_id(), true);
    match publish(bus, submission, (&id, is_new)).await? {
        Published::Admitted(id) => Ok(id),
        Published::Before => Err(ControlError::NotTaken(admission_patience(bus))),
    }
}

/// What became of a submission that may have been made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The experiment.
    pub id: String,
    /// Whether it was submitted before: nothing was done now.
    pub was_there: bool,
}

/// The same, where the same submission under the same id is one experiment, however often it is made.
///
/// # Errors
/// As [`submit`]; [`ControlError::Taken`] where another experiment has the id.
pub async fn submit_once(bus: &Bus, submission: &mut Submission, id: &str) -> Result<Once, ControlError> {
    submission.set_id(id);
    let before = || Once { id: id.to_owned(), was_there: true };
    if let Some((record, _)) = experiments::record(bus, id).await? {
        return if is_same(&record, submission) { Ok(before()) } else { Err(taken(id)) };
    }
    match publish(bus, submission, (id, false)).await {
        Ok(Published::Admitted(id)) => Ok(Once { id, was_there: false }),
        // Another request is under way with it.
        Ok(Published::Before) => {
            let patience = admission_patience(bus);
            let deadline = tokio::time::Instant::now() + patience;
            loop {
                if let Some((record, _)) = experiments::record(bus, id).await? {
                    return if is_same(&record, submission) { Ok(before()) } else { Err(taken(id)) };
                }
                if tokio::time::Instant::now() >= deadline {
                    return Err(ControlError::NotTaken(patience));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Err(ControlError::NotAdmitted(problem)) => match experiments::record(bus, id).await? {
            Some((record, _)) if is_same(&record, submission) => Ok(before()),
            Some(_) => Err(taken(id)),
            None => Err(ControlError::NotAdmitted(problem)),
        },
        Err(error) => Err(error),
    }
}

fn taken(id: &str) -> ControlError {
    ControlError::Taken { id: id.to_owned() }
}

/// Whether a record is of this submission, as far as can be seen: of a run that has started secrets are left out, and
/// what Galileo's forms mean depends on the nodes that were there.
fn is_same(record: &RunRecord, submission: &Submission) -> bool {
    let bare = |spec: &ExperimentSpec| {
        let mut spec = redact_spec(spec);
        spec.creator = None;
        serde_json::to_value(&spec).ok()
    };
    match submission {
        Submission::Spec(spec) => bare(spec) == bare(&record.spec),
        Submission::Galileo(input @ GalileoInput::Ticks(_)) => {
            input.translate(&[]).is_ok_and(|spec| bare(&spec) == bare(&record.spec))
        }
        Submission::Galileo(input @ GalileoInput::Instructions(_)) => input.name() == record.spec.name.as_deref(),
    }
}

enum Published {
    /// A daemon has taken it under this id.
    Admitted(String),
    /// The stream has seen the message before, and nobody answers it again.
    Before,
}

/// Publishes under a message id, which may have been made for this.
async fn publish(
    bus: &Bus,
    submission: &Submission,
    (message_id, is_new): (&str, bool),
) -> Result<Published, ControlError> {
    let subject = bus.namespace().experiment_submit();
    let span = info_span!(
        "submit",
        "otel.name" = %format_args!("send {subject}"),
        "otel.kind" = "producer",
        "messaging.system" = "nats",
        "messaging.operation.name" = "send",
        "messaging.operation.type" = "send",
        "messaging.destination.name" = subject,
        "messaging.message.id" = message_id,
    );
    publish_in_span(bus, submission, &subject, (message_id, is_new)).instrument(span).await
}

async fn publish_in_span(
    bus: &Bus,
    submission: &Submission,
    subject: &str,
    (message_id, is_new): (&str, bool),
) -> Result<Published, ControlError> {
    let unwritable = |source| ControlError::Document { what: "the experiment", source };
    let value = submission.to_value().map_err(unwritable)?;
    let payload = serde_json::to_vec(&value).map_err(|error| unwritable(CodecError::Encode(error.to_string())))?;
    if payload.len() > MESSAGE_MAX_BYTES {
        return Err(ControlError::TooLarge { bytes: payload.len(), limit: MESSAGE_MAX_BYTES });
    }
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox).await?;
    let mut headers = Headers::new()
        .with(HEADER_CONTENT_TYPE, "application/json")
        .with(HEADER_SCHEMA, "experiment.v1")
        .with(HEADER_REPLY, inbox);
    inject_current(&mut headers);
    match bus.publish_acked(subject, &headers, payload.into(), Some(message_id), None).await {
        // What has a new id and was seen before is ours, whose acknowledgement got lost: we listen for the answer.
        Ok(ack) if ack.duplicate && !is_new => return Ok(Published::Before),
        Ok(_) => {}
        Err(BusError::NoStream { .. }) => return Err(ControlError::NobodyTakes),
        Err(error) => return Err(error.into()),
    }
    let patience = admission_patience(bus);
    let answer = tokio::time::timeout(patience, answers.next())
        .await
        .map_err(|_| ControlError::NotTaken(patience))?
        .ok_or(ControlError::Closed)?;
    let answer: SubmitReply =
        answer.decode().map_err(|source| ControlError::Document { what: "the daemon's answer", source })?;
    match (answer.id, answer.error) {
        (Some(id), None) => Ok(Published::Admitted(id)),
        (Some(id), Some(problem)) => Err(ControlError::Refused { id, problem }),
        (None, error) => Err(ControlError::NotAdmitted(error.unwrap_or_else(|| "no reason given".to_owned()))),
    }
}

/// An id for an experiment that has none. Unique on every server: results of private ones meet in one store.
pub fn fresh_id() -> String {
    format!("{}-{:04x}", nuncius_report::text::stamp(unix_ms()), fastrand::u16(..))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nuncius_schemas::names::check_token;

    use super::*;

    #[test]
    fn an_id_tells_its_second_and_those_of_one_second_differ() {
        let ids: Vec<String> = (0..4).map(|_| fresh_id()).collect();
        for id in &ids {
            check_token("experiment", id).unwrap();
            let (stamp, random) = id.rsplit_once('-').unwrap();
            let (date, time) = stamp.split_once('-').unwrap();
            let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
            assert!(digits(date, 8) && digits(time, 6), "{id}");
            assert!(random.len() == 4 && random.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
        let randoms: BTreeSet<&str> = ids.iter().filter_map(|id| id.rsplit('-').next()).collect();
        assert!(randoms.len() > 1, "{ids:?}");
    }
}
