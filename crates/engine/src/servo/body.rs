//! What servos say and are told: bodies of requests and answers, as JSON.

use nuncius_schemas::metric::FailureKind;
use serde_json::{Value, json};

use super::draw::{self, Purpose};
use super::script::{Answer, Command, Event, Planned, Rules, Servo};

const AGENT: &str = concat!("github.com/nuncius v", env!("CARGO_PKG_VERSION"));
/// The component that every servo has.
const COMPONENT: &str = "fake-app";
/// Longest state a servo takes over, in bytes of JSON.
const COMPONENTS_MAX_BYTES: usize = 8 * 1024;
/// How long a servo sleeps when it is not told how long, in seconds.
const SLEEP_SECONDS: f64 = 120.0;
const SLEEP_MAX_SECONDS: f64 = 86_400.0;

/// The body of a servo's next event.
pub(super) fn render(rules: &Rules, servo: &Servo, planned: Planned) -> String {
    let (name, param) = match planned.event {
        Event::Hello => ("HELLO", json!({ "agent": AGENT })),
        Event::WhatsNext => ("WHATS_NEXT", Value::Null),
        Event::Goodbye => ("GOODBYE", json!({ "reason": "exit" })),
        Event::Description => ("DESCRIPTION", json!({ "status": "ok", "descriptor": descriptor(rules, servo) })),
        Event::MeasurementProgress => ("MEASUREMENT", progress(servo, planned.told_ns)),
        Event::AdjustmentProgress => ("ADJUSTMENT", progress(servo, planned.told_ns)),
        Event::Measurement | Event::Adjustment if servo.operation.as_ref().is_some_and(|o| o.is_cancelled) => {
            let name = if planned.event == Event::Measurement { "MEASUREMENT" } else { "ADJUSTMENT" };
            (name, json!({ "status": "cancelled", "message": "cancelled by the service", "reason": "cancelled" }))
        }
        Event::Measurement => {
            let source = servo.source(rules);
            let reading = |purpose| 10 + draw::below(source, purpose, 1_991);
            let metrics = json!({
                "throughput": { "unit": "rpm", "value": reading(Purpose::Throughput) },
                "error_rate": { "unit": "%", "value": reading(Purpose::ErrorRate) },
            });
            ("MEASUREMENT", json!({ "status": "ok", "metrics": metrics, "annotations": {} }))
        }
        Event::Adjustment => {
            let components = told(servo).unwrap_or_else(|| components(rules, servo));
            let state = json!({ "application": { "components": components } });
            ("ADJUSTMENT", json!({ "status": "ok", "state": state }))
        }
    };
    json!({ "event": name, "param": param }).to_string()
}

fn progress(servo: &Servo, at_ns: u64) -> Value {
    let (percent, runtime) =
        servo.operation.as_ref().map_or((0, 0), |one| (one.percent(at_ns), one.runtime_seconds(at_ns)));
    json!({ "progress": percent, "runtime": runtime })
}

/// The state it was told to have.
fn told(servo: &Servo) -> Option<Value> {
    serde_json::from_str(servo.components.as_deref()?).ok()
}

/// Its own component with the values it has.
fn components(rules: &Rules, servo: &Servo) -> Value {
    let source = draw::Source { operation: 0, ..servo.source(rules) };
    let told = told(servo);
    let value = |setting: &str, drawn: Value| {
        let path = format!("/{COMPONENT}/settings/{setting}/value");
        let short = format!("/{COMPONENT}/{setting}/value");
        let known = told.as_ref().and_then(|told| told.pointer(&path).or_else(|| told.pointer(&short)));
        known.cloned().unwrap_or(drawn)
    };
    // Starting values lie on the grid of steps.
    let cpu = 1.0 + 0.125 * f64::from(draw::below(source, Purpose::Cpu, 33));
    let memory = 0.25 + 0.125 * f64::from(draw::below(source, Purpose::Memory, 63));
    let replicas = 1 + draw::below(source, Purpose::Replicas, 10);
    json!({ COMPONENT: { "settings": {
        "cpu": { "type": "range", "unit": "cores", "min": 1, "max": 5, "step": 0.125, "pinned": false, "value": value("cpu", json!(cpu)) },
        "mem": { "type": "range", "unit": "GiB", "min": 0.25, "max": 8, "step": 0.125, "pinned": false, "value": value("mem", json!(memory)) },
        "replicas": { "type": "range", "min": 1, "max": 10, "step": 1, "pinned": false, "value": value("replicas", json!(replicas)) },
    } } })
}

