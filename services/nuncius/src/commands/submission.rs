//! Publishing an experiment, and cancelling one.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use nuncius_bus::{Bus, BusError, Headers, TypedError, inject_current};
use nuncius_clock::unix_ms;
use nuncius_schemas::codec::{self, MESSAGE_MAX_BYTES};
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::{Control, ControlReply, RunRecord, RunStatus, SubmitReply, Verdict};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_REPLY, HEADER_SCHEMA};
use nuncius_schemas::submission::Submission;
use tracing::{Instrument, info_span};

use super::bundle::{self, Prepared};
use super::experiment_id;
use crate::args::{BundleArgs, CancelArgs, Global, REQUEST_TIMEOUT, SubmissionArgs, SubmitArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::say;

/// How long the daemon may take to say whether it takes an experiment.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(20);

/// Reads what was named and applies the flags; whatever is wrong is told here, before anything is stored anywhere.
pub(crate) async fn prepare(global: &Global, args: &SubmissionArgs, bundle: &BundleArgs) -> Result<Prepared> {
    let mut prepared = bundle::read(global, &args.file, bundle).await?;
    apply(args, &mut prepared.submission)?;
    Ok(prepared)
}

/// Applies the flags, to every form of input alike.
pub(super) fn apply(args: &SubmissionArgs, submission: &mut Submission) -> Result<(), Usage> {
    if let Some(id) = &args.id {
        check_token("experiment", id).map_err(|error| Usage(format!("--id: {error}")))?;
        submission.set_id(id);
    }
    for flag in &args.services {
        let (name, addresses) =
            flag.split_once('=').ok_or_else(|| Usage(format!("--service {flag}: write it as NAME=HOST:PORT")))?;
        let addresses = addresses.split(',').map(str::to_owned).collect();
        submission.services_mut().insert(name.to_owned(), addresses);
    }
    // What was read was right: a flag is wrong.
    submission.check().map_err(|error| match error.field.strip_prefix("services") {
        Some(_) => Usage(format!("--service: {error}")),
        None => Usage(error.to_string()),
    })
}

/// Publishes, awaits the stream's acknowledgement and the daemon's answer; returns the id.
pub(crate) async fn publish(bus: &Bus, submission: &Submission) -> Result<String> {
    let (subject, message_id) = (bus.namespace().experiment_submit(), fresh_id());
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
    publish_in_span(bus, submission, &subject, &message_id).instrument(span).await
}

async fn publish_in_span(bus: &Bus, submission: &Submission, subject: &str, message_id: &str) -> Result<String> {
    let payload = serde_json::to_vec(&submission.to_value()?)?;
    if payload.len() > MESSAGE_MAX_BYTES {
        bail!("the experiment has {} bytes as JSON, at most {MESSAGE_MAX_BYTES} are taken", payload.len());
    }
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox).await?;
    let mut headers = Headers::new()
        .with(HEADER_CONTENT_TYPE, "application/json")
        .with(HEADER_SCHEMA, "experiment.v1")
        .with(HEADER_REPLY, inbox);
    inject_current(&mut headers);
    match bus.publish_acked(subject, &headers, payload.into(), Some(message_id), None).await {
        Ok(_) => {}
        Err(BusError::NoStream { .. }) => {
            bail!("nobody takes experiments there: start a daemon with `nuncius up` or `nuncius experimentd`")
        }
        Err(error) => return Err(error.into()),
    }
    let answer = tokio::time::timeout(ADMISSION_PATIENCE, answers.next())
        .await
        .map_err(|_| anyhow!("the experiment is stored, but no daemon took it within {ADMISSION_PATIENCE:?}"))?
        .ok_or_else(|| anyhow!("the connection was closed"))?;
    let answer: SubmitReply = answer.decode()?;
    match (answer.id, answer.error) {
        (Some(id), None) => Ok(id),
        (Some(id), Some(error)) => Err(Refused { id, error }.into()),
        (None, error) => bail!("refused: {}", error.unwrap_or_else(|| "no reason given".to_owned())),
    }
}

/// An id for an experiment that has none. Unique on every server: results of private ones meet in one store.
pub(crate) fn fresh_id() -> String {
    format!("{}-{:04x}", nuncius_report::text::stamp(unix_ms()), fastrand::u16(..))
}

/// The daemon read the experiment, recorded it under this id and will not run it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) id: String,
    pub(crate) error: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "experiment {} refused: {}", self.id, self.error)
    }
}

impl std::error::Error for Refused {}

/// `nuncius submit`.
pub(super) async fn submit(global: &Global, args: SubmitArgs) -> Result<u8> {
    let Prepared { submission, bundle } = prepare(global, &args.submission, &args.bundle).await?;
    let bus = connect::existing(global, "nuncius-submit").await?;
    if let Some(packed) = &bundle {
        bundle::deploy(&bus, packed).await?;
    }
    let id = publish(&bus, &submission).await?;
    say(global.json, &serde_json::json!({ "id": id }), &id)?;
    Ok(0)
}

