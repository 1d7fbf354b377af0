use super::*;
use crate::codec::CodecError;
use crate::submission::{Submission, from_bytes};

const GOOD: &str = "
name: sizes
seed: 40
metadata: {purpose: test}
groups:
- name: shop
  target: http://shop/
  duration: 10s
  variables: {size: 1}
  steps: [{name: pay, post: {url: '/pay/{{ size }}'}}]
gates: ['failures < 1%']
sweep:
  factors:
    rate: [10, 20/s]
    size: [1, 1000]
    drain: {fields: [drain], values: [1s, 2s]}
    groups[shop].steps[pay].post: ['/a/{{ size }}', '/b/{{ size }}']
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
fn a_sweep_is_taken_and_is_no_experiment_that_runs_by_itself() {
    let error = good().validate().unwrap_err();
    assert_eq!(error.field, "sweep");
    assert!(error.problem.contains("a series of experiments"), "{error}");
    assert_eq!(ExperimentSpec { sweep: None, ..good() }.validate_sweep().unwrap_err().field, "sweep");
    let again = read(&serde_json::to_string(&good()).unwrap()).unwrap();
    assert_eq!(again, Submission::Spec(Box::new(good())));
}

#[test]
fn each_run_is_an_experiment_with_the_values_of_its_combination() {
    let spec = good();
    let sweep = spec.sweep.clone().unwrap();
    assert_eq!(sweep.runs(), 48);
    let run = spec.sweep_run(&sweep, "s", 16, 3).unwrap();
    assert_eq!(run.validate(), Ok(()));
    assert_eq!(run.id.as_deref(), Some("s-c16-r3"));
    let group = &run.groups[0];
    assert_eq!((group.rate.unwrap().to_string().as_str(), run.drain.to_string().as_str()), ("20/s", "2s"));
    assert_eq!(group.variables["size"], serde_json::json!(1_000));
    assert!(serde_json::to_string(&group.steps).unwrap().contains("/b/{{ size }}"));
    let name = "sizes, drain 2s, groups[shop].steps[pay].post /b/{{ size }}, rate 20/s, size 1000, 3/3";
    assert_eq!(run.name.as_deref(), Some(name));
    assert_eq!(run.metadata["combination"], "16");
    assert_eq!((run.metadata["factor.rate"].as_str(), run.metadata["sweep"].as_str()), ("20/s", "s"));
    // One seed for all of a repeat.
    assert_eq!((run.seed, spec.sweep_run(&sweep, "s", 1, 1).unwrap().seed), (42, 40));
    assert!(run.sweep.is_none());
    // What it changes from run to run is nothing else.
    let first = spec.sweep_run(&sweep, "s", 1, 1).unwrap();
    assert_eq!((first.gates, first.services), (spec.gates, spec.services));
}

#[test]
fn what_cannot_be_swept_is_refused_by_its_field() {
    let factor = |text: &str| GOOD.replace("size: [1, 1000]", text);
    let top = |more: &str| format!("{GOOD}\n{more}\n");
    let inside = |more: &str| format!("{GOOD}\n  {more}\n");
    let two = "- {name: b, target: http://shop/, rate: 1, duration: 1s}\ngates";
    for (text, field, part) in [
        (factor("sise: [1, 2]"), "sweep.factors.sise", "no group has a variable of that name"),
        (factor("timeout: [1s, 2h]"), "sweep.factors.timeout", "with 2h: groups[0].timeout: longer than 1h"),
        (factor("users: [1, 2]"), "groups[0].users", "closed model"),
        (factor("groups[b].rate: [1, 2]"), "sweep.factors.groups[b].rate", "no item is named `b`"),
        (factor("groups[0].raet: [1, 2]"), "sweep.factors", "groups[0].raet: unknown field"),
        (factor("both: {fields: ['groups[0].rate'], values: [1, 2]}"), "sweep.factors.rate", "same field as `both`"),
        (
            factor("groups[0].steps[0].post.url: [a, b]"),
            "sweep.factors.groups[0].steps[0].post.url",
            "in a text that stands",
        ),
        (factor("a: {fields: [a..b], values: [1, 2]}"), "sweep.factors.a", "no path of a field"),
        (factor("a: {fields: [seed], values: [1, 2]}"), "sweep.factors.a", "`seed` is no factor"),
        (factor("a: {fields: [sweep.repeats], values: [1, 2]}"), "sweep.factors.a", "`sweep` is no factor"),
        (factor("size: [1]"), "sweep.factors.size", "1 values"),
        (factor("size: 5"), "sweep.factors.size", "a list of values"),
        (GOOD.replace("[10, 20/s]", "[10, fast]"), "sweep.factors", "groups[0].rate: `fast` is not a rate"),
        (GOOD.replace("gates", two), "sweep.factors.rate", "there are 2 groups: give `fields`"),
        (inside("repeats: 0"), "sweep.repeats", "give 1 to 100"),
        (inside("at_most: 47"), "sweep.factors", "are 48 runs, at most 47"),
        (top("search: {rate: {from: 1, to: 2}}"), "sweep", "there is a search"),
        (top("lag_limit: 0"), "lag_limit", "invalid"),
        // Room for `-c16-r3` within 64 bytes.
        (top(&format!("id: {}", "x".repeat(58))), "id", "longer than 57 bytes"),
    ] {
        match read(&text) {
            Err(CodecError::Field { field: named, problem, .. }) => {
                assert_eq!(named, field, "{problem}");
                assert!(problem.contains(part), "{named}: {problem}");
            }
            other => panic!("{text}\n-> {other:?}"),
        }
    }
    assert!(read(&top(&format!("id: {}", "x".repeat(57)))).is_ok());
}
