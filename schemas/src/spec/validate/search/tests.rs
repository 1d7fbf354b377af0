use super::*;
use crate::codec::CodecError;
use crate::submission::{Submission, from_bytes};

const GOOD: &str = "
name: capacity
metadata: {purpose: test}
groups:
- {name: pay, target: http://shop/, arrivals: poisson}
- {name: look, target: http://shop/, rate: 5}
gates: ['p99(response) < 50ms']
search:
  group: pay
  rate: {from: 50, to: 5000}
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

fn probe(load: Load, purpose: SearchPurpose) -> SearchProbe {
    SearchProbe { number: 3, load, length: HumanDuration::from_secs(20), settle: HumanDuration::from_secs(2), purpose }
}

#[test]
fn a_search_is_taken_and_is_no_experiment_that_runs_by_itself() {
    let error = good().validate().unwrap_err();
    assert_eq!(error.field, "search");
    assert!(error.problem.contains("a series of experiments"), "{error}");
    assert_eq!(ExperimentSpec { search: None, ..good() }.validate_search().unwrap_err().field, "search");
    let again = read(&serde_json::to_string(&good()).unwrap()).unwrap();
    assert_eq!(again, Submission::Spec(Box::new(good())));
}

#[test]
fn each_probe_is_an_experiment_of_its_own() {
    let spec = good();
    let searched = spec.searched_group(spec.search.as_ref().unwrap()).unwrap();
    let child = spec.search_probe(searched, "s", &probe(Load::Rate("900/s".parse().unwrap()), SearchPurpose::Halve));
    assert_eq!(child.validate(), Ok(()));
    assert_eq!(child.id.as_deref(), Some("s-p3"));
    assert_eq!(child.name.as_deref(), Some("capacity, probe 3 at 900/s"));
    let metadata: Vec<(&str, &str)> = child.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(metadata, [("load", "900/s"), ("purpose", "test"), ("search", "s")]);
    let [pay, look] = child.groups.as_slice() else { panic!("two groups") };
    assert_eq!((pay.rate.unwrap().to_string(), pay.offered_ns()), ("900/s".into(), Some(22_000_000_000)));
    // The other group offers what it says, for as long.
    assert_eq!((look.rate.unwrap().to_string(), look.offered_ns()), ("5/s".into(), Some(22_000_000_000)));
    assert_eq!((pay.warm_up, look.warm_up), (HumanDuration::from_secs(2), HumanDuration::from_secs(2)));
    assert_eq!(child.gates, spec.gates);
    let users = spec.search_probe(0, "s", &probe(Load::Users(7), SearchPurpose::Bracket));
    assert_eq!((users.groups[0].users, users.groups[0].rate), (Some(7), None));
}

#[test]
fn what_cannot_be_searched_is_refused_by_its_field() {
    let pay = |more: &str| GOOD.replace("arrivals: poisson", more);
    let look = |more: &str| GOOD.replace("rate: 5", more);
    let top = |more: &str| format!("{GOOD}{more}\n");
    let inside = |more: &str| format!("{GOOD}  {more}\n");
    for (text, field) in [
        (pay("rate: 1"), "groups[0].rate"),
        (pay("users: 1"), "groups[0].users"),
        (pay("duration: 1s"), "groups[0].duration"),
        (pay("iterations: 1"), "groups[0].iterations"),
        (pay("stages: [{duration: 1s, rate: 1}]"), "groups[0].stages"),
        (pay("rate_per_node: true"), "groups[0].rate_per_node"),
        (pay("warm_up: 1s"), "groups[0].warm_up"),
        (look("rate: 5, duration: 1s"), "groups[1].duration"),
        (look("timeout: 5s"), "groups[1].rate"),
        (GOOD.replace("group: pay", "group: pya"), "search.group"),
        (GOOD.replace("  group: pay\n", ""), "search.group"),
        (GOOD.replace("gates: ['p99(response) < 50ms']", ""), "gates"),
        (GOOD.replace("50ms'", "50ms', {expression: failures < 1%, over: 30s}"), "gates[1].over"),
        (GOOD.replace("from: 50", "from: 0"), "search.rate.from"),
        (inside("precision: 0%"), "search.precision"),
        (inside("confirm: {pass: 1}"), "search.confirm.pass"),
        (inside("recovery: {share: 5%}"), "search.recovery"),
        (top("sweep: {factors: {drain: [1s, 2s]}}"), "sweep"),
        (top("lag_limit: 0"), "lag_limit"),
        // Room for `-p1500` within 64 bytes: 60 probes with 24 recoveries each.
        (top(&format!("id: {}", "x".repeat(59))), "id"),
    ] {
        match read(&text) {
            Err(CodecError::Field { field: named, .. }) => assert_eq!(named, field, "{text}"),
            other => panic!("{text}\n-> {other:?}"),
        }
    }
    assert!(read(&top(&format!("id: {}", "x".repeat(58)))).is_ok());
}

#[test]
fn a_window_must_fit_into_every_probe_and_recovery() {
    let text = GOOD.replace("50ms'", "50ms', {expression: failures < 1%, over: 10s}");
    let error = read(&text).unwrap_err().to_string();
    assert!(error.contains("gates[1].over") && error.contains("in a recovery of 5s"), "{error}");
    assert!(read(&format!("{text}  recover: {{probe: 10s}}\n")).is_ok());
}