/// How long a run whose daemon died is waited for to be taken up by another.
const SUCCESSION_PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);
/// How often it is asked for meanwhile.
const SUCCESSION_POLL: std::time::Duration = std::time::Duration::from_millis(250);

/// `nuncius cancel`.
pub(super) async fn cancel(global: &Global, mut args: CancelArgs) -> Result<u8> {
    let bus = connect::existing_to_look_on(global, "nuncius-cancel").await?;
    args.id = experiment_id::meant(global, Some(&bus), &args.id).await?;
    let namespace = bus.namespace().clone();
    let control = Control::Cancel { reason: args.reason.clone() };
    let subject = namespace.experiment_control(&args.id);
    let deadline = tokio::time::Instant::now() + SUCCESSION_PATIENCE;
    loop {
        match bus.request_message::<_, ControlReply>(&subject, "control.v1", &control, REQUEST_TIMEOUT).await {
            Ok(ControlReply { error: None, .. }) => {
                let told = serde_json::json!({ "id": args.id, "cancelling": true });
                say(global.json, &told, &format!("{} is being cancelled; `nuncius watch {0}` shows its end", args.id))?;
                return Ok(0);
            }
            Ok(ControlReply { error: Some(error), .. }) => bail!("{}: {error}", args.id),
            // No daemon holds it: one that waits is cancelled by writing its record.
            Err(TypedError::Bus(BusError::NoResponders { .. })) => {
                if let Some(code) = cancel_waiting(global, &bus, &args).await? {
                    return Ok(code);
                }
            }
            Err(error) => return Err(error.into()),
        }
        if tokio::time::Instant::now() > deadline {
            bail!("experiment {} is under way, and no daemon holds it; start one to end it", args.id);
        }
        // Its daemon died: another takes it up as soon as its lease has run out.
        tokio::time::sleep(SUCCESSION_POLL).await;
    }
}

/// Cancels a run that waits; `None` when it is under way.
async fn cancel_waiting(global: &Global, bus: &Bus, args: &CancelArgs) -> Result<Option<u8>> {
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    let entry = runs.get(&args.id).await?.ok_or_else(|| anyhow!("there is no experiment {}", args.id))?;
    let mut record: RunRecord = codec::decode(&entry.value).map_err(|error| runs.unreadable(&entry, &error))?;
    match record.status {
        RunStatus::Submitted => {
            // The next daemon tells its end: until then it has none.
            record.status = RunStatus::Cancelled;
            record.verdict = Some(Verdict::Undetermined);
            record.reason = Some(match args.reason.as_str() {
                "" => "cancelled while it waited".to_owned(),
                reason => format!("cancelled while it waited: {reason}"),
            });
            runs.update(&args.id, codec::encode(&record)?.into(), entry.revision).await?;
            let told = serde_json::json!({ "id": args.id, "cancelled": true });
            say(global.json, &told, &format!("{} is cancelled: it had not started", args.id))?;
            Ok(Some(0))
        }
        status if status.is_terminal() => bail!("experiment {} is {} already", args.id, status.name()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::submission;

    use super::*;

    fn with_flags(text: &str, id: Option<&str>, services: &[&str]) -> Result<Submission, Usage> {
        let args = SubmissionArgs {
            file: "-".into(),
            id: id.map(str::to_owned),
            services: services.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        let mut submission = submission::from_bytes(text.as_bytes()).unwrap();
        apply(&args, &mut submission).map(|()| submission)
    }

    #[test]
    fn every_flag_works_for_every_form_of_input() {
        for text in [
            "groups: [{target: 'http://shop/', rate: 1, duration: 1s}]",
            r#"{"groups": [{"target": "http://shop/", "rate": 1, "duration": "1s"}]}"#,
            r#"{"instructions": "spawn .* shop 1\nrps .* shop 10\nsleep 1"}"#,
            "instructions: |\n  spawn .* shop 1\n  rps .* shop 10\n  sleep 1\n",
            r#"{"configuration": {"duration": 1, "interval": 1, "workloads": [{"service": "shop", "ticks": [1]}]}}"#,
        ] {
            let submission = with_flags(text, Some("mine"), &["shop=127.0.0.1:80,127.0.0.1:81"]).unwrap();
            assert_eq!(submission.id(), Some("mine"), "{text}");
            // What is published is read as the same thing.
            let published = serde_json::to_vec(&submission.to_value().unwrap()).unwrap();
            assert_eq!(submission::from_bytes(&published).unwrap(), submission, "{text}");
            let spec = match submission {
                Submission::Spec(spec) => *spec,
                Submission::Galileo(input) => input.translate(&["node".to_owned()]).unwrap(),
            };
            assert_eq!(spec.id.as_deref(), Some("mine"), "{text}");
            assert_eq!(spec.services["shop"], ["127.0.0.1:80", "127.0.0.1:81"], "{text}");
            for wrong in ["shop", "shop=nowhere", "a b=127.0.0.1:80"] {
                let error = with_flags(text, None, &[wrong]).unwrap_err().to_string();
                assert!(error.contains("--service"), "{error}");
            }
            assert!(with_flags(text, Some("a b"), &[]).unwrap_err().to_string().contains("--id"));
        }
    }
}
