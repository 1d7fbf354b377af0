//! Galileo's inputs mean what its documentation says they mean.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use nuncius_schemas::codec::CodecError;
use nuncius_schemas::galileo::GalileoInput;
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group, RecordsMode, TelemetrySpec};
use nuncius_schemas::submission::{Submission, from_bytes};
use serde_json::{Value, json};

fn read(value: Value) -> Result<GalileoInput, CodecError> {
    match from_bytes(value.to_string().as_bytes())? {
        Submission::Galileo(input) => Ok(input),
        Submission::Spec(spec) => panic!("read as a specification: {spec:?}"),
    }
}

fn translate(text: &str, nodes: &[&str]) -> Result<ExperimentSpec, String> {
    let nodes: Vec<String> = nodes.iter().map(|name| (*name).to_owned()).collect();
    let input = read(json!({ "instructions": text })).map_err(|error| error.to_string())?;
    input.translate(&nodes).map_err(|error| error.to_string())
}

fn stages(group: &Group) -> Vec<(String, String)> {
    group.stages.iter().map(|stage| (stage.duration.to_string(), stage.rate.to_string())).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(duration, rate)| ((*duration).to_owned(), (*rate).to_owned())).collect()
}

#[test]
fn the_example_of_the_original_documentation_runs() {
    let bytes = br#"{"instructions": "spawn exphost squeezenet 1\nsleep 2\nrps exphost squeezenet 1\nsleep 5\nrps exphost squeezenet 0\nsleep 2\nclose exphost squeezenet", "exp_id": "e-1", "creator": "me", "name": "n"}"#;
    let Submission::Galileo(input) = from_bytes(bytes).unwrap() else { panic!("Galileo's input is wanted") };
    assert_eq!((input.id(), input.name(), input.creator()), (Some("e-1"), Some("n"), Some("me")));
    let spec = input.translate(&["exphost".to_owned(), "other".to_owned()]).unwrap();
    assert_eq!((spec.id.as_deref(), spec.records), (Some("e-1"), RecordsMode::All));
    assert_eq!(spec.telemetry, Some(TelemetrySpec::all()), "of all machines, as the original's daemon");
    assert_eq!(spec.groups.len(), 1);
    let group = &spec.groups[0];
    assert_eq!((group.name.as_str(), group.target.as_str()), ("squeezenet", "http://squeezenet/"));
    assert_eq!(stages(group), pairs(&[("2s", "0/s"), ("5s", "1/s"), ("2s", "0/s")]));
    assert_eq!(group.nodes.as_ref().unwrap().names.as_deref(), Some("^(exphost)$"));
    assert_eq!(spec.nodes.names.as_deref(), Some("^(exphost)$"));
    assert!(group.rate_per_node && group.max_in_flight == 50 && group.arrivals == Arrivals::Constant);
}

#[test]
fn the_rate_holds_on_each_matched_worker_and_equal_workers_share_a_group() {
    let text = "# comment\n\nspawn edge-.* shop 2\nspawn cloud shop 2\nrps edge-.* shop 0.5\nrps cloud shop 10\nsleep 1.5\n\
                rps cloud shop 10\nsleep 500ms\nclose edge-.* shop\nsleep 1m1s";
    let spec = translate(text, &["edge-b", "cloud", "edge-a", "idle"]).unwrap();
    let found: Vec<_> = spec
        .groups
        .iter()
        .map(|g| (g.name.as_str(), g.nodes.as_ref().unwrap().names.clone().unwrap(), stages(g)))
        .collect();
    assert_eq!(
        found,
        [
            ("shop", "^(cloud)$".to_owned(), pairs(&[("63s", "10/s")])),
            ("shop-2", "^(edge\\-a|edge\\-b)$".to_owned(), pairs(&[("2s", "0.5/s"), ("61s", "0/s")])),
        ]
    );
    assert!(spec.groups.iter().all(|group| group.max_in_flight == 100));
    assert_eq!(spec.nodes.names.as_deref(), Some("^(cloud|edge\\-a|edge\\-b)$"));
}

#[test]
fn a_service_may_be_spawned_again_after_it_was_closed() {
    let text = "spawn a s 1\nrps a s 1\nsleep 1\nclose a s\nsleep 1\nspawn a s 3\nsleep 1\nrps a s 2\nsleep 1";
    let spec = translate(text, &["a"]).unwrap();
    assert_eq!(stages(&spec.groups[0]), pairs(&[("1s", "1/s"), ("2s", "0/s"), ("1s", "2/s")]));
    assert_eq!(spec.groups[0].max_in_flight, 150);
}

