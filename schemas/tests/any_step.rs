//! Whatever is written is a step that survives being written again, or an error.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use nuncius_schemas::codec;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::spec::{ExperimentSpec, Step};
use nuncius_schemas::submission::{Submission, from_bytes};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Anything that JSON can say, with the words of steps more often than others.
fn anything() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] = &[
        "get",
        "post",
        "request",
        "think",
        "set",
        "loop",
        "if",
        "parallel",
        "call",
        "log",
        "publish",
        "consume",
        "job",
        "name",
        "probability",
        "method",
        "path",
        "headers",
        "body",
        "expect",
        "url",
        "query",
        "json",
        "form",
        "multipart",
        "file",
        "auth",
        "timeout",
        "redirects",
        "capture",
        "checks",
        "on_check_failure",
        "count",
        "over",
        "as",
        "while",
        "at_most",
        "steps",
        "condition",
        "then",
        "else",
        "branches",
        "between",
        "time",
        "jitter",
        "status",
        "matches",
        "below",
        "equals",
        "basic",
        "css",
        "default",
    ];
    const TEXTS: &[&str] = &[
        "/a",
        "http://a/b",
        "{{ x }}",
        "a{{ 'b' }}c",
        "${A:-b}",
        "",
        "1s",
        "20%",
        "10KiB",
        "2xx",
        "status",
        "body",
        "none",
        "fail",
        "GET",
        "$.a",
        "a(b)",
        "Content-Type",
        "\u{0}",
        "ü",
        "item",
        "true",
    ];
    let text = prop_oneof![4 => prop::sample::select(TEXTS).prop_map(str::to_owned), 1 => ".{0,6}"];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (0u64..500).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let key = prop_oneof![9 => prop::sample::select(KEYS).prop_map(str::to_owned), 1 => "[a-z]{0,4}"];
        let map = prop::collection::btree_map(key, inner.clone(), 0..4);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            4 => map.prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A step, or what is near to one: with a further key, or with anything in the place of a part of it.
fn like_a_step() -> impl Strategy<Value = Value> {
    let capture = json!({"a": {"css": "a", "attribute": "b"}, "b": "status", "c": {"json": "$.c", "default": null}});
    let checks = json!([{"status": 200}, {"body": null, "matches": "a"}, {"json": "$.a", "above": 1.5}]);
    let known = vec![
        json!({"get": "/a"}),
        json!({"post": {"url": "/a", "json": {"a": "{{ b }}"}, "capture": capture, "checks": checks}}),
        json!({"request": {"method": {"custom": "PURGE"}, "query": {"a": ["b", "c"]}, "auth": {"bearer": "{{ t }}"}}}),
        json!({"put": {"url": "http://a/", "multipart": [{"name": "a", "file": "b"}], "expect": {"status": "2xx"}}}),
        json!({"think": "2s"}),
        json!({"think": {"between": ["1s", "2s"]}}),
        json!({"think": {"time": "1s", "jitter": "12.5%"}}),
        json!({"set": {"a": 1.5, "b": ["c", {"d": null}]}}),
        json!({"loop": {"count": 3, "steps": [{"get": "/x"}]}}),
        json!({"loop": {"count": "{{ n }}", "at_most": 5, "steps": [{"think": "1s"}]}}),
        json!({"loop": {"over": ["a", 1], "as": "x", "steps": [{"log": "x"}]}}),
        json!({"loop": {"while": "{{ a }}", "steps": [{"call": "f"}]}}),
        json!({"if": {"condition": "{{ a }}", "then": [{"head": "/"}], "else": [{"options": "/"}]}}),
        json!({"parallel": [{"get": "/x"}, {"delete": "/y"}]}),
        json!({"parallel": {"branches": [[{"get": "/x"}], [{"path": "/y"}, {"patch": "/z"}]], "at_most": 2}}),
        json!({"call": "f"}),
        json!({"log": "x {{ y }}"}),
        json!({"method": "GET", "path": "/a", "headers": {"a": "b"}, "body": "c", "expect": {"status": [200, 404]}}),
        json!({"publish": {"routing_key": "k"}}),
        json!({"consume": {"queue": "q"}}),
        json!({"job": {"args": ["a"]}}),
    ];
    let key = prop::sample::select(&["name", "if", "probability", "headers", "get", "job"][..]);
    let further = prop::option::weighted(0.3, (key, anything()));
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), anything()));
    (prop::sample::select(known), further, damage).prop_map(|(mut step, further, damage)| {
        if let Some((key, value)) = further {
            step[key] = value;
        }
        if let Some((at, value)) = damage {
            let mut parts = parts_of(&mut step);
            if !parts.is_empty() {
                let at = at.index(parts.len());
                *parts.swap_remove(at) = value;
            }
        }
        step
    })
}

/// Every value under a key that holds no keys of its own.
fn parts_of(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(map) => map.values_mut().flat_map(parts_of).collect(),
        whole => vec![whole],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn whatever_is_written_is_a_step_that_survives_or_an_error(
        value in prop_oneof![1 => anything(), 3 => like_a_step()]
    ) {
        let group = json!({"target": "http://stub/", "rate": 1, "duration": "1s", "steps": [value]});
        let text = json!({"groups": [group]}).to_string();
        let Ok(spec) = codec::from_text::<ExperimentSpec>(&text) else { return Ok(()) };
        let step = &spec.groups[0].steps[0];
        let written = serde_json::to_string(step).unwrap();
        prop_assert_eq!(&codec::from_text::<Step>(&written).unwrap(), step, "{}", written);
        let packed = codec::encode(step).unwrap();
        prop_assert_eq!(&codec::decode::<Step>(&packed).unwrap(), step, "{}", written);
        // Names, checks and redaction take whatever was read.
        prop_assert_eq!(spec.groups[0].step_names().len(), spec.groups[0].measured_steps().len());
        let redacted = redact_spec(&spec);
        prop_assert_eq!(redacted.groups[0].measured_steps().len(), spec.groups[0].measured_steps().len());
        if spec.validate().is_ok() {
            let again = from_bytes(serde_json::to_string(&spec).unwrap().as_bytes());
            prop_assert_eq!(again, Ok(Submission::Spec(Box::new(spec))), "{}", written);
        }
    }
}