fn descriptor(rules: &Rules, servo: &Servo) -> Value {
    json!({
        "application": { "components": components(rules, servo) },
        "measurement": { "metrics": { "throughput": { "unit": "rpm" }, "error_rate": { "unit": "%" } } },
    })
}

/// What an answer of this status and body to this event means.
pub(super) fn read(event: Event, status: u16, body: &[u8]) -> Answer {
    let garbled = Answer::Failed(FailureKind::Protocol, status);
    match status {
        200..=299 => {}
        410 => return Answer::Gone(status),
        _ => return Answer::Failed(FailureKind::Status, status),
    }
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else { return garbled };
    match body.get("status").and_then(Value::as_str) {
        Some("unexpected-event" | "invalid") => return Answer::Refused(status),
        Some("cancel") => return Answer::Cancel,
        _ => {}
    }
    if event != Event::WhatsNext {
        return Answer::Accepted;
    }
    let param = body.get("param").unwrap_or(&Value::Null);
    let command = match body.get("cmd").and_then(Value::as_str) {
        Some("DESCRIBE") => Command::Describe,
        Some("MEASURE") => Command::Measure,
        Some("ADJUST") => match param.pointer("/state/application/components") {
            Some(components) => {
                let text = components.to_string();
                if text.len() > COMPONENTS_MAX_BYTES {
                    return garbled;
                }
                Command::Adjust(Some(text.into_boxed_str()))
            }
            None => Command::Adjust(None),
        },
        Some("SLEEP") => {
            let seconds = param.get("duration").and_then(Value::as_f64).unwrap_or(SLEEP_SECONDS);
            Command::Sleep((seconds.clamp(0.0, SLEEP_MAX_SECONDS) * 1e9) as u64)
        }
        // No command: asking again at once would be a loop without a pause.
        _ => return garbled,
    };
    Answer::Command(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_commands_acknowledgements_or_what_is_wrong_with_them() {
        let read = |event, status, body: &str| read(event, status, body.as_bytes());
        assert_eq!(read(Event::Hello, 200, r#"{"status":"ok","message":null}"#), Answer::Accepted);
        assert_eq!(read(Event::WhatsNext, 200, r#"{"cmd":"MEASURE","param":{}}"#), Answer::Command(Command::Measure));
        let adjust = r#"{"cmd":"ADJUST","param":{"state":{"application":{"components":{"web":{"cpu":{"value":1}}}}}}}"#;
        let components = r#"{"web":{"cpu":{"value":1}}}"#.into();
        assert_eq!(read(Event::WhatsNext, 200, adjust), Answer::Command(Command::Adjust(Some(components))));
        let sleep = r#"{"cmd":"SLEEP","param":{"duration":1.5}}"#;
        assert_eq!(read(Event::WhatsNext, 200, sleep), Answer::Command(Command::Sleep(1_500_000_000)));
        assert_eq!(read(Event::MeasurementProgress, 200, r#"{"status":"cancel"}"#), Answer::Cancel);
        assert_eq!(read(Event::Measurement, 200, r#"{"status":"unexpected-event"}"#), Answer::Refused(200));
        assert_eq!(read(Event::Hello, 410, "{}"), Answer::Gone(410));
        assert_eq!(read(Event::Hello, 400, r#"{"detail":"x"}"#), Answer::Failed(FailureKind::Status, 400));
        for none in ["{}", r#"{"cmd":"DANCE"}"#, "[]", "x", ""] {
            assert_eq!(read(Event::WhatsNext, 200, none), Answer::Failed(FailureKind::Protocol, 200), "{none}");
        }
    }
}
