//! Golden messages: what earlier versions wrote must still load, and mean the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use nuncius_schemas::codec::{decode, encode};
use nuncius_schemas::document::messages;
use nuncius_schemas::submission::{Submission, from_bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[path = "messages/archive_fixtures.rs"]
mod archive_fixtures;
#[path = "messages/fixtures.rs"]
mod fixtures;
#[path = "messages/profile_fixtures.rs"]
mod profile_fixtures;
#[path = "messages/queue_fixtures.rs"]
mod queue_fixtures;
#[path = "messages/report_fixtures.rs"]
mod report_fixtures;
#[path = "messages/route_fixtures.rs"]
mod route_fixtures;
#[path = "messages/series_fixtures.rs"]
mod series_fixtures;
#[path = "messages/telemetry_fixtures.rs"]
mod telemetry_fixtures;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/messages")
}

/// The committed bytes, written first when they are to be updated and do not say what the fixture says.
fn golden<T: DeserializeOwned + PartialEq>(file: &str, fixture: &T, bytes: Vec<u8>) -> Vec<u8> {
    let path = folder().join(file);
    if std::env::var_os("NUNCIUS_UPDATE").is_some() {
        let is_current =
            std::fs::read(&path).is_ok_and(|found| decode::<T>(&found).is_ok_and(|found| found == *fixture));
        if !is_current {
            std::fs::write(&path, &bytes).unwrap();
        }
    }
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{file}: {error}; write it: NUNCIUS_UPDATE=1 cargo test -p nuncius-schemas --test messages")
    })
}

/// The committed messages of a type say what the fixture says.
fn keeps<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, fixture: &T) {
    keeps_version(name, 1, fixture);
}

fn keeps_version<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, version: u32, fixture: &T) {
    let json = serde_json::to_vec_pretty(fixture).unwrap();
    let json = golden(&format!("{name}.v{version}.json"), fixture, [json, b"\n".to_vec()].concat());
    let pack = golden(&format!("{name}.v{version}.msgpack"), fixture, encode(fixture).unwrap());
    for (form, bytes) in [("JSON", &json), ("MessagePack", &pack)] {
        let found: T = decode(bytes).unwrap_or_else(|error| panic!("{name} as {form} does not load any more: {error}"));
        assert_eq!(&found, fixture, "{name} as {form}");
    }
    // What was written must also stay readable by those who wrote it: no field may be lost.
    let (then, now): (Value, Value) = (serde_json::from_slice(&json).unwrap(), serde_json::to_value(fixture).unwrap());
    holds_all(name, &then, &now);
}

/// Every field of `then` is still in `now`, with the same value.
fn holds_all(path: &str, then: &Value, now: &Value) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then {
                let found = now.get(key).unwrap_or_else(|| panic!("{path}.{key} is not written any more"));
                holds_all(&format!("{path}.{key}"), value, found);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            then.iter().zip(now).for_each(|(then, now)| holds_all(path, then, now));
        }
        _ => assert_eq!(then, now, "{path} is written differently"),
    }
}

