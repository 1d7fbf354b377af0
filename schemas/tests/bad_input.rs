//! Whatever is sent, the answer is an error that names the field or the form: never a panic, never a silent default.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use nuncius_schemas::codec::{CodecError, decode};
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::{NodeCommand, NodeReply};
use nuncius_schemas::record::RecordBatch;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{Control, RunRecord};
use nuncius_schemas::second::ExperimentSecond;
use nuncius_schemas::submission::{Submission, from_bytes, read_tree, wanted_id};
use proptest::prelude::*;

fn submit(bytes: impl AsRef<[u8]>) -> Result<Submission, CodecError> {
    from_bytes(bytes.as_ref())
}

fn group(rest: &str) -> String {
    format!("{{groups: [{{target: 'http://stub/', {rest}}}]}}\n")
}

#[test]
fn a_wrong_field_is_named() {
    let yaml = |rest: &str| format!("groups:\n  - {}\n", rest.replace('\n', "\n    "));
    let digest = "ab".repeat(32);
    let bundled = |rest: &str| format!("bundle: {{{rest}}}\n{}", yaml("target: http://stub/\nrate: 1\nduration: 1s"));
    for (text, field, problem) in [
        (yaml("target: http://stub/\nrate: 1\nduration: 1s\nraet: 1"), "groups[0].raet", "unknown field `raet`"),
        (yaml("target: http://stub/\nrate: 1\nduration: 1 parsec"), "groups[0].duration", "1 parsec"),
        (yaml("target: http://stub/\nrate: -1\nduration: 1s"), "groups[0].rate", "not negative"),
        (yaml("target: http://stub/\nrate: 1e300\nduration: 1s"), "groups[0].rate", "rate"),
        (yaml("target: http://stub/\nrate: 1/fortnight\nduration: 1s"), "groups[0].rate", "fortnight"),
        (yaml("target: http://stub/\nrate: 1\nduration: 31d"), "groups[0].duration", "30d"),
        (yaml("target: http://stub/\nrate: 1"), "groups[0].duration", "missing"),
        (yaml("target: http://stub/\nrate: 1\niterations: 0"), "groups[0].iterations", "0"),
        (bundled("digest: 9F, name: shop, bytes: 1"), "bundle.digest", "64 hexadecimal digits"),
        (bundled(&format!("digest: {digest}, name: a/b, bytes: 1")), "bundle.name", "a/b"),
        (bundled(&format!("digest: {digest}, name: shop, bytes: 0")), "bundle.bytes", "empty"),
        (bundled(&format!("digest: {digest}, name: '${{SHOP}}', bytes: 1")), "bundle.name", "not filled in"),
        (yaml("target: http://stub/\nrate: 0.001/h\niterations: 18446744073709551615"), "groups[0].duration", "30d"),
        (yaml("target: ftp://stub/\nrate: 1\nduration: 1s"), "groups[0].target", "http://"),
        (yaml("target: http://me:pa/ss@stub/\nrate: 1\nduration: 1s"), "groups[0].target", "%2F"),
        (yaml("target: http://stub:0/\nrate: 1\nduration: 1s"), "groups[0].target", "host:port"),
        (yaml("target: http://stub/\nstages: [{duration: 1s, rate: 0}]"), "groups[0].stages", "offer nothing"),
        (yaml("target: http://stub/\nrate: 100000000\nduration: 1s"), "groups[0].rate", "10000000/s"),
        (
            yaml("target: http://stub/\nrate: 1\nduration: 1s\nsteps: [{}, {name: step-1}]"),
            "groups[0].steps[1].name",
            "taken",
        ),
        (
            yaml("target: http://stub/\nrate: 1\nduration: 1s\nsteps: [{path: \"/a\\r\\nb\"}]"),
            "groups[0].steps[0].path",
            "/",
        ),
        (
            yaml("target: http://stub/\nrate: 1\nduration: 1s\nheaders: {a: \"b\\nc: d\"}"),
            "groups[0].headers.a",
            "line end",
        ),
        (yaml("target: http://stub/\nrate: 1\nduration: 1s\ntimeout: 2h"), "groups[0].timeout", "1h"),
        (yaml("target: http://stub/\nusers: 4294967295\nduration: 1s"), "groups[0].users", "1000000"),
        (
            yaml("engine: amqp\ntarget: amqp://b/\nrate: 1\nduration: 1s\nsteps: [{publish: {routing_key: ''}}]"),
            "groups[0].steps[0].publish.routing_key",
            "queue",
        ),
        ("groups: []".to_owned(), "groups", "empty"),
        ("name: x".to_owned(), ".", "missing field `groups`"),
        ("id: a.b\ngroups: [{target: http://stub/, rate: 1, duration: 1s}]".to_owned(), "id", "a.b"),
        ("name: \"a\\0b\"\ngroups: [{target: http://stub/, rate: 1, duration: 1s}]".to_owned(), "name", "control"),
        ("lag_limit: 0\ngroups: [{target: http://stub/, rate: 1, duration: 1s}]".to_owned(), "lag_limit", "0"),
        (
            "services: {a: [':80']}\ngroups: [{target: http://stub/, rate: 1, duration: 1s}]".to_owned(),
            "services.a",
            "host:port",
        ),
        (
            "gates: [p99(speed) < 1s]\ngroups: [{target: http://stub/, rate: 1, duration: 1s}]".to_owned(),
            "gates[0]",
            "speed",
        ),
    ] {
        match submit(&text) {
            Err(CodecError::Field { field: named, problem: told, .. }) => {
                assert!(named == field && told.contains(problem), "{text}\n-> {named}: {told}");
            }
            other => panic!("{text}\n-> {other:?}"),
        }
    }
}

