//! Whatever is sent, the answer is an error that names the field or the form: never a panic, never a silent default.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use nuncius_schemas::codec::{CodecError, decode, read_submission};
use nuncius_schemas::event::{ExperimentEvent, Progress};
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::{NodeCommand, NodeReply};
use nuncius_schemas::record::RecordBatch;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{Control, RunRecord};
use nuncius_schemas::submission::{Submission, from_value, wanted_id};
use proptest::prelude::*;

fn submit(bytes: impl AsRef<[u8]>) -> Result<Submission, CodecError> {
    read_submission(bytes.as_ref()).and_then(from_value)
}

fn group(rest: &str) -> String {
    format!("{{groups: [{{target: 'http://stub/', {rest}}}]}}\n")
}

#[test]
fn a_wrong_field_is_named() {
    let yaml = |rest: &str| format!("groups:\n  - {}\n", rest.replace('\n', "\n    "));
    for (text, field, problem) in [
        (yaml("target: http://stub/\nrate: 1\nduration: 1s\nraet: 1"), "groups[0].raet", "unknown field `raet`"),
        (yaml("target: http://stub/\nrate: 1\nduration: 1 parsec"), "groups[0].duration", "1 parsec"),
        (yaml("target: http://stub/\nrate: -1\nduration: 1s"), "groups[0].rate", "not negative"),
        (yaml("target: http://stub/\nrate: 1e300\nduration: 1s"), "groups[0].rate", "rate"),
        (yaml("target: http://stub/\nrate: 1/fortnight\nduration: 1s"), "groups[0].rate", "fortnight"),
        (yaml("target: http://stub/\nrate: 1\nduration: 31d"), "groups[0].duration", "30d"),
        (yaml("target: http://stub/\nrate: 1"), "groups[0].duration", "missing"),
        (yaml("target: http://stub/\nrate: 1\niterations: 0"), "groups[0].iterations", "0"),
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
            Err(CodecError::Field { field: named, problem: told }) => {
                assert!(named == field && told.contains(problem), "{text}\n-> {named}: {told}");
            }
            other => panic!("{text}\n-> {other:?}"),
        }
    }
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
    let secret = submit("password: hunter2\nrate: .nan").unwrap_err().to_string();
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
    assert!(matches!(error, CodecError::Unreadable { form: "YAML", .. }), "{error:?}");
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
        (r#"{"id":7}"#, None),
        (r#"{"experiment":"b"}"#, None),
        ("{}", None),
    ] {
        assert_eq!(wanted_id(&serde_json::from_str(json).unwrap()).as_deref(), wanted, "{json}");
    }
}

fn decode_all(bytes: &[u8]) {
    drop(decode::<NodeCommand>(bytes));
    drop(decode::<NodeReply>(bytes));
    drop(decode::<MetricDelta>(bytes));
    drop(decode::<RecordBatch>(bytes));
    drop(decode::<ExperimentEvent>(bytes));
    drop(decode::<Progress>(bytes));
    drop(decode::<RunRecord>(bytes));
    drop(decode::<Control>(bytes));
    drop(decode::<Report>(bytes));
    drop(submit(bytes));
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
        for name in ["node-command.v1.msgpack", "metric-delta.v1.msgpack", "run-record.v1.json"] {
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