#[test]
fn every_message_of_the_first_version_still_loads() {
    keeps("experiment", &fixtures::experiment());
    keeps("experiment-search", &series_fixtures::experiment_search());
    keeps("experiment-sweep", &series_fixtures::experiment_sweep());
    keeps("galileo-instructions", &fixtures::galileo_instructions());
    keeps("galileo-ticks", &fixtures::galileo_ticks());
    keeps("node-info", &fixtures::node_info());
    for (variant, command) in fixtures::node_commands() {
        keeps_version(&format!("node-command{variant}"), 2, &command);
    }
    for (variant, reply) in fixtures::node_replies() {
        keeps(&format!("node-reply{variant}"), &reply);
    }
    keeps_version("node-command-reroute", 2, &route_fixtures::reroute());
    keeps_version("node-command-profile", 2, &profile_fixtures::node_command());
    keeps("node-reply-profiled", &profile_fixtures::node_reply());
    keeps("metric-delta", &fixtures::metric_delta());
    keeps("record-batch", &fixtures::record_batch());
    keeps("experiment-event", &fixtures::experiment_event());
    keeps("experiment-second", &fixtures::experiment_second());
    keeps("run-record", &fixtures::run_record());
    keeps("submit-reply", &fixtures::submit_reply());
    keeps("control", &fixtures::control());
    keeps("control-by", &fixtures::control_by());
    keeps("control-mark", &fixtures::control_mark());
    keeps("control-reply", &fixtures::control_reply());
    keeps("archive-request", &fixtures::archive_request());
    keeps("archive-request-find", &fixtures::archive_find());
    for (variant, reply) in fixtures::archive_replies() {
        keeps(&format!("archive-reply{variant}"), &reply);
    }
    keeps("route", &route_fixtures::route());
    keeps("app", &fixtures::app());
    keeps_version("report", 2, &report_fixtures::report());
    keeps("scaling-report", &fixtures::scaling_report());
    keeps("comparison", &series_fixtures::comparison());
    keeps("comparable-run", &series_fixtures::comparable_run());
    keeps("search-report", &series_fixtures::search_report());
    keeps("sweep-report", &series_fixtures::sweep_report());
    keeps("job", &fixtures::job());
    keeps("job-result", &fixtures::job_result());
    keeps("job-repeat", &fixtures::job_repeat());
    keeps("job-event", &fixtures::job_event());
    keeps("change", &fixtures::change());
    keeps("queue", &fixtures::queue_definition());
    keeps("queue-totals", &fixtures::queue_totals());
    keeps("node-sample", &fixtures::node_sample());
    keeps("node-telemetry", &telemetry_fixtures::node_telemetry());
    for (variant, control) in telemetry_fixtures::controls() {
        keeps(&format!("telemetry-control{variant}"), &control);
    }
    keeps("telemetry-state", &telemetry_fixtures::state());
    keeps("device-request", &fixtures::device_request());
    keeps("device-reply", &fixtures::device_reply());
    keeps("oco-event", &fixtures::oco_event());
    keeps("oco-reply", &fixtures::oco_reply());
    keeps("resource-request", &fixtures::resource_request());
    keeps("resource-reply", &fixtures::resource_reply());
}

#[test]
fn a_report_of_the_first_version_still_loads_with_its_seconds() {
    for form in ["json", "msgpack"] {
        let bytes = std::fs::read(folder().join(format!("report.v1.{form}"))).unwrap();
        let report: nuncius_schemas::report::Report = decode(&bytes).unwrap();
        assert_eq!(report.schema, "report.v1");
        assert_eq!((report.intervals.len(), report.series.len()), (1, 0));
        assert_eq!(report.intervals[0].offered, 10);
        assert!(report.groups[0].steps[0].failed_quantities.is_empty());
    }
}

#[test]
fn every_message_type_has_its_golden_messages() {
    for message in messages() {
        for ending in ["json", "msgpack"] {
            let file = format!("{}.{ending}", message.schema_name());
            assert!(folder().join(&file).is_file(), "{file} is missing");
        }
    }
}

/// Adds a field that no type has to every map that stands for a struct between processes.
fn with_additions(value: &mut Value) {
    // What people write is strict wherever it is carried, and the keys of maps are data.
    const STRICT: [&str; 16] = [
        "spec",
        "search",
        "sweep",
        "amendments",
        "levels",
        "figures",
        "variables",
        "routes",
        "labels",
        "data",
        "quantities",
        "failed_quantities",
        "metadata",
        "services",
        "headers",
        "device",
    ];
    match value {
        Value::Object(map) => {
            map.iter_mut()
                .filter(|(key, _)| !STRICT.contains(&key.as_str()))
                .for_each(|(_, value)| with_additions(value));
            map.insert(
                "added_later".to_owned(),
                Value::from(
                    BTreeMap::from([("a", 1)])
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), Value::from(v)))
                        .collect::<serde_json::Map<_, _>>(),
                ),
            );
        }
        Value::Array(items) => items.iter_mut().for_each(with_additions),
        _ => {}
    }
}

fn ignores_additions<T: Serialize + DeserializeOwned + PartialEq + Debug>(fixture: &T) {
    let mut value = serde_json::to_value(fixture).unwrap();
    with_additions(&mut value);
    assert_eq!(&decode::<T>(value.to_string().as_bytes()).unwrap(), fixture);
    assert_eq!(&decode::<T>(&encode(&value).unwrap()).unwrap(), fixture);
}