#[test]
fn two_hundred_and_fifty_six_nodes_find_room() {
    let nodes: Vec<String> = (0..256).map(|n| format!("{n:-<64}")).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let spec = translate("spawn .* s 1\nrps .* s 1\nsleep 1", &nodes).unwrap();
    let names = regex::Regex::new(spec.groups[0].nodes.as_ref().unwrap().names.as_ref().unwrap()).unwrap();
    assert!(nodes.iter().all(|node| names.is_match(node)));
}

#[test]
fn a_wrong_line_is_named_with_the_reason() {
    for (text, line, reason) in [
        ("spawn a s 1\nfly a s", "instructions line 2", "unknown command `fly`"),
        ("\n# x\nspawn a s", "instructions line 3", "spawn <worker-regex> <service> <num>"),
        ("spawn a s 1 app", "instructions line 1", "not available yet"),
        ("spawn a s 1\nrps a s 1 app", "instructions line 2", "not available yet"),
        ("spawn a s -1", "instructions line 1", "-1"),
        ("spawn a s 0", "instructions line 1", "1 to 10000"),
        ("spawn a s 99999", "instructions line 1", "1 to 10000"),
        ("spawn a s 1\nrps a s -5", "instructions line 2", "`-5` is not a rate"),
        ("spawn a s 1\nrps a s many", "instructions line 2", "`many` is not a rate"),
        ("sleep abc", "instructions line 1", "`abc` is not a time"),
        ("sleep -1", "instructions line 1", "`-1` is not a time"),
        ("sleep", "instructions line 1", "sleep <seconds>"),
        ("rps a s 1", "instructions line 1", "no client of `s`"),
        ("spawn a s 1\nclose a t", "instructions line 2", "no client of `t`"),
        ("spawn ( s 1", "instructions line 1", "not a regular expression"),
        ("spawn a s/../x 1", "instructions line 1", "not a service"),
        ("spawn b s 1", "instructions line 1", "matches none of the 2 nodes"),
        ("spawn a s 1\nrps other-node s 1", "instructions line 2", "no client of `s` is alive there"),
        ("spawn a s 1\nclose a s\nrps a s 1", "instructions line 3", "no client of `s` is alive there"),
        ("spawn a s 1\nsleep 5", "instructions", "offer nothing"),
        ("", "instructions", "offer nothing"),
        ("spawn a s 1\nrps a s 1\nsleep 99999999", "instructions", "30d"),
        ("spawn a s 1\nsleep 99999999999", "instructions line 2", "too large"),
    ] {
        let error = translate(text, &["a", "other-node"]).unwrap_err();
        assert!(error.starts_with(line) && error.contains(reason), "{text:?} -> {error}");
    }
    let error = translate("spawn edge s 1\nrps edge s 1\nsleep 1", &["edge-1"]).unwrap_err();
    assert!(error.contains("matches none"), "a part of a name is no match: {error}");
}

fn ticks(patch: &[(&str, Value)]) -> Value {
    let mut value = json!({"experiment": {"id": "e", "creator": "me"}, "configuration": {
        "duration": "10s", "interval": 2, "workloads": [{"service": "shop", "ticks": [1, 2.5, 2.5, 0, 7]}]}});
    for (pointer, new) in patch {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), new.clone());
    }
    value
}

const LOAD: &str = "/configuration/workloads/0";

#[test]
fn ticks_are_rates_of_the_service_over_all_nodes() {
    let spec = read(ticks(&[])).unwrap().translate(&[]).unwrap();
    let group = &spec.groups[0];
    assert_eq!(stages(group), pairs(&[("2s", "1/s"), ("4s", "2.5/s"), ("2s", "0/s"), ("2s", "7/s")]));
    assert!(!group.rate_per_node && group.max_in_flight == 150 && group.nodes.is_none());
    assert_eq!((spec.id.as_deref(), spec.creator.as_deref(), spec.records), (Some("e"), Some("me"), RecordsMode::All));
    assert_eq!(spec.telemetry, Some(TelemetrySpec::all()));
}