#[test]
fn whoever_wrote_the_file_is_told_the_line_and_what_was_meant() {
    let head = "groups:\n  - target: http://stub/\n    rate: 1\n    duration: 1s\n";
    let step = |step: &str| format!("{head}    steps:\n      - {step}\n");
    for (text, told) in [
        (
            format!("{head}    raet: 1\n"),
            "groups[0].raet: unknown field `raet`; did you mean `rate`? (line 5, column 5)",
        ),
        (format!("{head}    maxInFlight: 1\n"), "did you mean `max_in_flight`? (line 5, column 5)"),
        (step("method: GTE"), "groups[0].steps[0].method: `GTE` is not a method; did you mean GET?"),
        (step("method: GTE"), "(line 6, column 17)"),
        (step("expect: {status: 999}"), "groups[0].steps[0].expect.status: 999: a status is within 100 to 599 (line 6"),
        (step("{path: /a, headers: {X-A: 1, x-a: 2}}"), "the same header as `X-A`"),
        (format!("{head}    headers: {{X-A: 1, X-A: 2}}\n"), "groups[0].headers.X-A: written twice, first at line 5"),
        (
            head.replace("stub/", "stub/?a=1") + "    steps: [{path: /b}]\n",
            "groups[0].target: its query would not be sent",
        ),
        (format!("{head}gates: ['p99(response) =< 1s']\n"), "`=<` is no comparison: write `<=`"),
        (format!("{head}recods: all\n"), "recods: unknown field `recods`; did you mean `records`? (line 5, column 1)"),
        (format!("{head}records: al\n"), "records: `al` is unknown; did you mean `all`? (line 5, column 10)"),
        (format!("{head}    name: ${{A}}\n"), "groups[0].name: variables are not filled in here"),
        (format!("{head}    headers: {{X: '${{A:?b}}'}}\n"), "groups[0].headers.X: `${A` is not a variable"),
        (format!("{head}    name: ' x'\n"), "groups[0].name: empty, or begins or ends with a space (line 5, column 5)"),
    ] {
        let error = submit(&text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}\n-> {error}\nwithout {told}");
        assert!(!error.contains("Policy") && !error.contains("struct ") && !error.contains("u16"), "{error}");
    }
    let job: Result<nuncius_schemas::job::Job, _> = decode(br#"{"args": [0.5], "limt": "1s"}"#);
    assert_eq!(job.unwrap_err().to_string(), "limt: unknown field `limt`; did you mean `limit`? (line 1, column 17)");
}

#[test]
fn names_are_for_people_and_scalars_are_texts_where_texts_are_wanted() {
    let text = "name: 2024\nmetadata: {build: 1.10}\ngroups:\n  - name: Warm up\n    target: http://stub/\n    rate: 1\n    \
                duration: 1s\n    headers: {X-Version: 1.10, X-Yes: yes}\n    steps:\n      - {name: 'Log in, then pay', path: /}\n      \
                - {name: 2, method: {custom: PURGE}, expect: {status: [2xx, 404]}}\n  - engine: queue\n    name: Jobs\n    \
                target: queue://q\n    rate: 1\n    duration: 1s\n    steps: [{job: {args: [0.5, 1e3]}}]\n\
                gates: [{expression: failures < 1%, group: Warm up, step: 'Log in, then pay'}]\n";
    let Submission::Spec(spec) = submit(text).unwrap() else { panic!("a specification is wanted") };
    assert_eq!((spec.name.as_deref(), spec.metadata["build"].as_str()), (Some("2024"), "1.10"));
    assert_eq!(spec.groups[0].name, "Warm up");
    assert_eq!(spec.groups[0].headers.values().collect::<Vec<_>>(), ["1.10", "yes"]);
    assert_eq!(spec.groups[0].step_names(), ["Log in, then pay", "2"]);
    assert_eq!(spec.groups[1].steps[0].job.as_ref().unwrap().args, ["0.5", "1e3"]);
    // The same in JSON, and as it is published.
    assert_eq!(submit(serde_json::to_string(&spec).unwrap()).unwrap(), Submission::Spec(spec));
    let scaling = "groups: [{engine: queue, target: 'queue://q'}]\n\
                   scaling: {steps: [1, 2], workers: {start: local, command: [sleep, 0.50]}}";
    assert!(serde_json::to_string(&submit(scaling).unwrap().to_value().unwrap()).unwrap().contains("\"0.50\""));
    let galileo = "configuration: {duration: 1, interval: 1, workloads: [{service: s, ticks: [1], client_parameters: \
                   {method: post, kwargs: {headers: {X: 1.10}, data: 1.10, params: {a: 1.10}}}}]}";
    let Submission::Galileo(input) = submit(galileo).unwrap() else { panic!("Galileo's input is wanted") };
    let step = input.translate(&[]).unwrap().groups.remove(0).steps.remove(0);
    assert_eq!(
        (step.path.as_deref(), step.body.as_deref(), step.headers["X"].as_str()),
        (Some("/?a=1.10"), Some("1.10"), "1.10")
    );
}

#[test]
fn a_file_of_another_program_is_told_by_its_name_with_what_to_write_instead() {
    for (text, what) in [
        (
            "config:\n  target: http://a/\n  phases: [{duration: 1, arrivalRate: 1}]\nscenarios: [{flow: []}]\n",
            "Artillery",
        ),
        (r#"{"config": {"target": "http://a/"}, "scenarios": []}"#, "Artillery"),
        ("import http from 'k6/http';\nexport default function () { http.get('http://a/'); }\n", "k6"),
        ("<?xml version=\"1.0\"?>\n<jmeterTestPlan version=\"1.2\">\n", "JMeter"),
        ("from locust import HttpUser, task\n\nclass A(HttpUser):\n    @task\n    def a(self): pass\n", "Locust"),
        ("import io.gatling.core.Predef._\nclass A extends Simulation { }\n", "Gatling"),
        ("GET http://a/\nX-A: 1\n\nPOST http://a/b\n", "Vegeta"),
        ("wrk.method = \"POST\"\nwrk.body = \"x\"\n", "wrk"),
        ("execution: [{concurrency: 1, scenario: a}]\nscenarios: {a: {requests: [http://a/]}}\n", "Taurus"),
        (r#"{"log": {"version": "1.2", "entries": []}}"#, "HAR"),
        (r#"{"info": {"_postman_id": "x", "name": "a"}, "item": []}"#, "Postman"),
        ("openapi: 3.0.0\npaths: {}\n", "OpenAPI"),
        ("curl -X POST http://a/\n", "curl"),
        ("http://a/b\nhttp://a/c\n", "URLs"),
    ] {
        let error = submit(text).unwrap_err();
        assert!(matches!(error, CodecError::Foreign { .. }), "{text}: {error}");
        let told = error.to_string();
        let instead = if what == "Artillery" { ["nuncius run", "nuncius import"] } else { ["write ", "group"] };
        assert!(told.contains(what) && instead.iter().all(|words| told.contains(words)), "{text}: {told}");
    }
    let padding = " ".repeat(600_000);
    let large = format!("<?xml version=\"1.0\"?>\n<jmeterTestPlan version=\"1.2\">\n{padding}");
    assert!(submit(large).unwrap_err().to_string().contains("JMeter"), "however long it is");
    // What only speaks of another program is none of its files.
    let body =
        "groups: [{target: 'http://a/', rate: 1, duration: 1s, steps: [{method: POST, body: from locust import x}]}]";
    assert!(submit(body).is_ok());
}

#[test]
fn what_cannot_be_read_names_the_form() {
    let cut = {
        let whole = rmp_serde::to_vec_named(&serde_json::json!({"groups": [{"target": "http://stub/"}]})).unwrap();
        whole[..whole.len() / 2].to_vec()
    };
    let mut trailing = rmp_serde::to_vec_named(&serde_json::json!({"groups": []})).unwrap();
    trailing.push(1);
    for (bytes, form) in [
        (cut, "MessagePack"),
        (trailing, "left over"),
        (b"{\"groups\": [".to_vec(), "JSON"),
        (b"{\"groups\": []} {}".to_vec(), "JSON"),
        (b"[1, 2]".to_vec(), "not a map"),
        (b"just text".to_vec(), "not a map"),
        (b"a: b: c".to_vec(), "YAML"),
        (b"groups: \xff\xfe".to_vec(), "not text"),
        (b"groups: \0".to_vec(), "YAML"),
        (Vec::new(), "empty"),
        (b" \n".to_vec(), "empty"),
    ] {
        let error = submit(&bytes).unwrap_err();
        assert!(matches!(error, CodecError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(form), "{}: {error}", String::from_utf8_lossy(&bytes));
    }
    let secret = submit("password: hunter2\nrate: 1: 2").unwrap_err().to_string();
    assert!(secret.contains("line 2") && !secret.contains("hunter2"), "{secret}");
    assert!(decode::<MetricDelta>(b"").unwrap_err().to_string().contains("empty"));
}

#[test]
fn a_submission_has_a_largest_size() {
    let garbage: Vec<u8> = (0..900u32 * 1024).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(submit(&garbage), Err(CodecError::TooLarge { bytes: 900 * 1024, limit: 256 * 1024 }));
    for first in [b'{', b'a', 0x81, 0xdf] {
        let mut garbage = garbage[..256 * 1024].to_vec();
        garbage[0] = first;
        assert!(submit(&garbage).is_err());
    }
}

#[test]
fn an_alias_bomb_is_refused_before_it_goes_off() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let started = std::time::Instant::now();
    let error = submit(&bomb).unwrap_err();
    assert!(error.to_string().contains("repeated ones counted each time"), "{error:?}");
    assert!(started.elapsed().as_secs() < 5, "took {:?}", started.elapsed());
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let depth = 100_000;
    let yaml_block: String = (0..600).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    for text in [
        format!("{{\"a\":{}", "[".repeat(depth)),
        format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)),
        format!("a: {}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("a: {}", "{a: ".repeat(depth / 2)),
        format!("a: {}", "- ".repeat(depth)),
        format!("{}b", "? ".repeat(depth)),
        yaml_block,
    ] {
        assert!(submit(&text).is_err());
    }
    let mut pack = vec![0x81, 0xa1, b'a'];
    pack.extend(std::iter::repeat_n(0x91, depth));
    pack.push(0xc0);
    assert!(submit(&pack).is_err());
    assert!(decode::<MetricDelta>(&pack).is_err());
    let json = format!("{{\"experiment\":{}", "[".repeat(depth));
    assert!(decode::<MetricDelta>(json.as_bytes()).is_err());
}

#[test]
fn an_error_is_short_however_long_the_mistake() {
    let long = "x".repeat(200_000);
    for text in [
        group(&format!("rate: '{long}', duration: 1s")),
        group(&format!("rate: 1, duration: '{long}'")),
        group(&format!("rate: 1, duration: 1s, '{long}': 1")),
        format!("{{groups: [{{target: '{long}', rate: 1, duration: 1s}}]}}\n"),
        format!("{{groups: [], gates: ['p99(response) < {long}']}}\n"),
        format!("{{instructions: 'spawn {long}'}}\n"),
        format!("{{services: {{'{long}': []}}, groups: [{{target: 'http://a/', rate: 1, duration: 1s}}]}}\n"),
    ] {
        let error = submit(&text).unwrap_err().to_string();
        assert!(error.len() < 2_000, "{} bytes: {}", error.len(), &error[..200]);
    }
}

#[test]
fn the_wanted_id_is_found_as_long_as_it_is_a_token() {
    for (json, wanted) in [
        (r#"{"id":"a-1","groups":7}"#, Some("a-1")),
        (r#"{"exp_id":"202301010000-abcd","instructions":7}"#, Some("202301010000-abcd")),
        (r#"{"experiment":{"id":"b"},"configuration":null}"#, Some("b")),
        (r#"{"id":"a.b"}"#, None),
        (r#"{"id":7}"#, Some("7")),
        (r#"{"id":[7]}"#, None),
        (r#"{"experiment":"b"}"#, None),
        ("{}", None),
    ] {
        assert_eq!(wanted_id(&read_tree(json.as_bytes()).unwrap()).as_deref(), wanted, "{json}");
    }
}

fn decode_all(bytes: &[u8]) {
    drop(decode::<NodeCommand>(bytes));
    drop(decode::<NodeReply>(bytes));
    drop(decode::<MetricDelta>(bytes));
    drop(decode::<RecordBatch>(bytes));
    drop(decode::<ExperimentEvent>(bytes));
    drop(decode::<ExperimentSecond>(bytes));
    drop(decode::<RunRecord>(bytes));
    drop(decode::<Control>(bytes));
    drop(decode::<Report>(bytes));
    drop(submit(bytes));
}

fn from_value(value: serde_json::Value) -> Result<Submission, CodecError> {
    submit(value.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), first in prop::sample::select(vec![b'{', b'[', 0x80, 0x83, 0xde, 0xdf, b'a'])) {
        decode_all(&bytes);
        let mut shaped = bytes;
        shaped.insert(0, first);
        decode_all(&shaped);
    }

    #[test]
    fn a_damaged_message_does_not_make_it_panic(at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>()) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/messages");
        for name in ["node-command.v2.msgpack", "metric-delta.v1.msgpack", "run-record.v1.json"] {
            let mut bytes = std::fs::read(folder.join(name)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = with;
            decode_all(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            decode_all(&bytes);
        }
    }

    #[test]
    fn no_specification_makes_it_panic(
        rate in "[0-9.]{0,25}(/[smh])?", duration in "[0-9.]{0,25}(ns|s|d)?", to in "[0-9]{0,20}",
        iterations: u64, path in "/?.{0,8}", gate in "(p[0-9.]{0,5}\\(response\\)|failures|rate) ?[<>]=? ?[0-9.]{0,20}(%|s|/s|/h)?",
    ) {
        let value = serde_json::json!({"gates": [gate], "groups": [
            {"target": "http://stub/", "rate": rate, "duration": duration, "steps": [{"path": path}]},
            {"name": "b", "target": "http://stub/", "rate": rate, "iterations": iterations},
            {"name": "c", "target": "http://stub/", "stages": [{"rate": rate, "to": to, "duration": duration}]},
        ]});
        drop(from_value(value.clone()));
        for group in value["groups"].as_array().unwrap() {
            if let Ok(Submission::Spec(spec)) = from_value(serde_json::json!({"groups": [group]})) {
                let again = from_value(serde_json::to_value(&spec).unwrap());
                prop_assert_eq!(again, Ok(Submission::Spec(spec)));
            }
        }
        if let Ok(Submission::Spec(spec)) = from_value(serde_json::json!({"gates": [gate], "groups": [{"target": "http://stub/", "rate": 1, "duration": "1s"}]})) {
            let again = from_value(serde_json::to_value(&spec).unwrap());
            prop_assert_eq!(again, Ok(Submission::Spec(spec)));
        }
    }
}
