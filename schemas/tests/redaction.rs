//! A secret in any field of a specification is in nothing that is stored or shown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::collections::BTreeSet;
use std::convert::Infallible;

use nuncius_schemas::redact::{redact_arguments, redact_spec, redact_text};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::spec::texts::TextKind;
use nuncius_schemas::submission::from_bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A group of scenarios in which every field that holds a text has one.
fn scenarios() -> Value {
    let inner = json!(["b", {"password": [{"deep": "c"}, 7]}]);
    let value = json!({"a": inner, "n": 1.5, "t": "{{ x }}", "z": null, "y": true});
    let request = json!({
        "url": "/a?b=c", "query": {"q": "a", "token": ["b", "c"]}, "headers": {"X-C": "a", "Authorization": "b"},
        "auth": {"basic": {"user": "u", "password": "p"}}, "timeout": "1s", "expect": {"status": 200},
        "before_request": "f", "after_response": "g",
        "capture": {
            "token": {"json": "$.a", "all": true, "default": value}, "b": {"header": "Location"},
            "c": {"regex": "a(b)"}, "d": {"css": "a.b", "attribute": "href"}, "e": {"cookie": "sid", "default": null},
            "f": "status", "g": "body"
        },
        "checks": [
            {"status": [200, 201], "name": "fine"}, {"header": "X-D", "matches": "^a"},
            {"cookie": "sid", "exists": true}, {"json": "$.token", "equals": value},
            {"body": true, "matches": "b"}, {"size": true, "below": "1KiB"}, {"time": true, "below": "1s"},
            {"json": "$.n", "above": 3}
        ]
    });
    let parts = json!([
        {"name": "pwd", "value": "v", "type": "a/b"}, {"name": "f", "file": "a.b", "filename": "c"}
    ]);
    let bodies = [
        json!({"body": "b"}),
        json!({"json": value}),
        json!({"form": {"a": "b", "secret": ["c", "d"]}}),
        json!({"multipart": parts}),
        json!({"file": "f.bin", "auth": {"bearer": "t"}}),
    ];
    let posts: Vec<Value> = bodies
        .into_iter()
        .map(|mut body| {
            body["url"] = "http://other/".into();
            json!({"name": "s", "if": "{{ a }}", "post": body})
        })
        .collect();
    let oauth2 = json!({"oauth2": {"grant": "password", "token_url": "/t", "client_id": "i", "client_secret": "s",
                                   "user": "u", "password": "p", "scope": "a b", "per": "run"}});
    json!({
        "name": "shop", "target": "http://shop/", "rate": 1, "duration": "1s", "auth": oauth2,
        "variables": {"tenant": value, "pin_token": 1234},
        "feeders": [
            {"name": "users", "rows": [{"email": "a", "password": 5}, value]},
            {"name": "more", "file": "a.txt", "format": "csv", "order": "unique", "at_end": "again", "delimiter": ";"}
        ],
        "script": {"source": "export function f() {}"},
        "before": [{"set": {"session_id": value}}], "after": [{"log": "x"}],
        "scenarios": [
            {"name": "one", "weight": 2, "steps": [{"request": request}, {"think": {"time": "1s", "jitter": "20%"}}]},
            {"name": "two", "steps": [
                {"loop": {"count": "{{ 3 }}", "steps": posts}},
                {"loop": {"over": value["a"], "as": "pwd", "steps": [{"call": "f"}]}},
                {"loop": {"while": "{{ c }}", "steps": [{"get": "/x"}]}},
                {"if": {"condition": "{{ d }}", "then": [{"get": "/y"}], "else": [{"path": "/z", "body": "v"}]}},
                {"parallel": [{"get": "/1"}, {"get": "/2"}]},
                {"parallel": {"branches": [[{"get": "/3"}], [{"get": "/4"}, {"get": "/5"}]], "at_most": 1}}
            ]}
        ]
    })
}