#[test]
fn a_newer_process_is_understood_by_an_older_one() {
    ignores_additions(&fixtures::node_info());
    for (_, command) in fixtures::node_commands() {
        ignores_additions(&command);
    }
    for (_, reply) in fixtures::node_replies() {
        ignores_additions(&reply);
    }
    ignores_additions(&fixtures::metric_delta());
    ignores_additions(&fixtures::record_batch());
    ignores_additions(&fixtures::experiment_event());
    ignores_additions(&fixtures::experiment_second());
    ignores_additions(&fixtures::run_record());
    ignores_additions(&fixtures::submit_reply());
    ignores_additions(&fixtures::control_reply());
    ignores_additions(&report_fixtures::report());
    ignores_additions(&fixtures::scaling_report());
    ignores_additions(&series_fixtures::comparison());
    ignores_additions(&series_fixtures::comparable_run());
    ignores_additions(&series_fixtures::search_report());
    ignores_additions(&series_fixtures::sweep_report());
    ignores_additions(&fixtures::app());
    // What asks for something is refused where somebody does not know what it asks for.
    let mut value = serde_json::to_value(fixtures::job()).unwrap();
    with_additions(&mut value);
    let error = decode::<nuncius_schemas::job::Job>(&encode(&value).unwrap()).unwrap_err().to_string();
    assert!(error.contains("unknown field `added_later`"), "{error}");
    ignores_additions(&fixtures::job_result());
    ignores_additions(&fixtures::job_repeat());
    ignores_additions(&fixtures::job_event());
    ignores_additions(&fixtures::change());
    ignores_additions(&fixtures::queue_definition());
    ignores_additions(&fixtures::queue_totals());
    ignores_additions(&fixtures::node_sample());
    ignores_additions(&telemetry_fixtures::node_telemetry());
    ignores_additions(&telemetry_fixtures::state());
    ignores_additions(&fixtures::device_request());
    ignores_additions(&fixtures::device_reply());
    ignores_additions(&fixtures::resource_reply());
}

#[test]
fn a_field_that_people_misspell_is_refused_at_every_depth() {
    fn misspelt(value: &Value) -> Vec<Value> {
        // Each map in turn gets one field too many; free maps take any key.
        fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
            const FREE: [&str; 7] = ["labels", "metadata", "services", "headers", "params", "json", "variables"];
            match value {
                Value::Object(map) => {
                    found.push(at.to_owned());
                    for (key, value) in map.iter().filter(|(key, _)| !FREE.contains(&key.as_str())) {
                        paths(value, &format!("{at}/{key}"), found);
                    }
                }
                Value::Array(items) => {
                    items.iter().enumerate().for_each(|(index, value)| paths(value, &format!("{at}/{index}"), found));
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        paths(value, "", &mut found);
        found
            .iter()
            .map(|path| {
                let mut value = value.clone();
                value.pointer_mut(path).unwrap().as_object_mut().unwrap().insert("raet".to_owned(), Value::from(1));
                value
            })
            .collect()
    }
    for value in [
        serde_json::to_value(fixtures::experiment()).unwrap(),
        serde_json::to_value(series_fixtures::experiment_search()).unwrap(),
        serde_json::to_value(series_fixtures::experiment_sweep()).unwrap(),
        serde_json::to_value(fixtures::galileo_instructions()).unwrap(),
        serde_json::to_value(fixtures::galileo_ticks()).unwrap(),
    ] {
        let read = from_bytes(value.to_string().as_bytes());
        assert!(read.is_ok(), "{read:?}");
        for wrong in misspelt(&value) {
            let error = from_bytes(wrong.to_string().as_bytes()).unwrap_err().to_string();
            assert!(error.contains("raet"), "{error}\n{wrong}");
        }
    }
    for value in
        [serde_json::to_value(route_fixtures::route()).unwrap(), serde_json::to_value(fixtures::control()).unwrap()]
    {
        for wrong in misspelt(&value) {
            let bytes = wrong.to_string();
            let is_route = wrong.get("hosts").is_some();
            let refused = if is_route {
                decode::<nuncius_schemas::route::Route>(bytes.as_bytes()).is_err()
            } else {
                decode::<nuncius_schemas::run::Control>(bytes.as_bytes()).is_err()
            };
            assert!(refused, "{wrong}");
        }
    }
}

#[test]
fn what_is_sent_as_message_pack_is_what_is_sent_as_json() {
    let spec = fixtures::experiment();
    let json = from_bytes(serde_json::to_string(&spec).unwrap().as_bytes()).unwrap();
    let pack = from_bytes(&encode(&spec).unwrap()).unwrap();
    assert_eq!(json, pack);
    assert_eq!(pack, Submission::Spec(Box::new(spec)));
}
