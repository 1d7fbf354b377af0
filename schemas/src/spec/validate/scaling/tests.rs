use super::*;
use crate::codec::CodecError;
use crate::submission::{Submission, from_bytes};

const GOOD: &str = "
name: steps
metadata: {purpose: test}
groups:
- engine: queue
  target: queue://render
  steps: [{job: {args: ['1']}}]
scaling:
  steps: [1, 2, 4]
  repeats: 2
  warm_up: 1s
  duration: 5s
  workers: {start: wait, slots: 2}
";

fn read(text: &str) -> Result<Submission, CodecError> {
    from_bytes(text.as_bytes())
}

fn good() -> ExperimentSpec {
    match read(GOOD) {
        Ok(Submission::Spec(spec)) => *spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_daemon_refuses_what_steps_workers_and_says_who_runs_it() {
    let error = good().validate().unwrap_err();
    assert_eq!(error.field, "scaling");
    assert!(error.problem.contains("nuncius run"), "{error}");
    assert_eq!(ExperimentSpec { scaling: None, ..good() }.validate_scaling().unwrap_err().field, "scaling");
}

#[test]
fn each_measurement_is_an_experiment_of_its_own_that_a_daemon_takes() {
    let spec = good();
    assert_eq!(spec.scaled_queue(), Some("render"));
    let scaling = spec.scaling.clone().unwrap();
    let child = spec.measurement(&scaling, "s", 4, 2);
    assert_eq!(child.validate(), Ok(()));
    assert_eq!(child.id.as_deref(), Some("s-w4-r2"));
    assert_eq!(child.name.as_deref(), Some("steps, 4 workers, 2/2"));
    let metadata: Vec<(&str, &str)> = child.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(metadata, [("purpose", "test"), ("repeat", "2"), ("scaling", "s"), ("workers", "4")]);
    let group = &child.groups[0];
    // 4 workers of 2 slots, 2 jobs for each slot.
    assert_eq!((group.users, group.offered_ns()), (Some(16), Some(6_000_000_000)));
    assert_eq!(group.steps, spec.groups[0].steps);
}

#[test]
fn what_cannot_be_stepped_is_refused_by_its_field() {
    let load = "  target: queue://render\n";
    let with = |more: &str| GOOD.replace(load, &format!("{load}  {more}\n"));
    let top = |more: &str| format!("{more}\n{GOOD}");
    let two = "- {name: b, engine: queue, target: 'queue://render'}\nscaling:";
    for (text, field) in [
        (with("users: 4"), "groups[0].users"),
        (with("rate: 4"), "groups[0].rate"),
        (with("duration: 4s"), "groups[0].duration"),
        (with("iterations: 4"), "groups[0].iterations"),
        (with("stages: [{duration: 1s, rate: 1}]"), "groups[0].stages"),
        (with("rate_per_node: true"), "groups[0].rate_per_node"),
        (with("think_time: 1s"), "groups[0].think_time"),
        (with("timeout: 2h"), "groups[0].timeout"),
        (GOOD.replace("engine: queue", "engine: http").replace("queue://", "http://"), "groups[0].engine"),
        (GOOD.replace("queue://render", "queue://a.b"), "groups[0].target"),
        (GOOD.replace("queue://render", "queue://${QUEUE}"), "groups[0].target"),
        (GOOD.replace("steps: [{job", "steps: [{name: a, job: {}}, {job"), "groups[0].steps"),
        (GOOD.replace("scaling:", two), "groups"),
        (GOOD.replace("[1, 2, 4]", "[1]"), "scaling.steps"),
        (GOOD.replace("[1, 2, 4]", "[1, 4096]").replace("slots: 2", "slots: 4096"), "scaling.steps"),
        (GOOD.replace("duration: 5s", "duration: 500ms"), "scaling.duration"),
        (GOOD.replace("slots: 2", "slots: 0"), "scaling.workers.slots"),
        (GOOD.replace("{start: wait, slots: 2}", "{start: wait}\n  device: {name: a.b}"), "scaling.device.name"),
        (GOOD.replace("repeats", "repeat"), "scaling.repeat"),
        (GOOD.replace("slots: 2", "command: [sleep]"), "scaling.workers"),
        (top("gates: ['failures < 1%']"), "gates"),
        (top("records: all"), "records"),
        (top("lag_limit: 0"), "lag_limit"),
        // Room for `-w4-r2` within 64 bytes.
        (top(&format!("id: {}", "x".repeat(59))), "id"),
    ] {
        match read(&text) {
            Err(CodecError::Field { field: named, .. }) => assert_eq!(named, field, "{text}"),
            other => panic!("{text}\n-> {other:?}"),
        }
    }
    assert!(read(&top(&format!("id: {}", "x".repeat(58)))).is_ok());
}