/// A specification in which every field that holds a text has one.
fn full() -> ExperimentSpec {
    let nodes = json!({"labels": {"zone": "a", "token": "b"}, "names": "edge-.*"});
    let groups = json!([
        {
            "name": "web", "target": "https://shop/a?b=c", "nodes": nodes, "rate": 1, "duration": "1s",
            "headers": {"X-A": "a", "Authorization": "b"}, "tls": {"server_name": "shop"},
            "steps": [{"name": "s", "method": "POST", "path": "/p?a=b", "body": "x", "expect": {"status": "2xx"},
                       "headers": {"X-B": "b", "Cookie": "c"}}]
        },
        {
            "name": "broker", "engine": "amqp", "target": "amqp://broker/v", "rate": 1, "duration": "1s",
            "steps": [{"publish": {"exchange": "e", "routing_key": "k", "body": "b"}}, {"consume": {"queue": "q"}}]
        },
        {
            "name": "jobs", "engine": "queue", "target": "queue://q", "rate": 1, "duration": "1s",
            "steps": [{"job": {"args": ["one", "two", "three"]}}]
        },
        {
            "name": "servos", "engine": "servo", "target": "http://oco/", "users": 1, "duration": "1s",
            "servo": {"account": "a", "app_template": "a{n}", "token": "${TOKEN}"}
        },
        scenarios(),
        {
            "name": "file", "target": "http://shop/", "users": 1, "duration": "1s", "script": "hooks.js",
            "auth": {"bearer": "${TOKEN}"}, "steps": [{"get": {"url": "/", "auth": "none"}}]
        }
    ]);
    let value = json!({
        "id": "e", "name": "n", "creator": "c", "metadata": {"note": "m", "password": "p"},
        "services": {"shop": ["h:1"]}, "nodes": nodes, "groups": groups,
        "bundle": {"digest": "d", "name": "b", "bytes": 1},
        "stress": [{"for": "1s", "cpu": "10%", "nodes": nodes}],
        "profile": [{"name": "p", "nodes": nodes, "command": ["run", "{pid}"], "pid_of": "shop", "output": "o"}],
        "gates": [{"expression": "failures < 1%", "group": "web", "step": "s"}],
        "telemetry": {"nodes": ["edge-*"]},
        "scaling": {"steps": [1, 2], "workers": {"start": "local", "command": ["run", "it"]},
                    "device": {"name": "d", "work": "1ms"}},
        "search": {"group": "web", "rate": {"from": 1, "to": 2}},
        "sweep": {"factors": {"size": {"fields": ["groups[0].headers.X-Size"], "values": ["small", 5]},
                              "password": ["one", "two"]}, "load": "size", "resource": "password"}
    });
    serde_json::from_value(value).unwrap()
}

/// The texts of a specification: field and whether a secret may stand there bare.
fn fields(spec: &mut ExperimentSpec) -> Vec<(String, bool)> {
    let mut fields = Vec::new();
    let done: Result<(), Infallible> = spec.visit_texts(&mut |text| {
        let is_bare = match text.kind {
            TextKind::Credential => true,
            TextKind::Note(name) | TextKind::Label(name) | TextKind::Header(name) | TextKind::Value(name) => {
                nuncius_schemas::redact::is_secret_name(name)
            }
            TextKind::Name
            | TextKind::File
            | TextKind::Url
            | TextKind::Address
            | TextKind::Place
            | TextKind::Body
            | TextKind::Argument(_)
            | TextKind::Command(_)
            | TextKind::Certificate
            | TextKind::Template
            | TextKind::Pattern
            | TextKind::Script => false,
        };
        fields.push((text.field, is_bare));
        Ok(())
    });
    done.unwrap();
    fields
}

/// The forms in which a secret can be told from other text.
const FORMS: [&str; 8] = [
    "password=SECRET",
    "--token=SECRET",
    "Authorization: Bearer SECRET",
    "http://me:SECRET@shop/",
    "http://shop/a?api_key=SECRET&b=1",
    "{\"client_secret\": \"SECRET\"}",
    "<password>SECRET</password>",
    "${NAME:-a} password=${NAME:-SECRET}",
];

