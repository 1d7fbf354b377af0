//! What servos and others are answered: a status, as HTTP has it, and JSON.

use bytes::Bytes;
use serde_json::json;

use super::machine::{Machine, Mode, Refusal, Reply};
use super::request::{COMMAND_PREFIX, Heard, RequestError};
use super::settings::Settings;

/// Heard.
const OK: &[u8] = br#"{"status":"ok","message":null}"#;
/// The operation shall be given up.
const CANCEL: &[u8] = br#"{"status":"cancel","message":null}"#;
const DESCRIBE: &[u8] = br#"{"cmd":"DESCRIBE","param":{}}"#;

/// An answer in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// What went wrong; empty where nothing did.
    pub(crate) problem: String,
}

impl Answer {
    pub(crate) fn ok(body: Bytes) -> Self {
        Self { status: 200, body, problem: String::new() }
    }

    /// An error with its text as the detail.
    pub(crate) fn error(status: u16, problem: String) -> Self {
        Self { status, body: json!({ "detail": problem }).to_string().into(), problem }
    }

    /// An error about one thing, at a place in the request.
    pub(crate) fn invalid(location: &[&str], problem: String, kind: &str) -> Self {
        let detail = json!({"detail": [{"loc": location, "msg": problem, "type": kind}]});
        Self { status: 422, body: detail.to_string().into(), problem }
    }
}

/// The answer to a body that is no event.
pub(crate) fn unreadable(error: &RequestError) -> Answer {
    let location: &[&str] = match error.field() {
        "" => &["body"],
        field => &["body", field],
    };
    Answer::invalid(location, error.to_string(), error.kind())
}

/// The answer to an event that was accepted; `machine` is what the application has become.
pub(crate) fn accepted(reply: Reply, machine: &Machine, mode: Mode, settings: &Settings) -> Answer {
    Answer::ok(match (reply, mode) {
        (Reply::Ok, _) => Bytes::from_static(OK),
        (Reply::Cancel, _) => Bytes::from_static(CANCEL),
        (Reply::Describe, Mode::Strict) => Bytes::from_static(DESCRIBE),
        (Reply::Measure, Mode::Strict) => settings.measure_body.clone(),
        (Reply::Adjust, Mode::Strict) => settings.adjust_body.clone(),
        (Reply::Sleep { seconds }, Mode::Strict) => command("SLEEP", &sleep(seconds), None),
        (Reply::Describe, Mode::Service) => command("DESCRIBE", "{}", Some(machine.command)),
        (Reply::Measure, Mode::Service) => command("MEASURE", &settings.measure, Some(machine.command)),
        (Reply::Adjust, Mode::Service) => command("ADJUST", &settings.adjust, Some(machine.command)),
        (Reply::Sleep { seconds }, Mode::Service) => command("SLEEP", &sleep(seconds), Some(machine.command)),
    })
}

/// A command; `param` is JSON.
pub(crate) fn command(name: &str, param: &str, number: Option<u64>) -> Bytes {
    match number {
        None => format!(r#"{{"cmd":"{name}","param":{param}}}"#),
        Some(number) => format!(r#"{{"cmd":"{name}","param":{param},"cmd_uid":"{COMMAND_PREFIX}{number}"}}"#),
    }
    .into()
}

fn sleep(seconds: f64) -> String {
    json!({"duration": seconds, "data": {"reason": "scripted"}}).to_string()
}

/// The answer to an event that was not accepted.
pub(crate) fn refused(refusal: Refusal, heard: &Heard, app: &str, mode: Mode) -> Answer {
    match mode {
        Mode::Strict => Answer::error(400, strict_text(refusal, heard, app)),
        Mode::Service => soft(refusal, heard),
    }
}

fn strict_text(refusal: Refusal, heard: &Heard, app: &str) -> String {
    let event = heard.name();
    match refusal {
        Refusal::UnknownApp => format!("Received event {event} for unknown app {app}"),
        Refusal::NoCommand { state } => format!("Sequence error for {app}: Unexpected WHATS_NEXT in {}", state.name()),
        Refusal::OutOfOrder { state, progress: None } => {
            format!("Sequence error for {app}: Unexpected event '{event}' in state {}", state.name())
        }
        Refusal::OutOfOrder { state, progress: Some(progress) } => {
            format!("Sequence error for {app}: Unexpected event '{event}' ({progress}%) in state {}", state.name())
        }
        Refusal::Backwards { old, new } => {
            format!("Sequence error for {app}: Progress going backwards: old={old}, new={new}")
        }
        Refusal::OtherCommand => format!("Sequence error for {app}: unexpected cmd_uid"),
        Refusal::OtherServo => format!("Sequence error for {app}: unexpected servo_uid"),
    }
}

fn soft(refusal: Refusal, heard: &Heard) -> Answer {
    let expected = match refusal {
        Refusal::OtherServo => return Answer::error(410, "unexpected servo_uid".to_owned()),
        Refusal::OtherCommand => {
            return Answer::ok(json!({"status": "invalid", "reason": "unexpected cmd_uid"}).to_string().into());
        }
        Refusal::UnknownApp | Refusal::Backwards { .. } => "HELLO",
        Refusal::NoCommand { state } | Refusal::OutOfOrder { state, .. } => state.expects(),
    };
    let reason = format!("out of order event {}, expected {expected}, ignoring", heard.name());
    Answer::ok(json!({"status": "unexpected-event", "reason": reason, "message": null}).to_string().into())
}