#[test]
fn ticks_beyond_the_duration_are_cut_and_times_mean_what_they_say() {
    let patch = [("/configuration/duration", json!("1m1.5s")), ("/configuration/interval", json!("30s"))];
    let spec = read(ticks(&patch)).unwrap().translate(&[]).unwrap();
    assert_eq!(stages(&spec.groups[0]), pairs(&[("30s", "1/s"), ("31500ms", "2.5/s")]));
    let patch = [("/configuration/duration", json!(1)), ("/configuration/interval", json!("500ms"))];
    let spec = read(ticks(&patch)).unwrap().translate(&[]).unwrap();
    assert_eq!(stages(&spec.groups[0]), pairs(&[("500ms", "1/s"), ("500ms", "2.5/s")]));
}

#[test]
fn the_request_is_that_of_the_client_parameters() {
    let parameters = json!({"method": "post", "path": "/p?a=1", "kwargs": {
        "headers": {"X-A": "b"}, "json": {"k": [1]}, "params": {"q": "a b&c", "n": 3}, "timeout": 2.5}});
    let patch = [
        ("/configuration/workloads/0/client_parameters", parameters),
        ("/configuration/workloads/0/arrival_pattern", json!("Expovariate")),
    ];
    let spec = read(ticks(&patch)).unwrap().translate(&[]).unwrap();
    let (group, step) = (&spec.groups[0], &spec.groups[0].steps[0]);
    assert_eq!((&group.arrivals, group.timeout.to_string().as_str()), (&Arrivals::Poisson, "2500ms"));
    assert_eq!(
        (step.method.as_ref().map(|method| method.name()), step.path.as_deref()),
        (Some("POST"), Some("/p?a=1&n=3&q=a+b%26c"))
    );
    assert_eq!(step.body.as_deref(), Some(r#"{"k":[1]}"#));
    assert_eq!(step.headers.get("Content-Type").map(String::as_str), Some("application/json"));
    let form = json!({"kwargs": {"data": {"a": "b c"}}});
    let spec = read(ticks(&[("/configuration/workloads/0/client_parameters", form)])).unwrap().translate(&[]).unwrap();
    assert_eq!(spec.groups[0].steps[0].body.as_deref(), Some("a=b+c"));
}

#[test]
fn a_wrong_configuration_is_refused_by_field() {
    let at = |name: &str| format!("{LOAD}/{name}");
    for (pointer, new, field, reason) in [
        ("/configuration/interval".to_owned(), json!(0), "configuration.interval", "0s"),
        ("/configuration/interval".to_owned(), json!("1us"), "configuration.interval", "10000"),
        ("/configuration/duration".to_owned(), json!("abc"), "configuration.duration", "abc"),
        ("/configuration/duration".to_owned(), json!("11s"), "configuration.workloads[0].ticks", "give 6"),
        ("/configuration/workloads".to_owned(), json!([]), "configuration.workloads", "0 entries"),
        ("/configuration/worklods".to_owned(), json!([]), "configuration", "worklods"),
        ("/experiment/owner".to_owned(), json!("x"), "experiment", "owner"),
        ("/experiment/id".to_owned(), json!("a b"), "experiment.id", "a b"),
        (at("ticks"), json!([1, -2, 3, 4, 5]), "configuration.workloads[0].ticks[1]", "-2"),
        (at("ticks"), json!([0, 0, 0, 0, 0]), "configuration.workloads", "offer nothing"),
        (at("clients_per_host"), json!(0), "configuration.workloads[0].clients_per_host", "1 to"),
        (at("arrival_pattern"), json!("bursty"), "configuration.workloads[0].arrival_pattern", "poisson"),
        (at("client"), json!("img"), "configuration.workloads[0].client", "not available yet"),
        (at("service"), json!("a b"), "configuration.workloads[0].service", "not a service"),
        (
            at("client_parameters"),
            json!({"kwargs": {"verify": false}}),
            "configuration.workloads[0].client_parameters.kwargs",
            "verify",
        ),
        (at("client_parameters"), json!({"path": "x"}), "configuration.workloads[0].client_parameters.path", "/"),
        (
            at("client_parameters"),
            json!({"kwargs": {"json": 1, "data": "x"}}),
            "configuration.workloads[0].client_parameters.kwargs.data",
            "either",
        ),
        (
            at("client_parameters"),
            json!({"kwargs": {"timeout": 0}}),
            "configuration.workloads[0].client_parameters.kwargs.timeout",
            "0s",
        ),
    ] {
        let error = read(ticks(&[(pointer.as_str(), new)])).unwrap_err().to_string();
        assert!(error.starts_with(&field.to_string()) && error.contains(reason), "{pointer} -> {error}");
    }
}