/// Every text of a JSON value that is no key.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(map) => map.values().for_each(|value| leaves(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn the_list_of_texts_has_every_text_there_is() {
    let mut spec = full();
    let mut number = 0;
    let done: Result<(), Infallible> = spec.visit_texts(&mut |text| {
        number += 1;
        *text.value = format!("visited-{number}");
        Ok(())
    });
    done.unwrap();
    let mut found = BTreeSet::new();
    leaves(&serde_json::to_value(&spec).unwrap(), &mut found);
    let words = [
        "local",
        "http",
        "amqp",
        "queue",
        "servo",
        "none",
        "constant",
        "pool",
        "POST",
        "200-299",
        "takeover",
        "password",
        "run",
        "csv",
        "unique",
        "again",
        "status",
        "body",
        "geometric",
        "random",
        "folded",
    ];
    let missed: Vec<&String> = found
        .iter()
        .filter(|text| !text.starts_with("visited-") && !words.contains(&text.as_str()))
        // Numbers with their units, and gates, are written as texts.
        .filter(|text| !text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(" < "))
        .filter(|text| text.parse::<nuncius_schemas::servo::DurationDistribution>().is_err())
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(found.iter().filter(|text| text.starts_with("visited-")).count(), number);
}

#[test]
fn what_a_template_or_a_variable_names_is_no_secret_and_what_is_within_one_is() {
    let group = json!({
        "target": "http://shop/", "rate": 1, "duration": "1s", "auth": {"bearer": "{{ token }}"},
        "variables": {"password": "${SHOP_PASSWORD}", "credentials": {"user": "hunter2", "pin": 123_456}},
        "steps": [{"post": {"url": "/login", "headers": {"Cookie": "{{ 'hunter2' }}", "X-Auth": "Bearer {{ token }}"},
                            "json": {"password": "{{ users.password }}", "token": "hunter2"}}}]
    });
    let spec: ExperimentSpec = serde_json::from_value(json!({"groups": [group]})).unwrap();
    let redacted = serde_json::to_value(redact_spec(&spec)).unwrap();
    let group = &redacted["groups"][0];
    assert_eq!(group["auth"], json!({"bearer": "{{ token }}"}));
    assert_eq!(group["variables"]["password"], "${SHOP_PASSWORD}");
    assert_eq!(group["variables"]["credentials"], json!({"user": "[redacted]", "pin": "[redacted]"}));
    let request = &group["steps"][0]["post"];
    assert_eq!(request["headers"], json!({"Cookie": "[redacted]", "X-Auth": "Bearer {{ token }}"}));
    assert_eq!(request["json"], json!({"password": "{{ users.password }}", "token": "[redacted]"}));
}

#[test]
fn what_follows_the_name_of_a_secret_in_arguments_is_one() {
    let arguments = |words: &[&str]| -> Vec<String> {
        redact_arguments(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(arguments(&["--user", "me", "--password", "hunter2", "-v"])[3], "[redacted]");
    assert_eq!(arguments(&["--password=hunter2"]), ["--password=[redacted]"]);
    assert_eq!(arguments(&["-H", "Authorization: Bearer hunter2"])[1], "Authorization: [redacted]");
    assert_eq!(arguments(&["Bearer", "hunter2"])[1], "[redacted]");
    assert_eq!(arguments(&["--api-key", "${KEY}", "--frames", "300"]), ["--api-key", "${KEY}", "--frames", "300"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_secret_in_any_field_is_in_nothing_that_is_stored_or_shown(
        secret in "[A-Za-z0-9]{16,24}", field in any::<prop::sample::Index>(), form in prop::sample::select(&FORMS[..]),
    ) {
        let full = full();
        let fields = fields(&mut full.clone());
        let (wanted, is_bare) = &fields[field.index(fields.len())];
        let texts = [Some(form.replace("SECRET", &secret)), is_bare.then(|| secret.clone())];
        for text in texts.into_iter().flatten() {
            let mut spec = full.clone();
            let done: Result<(), Infallible> = spec.visit_texts(&mut |found| {
                if found.field == *wanted {
                    found.value.clone_from(&text);
                }
                Ok(())
            });
            done.unwrap();
            let redacted = redact_spec(&spec);
            let stored = serde_json::to_string(&redacted).unwrap();
            prop_assert!(!stored.contains(&secret), "{} = {}: {}", wanted, text, stored);
            prop_assert_eq!(&redact_spec(&redacted), &redacted, "twice is the same as once");
            // What is said of a specification that is refused is shown and stored, too.
            if let Err(error) = from_bytes(&serde_json::to_vec(&spec).unwrap()) {
                let told = redact_text(&error.to_string());
                prop_assert!(!told.contains(&secret), "{} = {}: {}", wanted, text, told);
            }
        }
    }
}
