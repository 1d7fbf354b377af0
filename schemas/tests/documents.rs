//! The committed schemas, the AsyncAPI document and the examples say what the code does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::path::{Path, PathBuf};

use nuncius_schemas::document::{Form, MessageType, asyncapi, files, messages};
use nuncius_schemas::submission::{Submission, from_bytes};
use nuncius_schemas::telemetry::{MetricKind, TelemdMetric};

const HOW: &str = "NUNCIUS_UPDATE=1 cargo test -p nuncius-schemas --test documents";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn names_in(folder: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

#[test]
fn the_committed_documents_are_those_of_the_types() {
    let update = std::env::var_os("NUNCIUS_UPDATE").is_some();
    for (path, wanted) in files() {
        let path = root().join(path);
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some((line, (wanted, found))) =
            wanted.lines().zip(found.lines().chain(std::iter::repeat(""))).enumerate().find(|(_, (a, b))| a != b)
        {
            panic!("{}:{}: is `{found}`, should be `{wanted}`; regenerate: {HOW}", path.display(), line + 1);
        }
        assert_eq!(wanted, found, "{} has lines too many; regenerate: {HOW}", path.display());
    }
}

#[test]
fn no_schema_is_left_over_from_a_type_that_is_gone() {
    let mut wanted: Vec<String> = messages().iter().map(|m| format!("{}.schema.json", m.name)).collect();
    wanted.sort();
    assert_eq!(names_in(&root().join("json"), ".json"), wanted);
}

#[test]
fn every_subject_and_bucket_is_described() {
    let source = std::fs::read_to_string(root().join("src/subjects.rs")).unwrap();
    let described: Vec<&str> = asyncapi::channels().iter().map(|channel| channel.name).collect();
    let makers = source.lines().filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next());
    for maker in makers {
        // Constructors, filters over described subjects, streams (named by their channel) and names within a bucket.
        let other = [
            "new",
            "as_str",
            "of",
            "metric_all",
            "trace_all",
            "otlp_all",
            "is_traced",
            "job_all",
            "job_priority",
            "job_consumer",
            "result_client",
            "result_all",
            "repeat_all",
            "record_all",
            "client_lease",
            "queue_lease",
            "queue_totals",
            "telemetry_lease",
            "queue_returned",
            "artifact_report",
            "artifact_checkpoint",
            "service",
            "oco_servo_all",
        ]
        .contains(&maker);
        let stream = maker.starts_with("stream_");
        assert!(other || stream || described.contains(&maker), "`{maker}` is missing in document/asyncapi.rs");
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn walk(value: &serde_json::Value, document: &serde_json::Value) {
        if let Some(reference) = value.get("$ref").and_then(|r| r.as_str()) {
            match reference.strip_prefix('#') {
                Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
                None => assert!(root().join(reference).is_file(), "{reference}"),
            }
        }
        match value {
            serde_json::Value::Object(map) => map.values().for_each(|value| walk(value, document)),
            serde_json::Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = asyncapi::document();
    walk(&document, &document);
}

/// The table of telemetry's figures.
fn figures() -> String {
    let mut text =
        String::from("\n| figure | of | unit | kind | what it tells | in telemd |\n|---|---|---|---|---|---|\n");
    for metric in nuncius_schemas::telemetry::metrics() {
        let of = metric.of.label().unwrap_or("machine");
        let unit = if metric.unit.name().is_empty() { "number" } else { metric.unit.name() };
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let telemd = match metric.telemd {
            None => String::new(),
            Some(TelemdMetric { unit: "", mended: "" }) => "the same".to_owned(),
            Some(TelemdMetric { unit, mended: "" }) => unit.to_owned(),
            Some(TelemdMetric { unit, mended }) => format!("{unit}; here {mended}"),
        };
        text += &format!("| `{}` | {of} | {unit} | {kind} | {} | {telemd} |\n", metric.name, metric.help);
    }
    text
}

#[test]
fn the_documented_figures_of_telemetry_are_those_there_are() {
    const BEGIN: &str = "<!-- figures: generated -->";
    const END: &str = "<!-- /figures -->";
    let path = root().join("../docs/telemetry.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    let wanted = figures();
    if std::env::var_os("NUNCIUS_UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    assert!(found == wanted, "docs/telemetry.md: run {HOW}");
}

#[test]
fn every_example_is_accepted_and_says_how_to_run_it() {
    let folder = root().join("examples");
    let mut names = names_in(&folder, ".yaml");
    names.extend(names_in(&folder, ".json"));
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        if name.ends_with(".yaml") {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.starts_with("# "), "{name} does not say what it shows");
            assert!(
                text.contains(&format!("nuncius run schemas/examples/{name}")),
                "{name} does not say how to run it"
            );
        }
        let submission = from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(submission.id(), None, "{name}: a second run of the same id would be refused");
        let spec = match submission {
            Submission::Spec(spec) => *spec,
            Submission::Galileo(input) => input.translate(&["a".to_owned(), "b".to_owned()]).unwrap(),
        };
        let again = from_bytes(serde_json::to_string(&spec).unwrap().as_bytes()).unwrap();
        assert_eq!(again, Submission::Spec(Box::new(spec)), "{name} does not survive being written as JSON");
    }
}

#[test]
fn every_golden_message_is_the_same_in_its_other_form() {
    let folder = root().join("examples/messages");
    let mut converted = 0;
    for name in names_in(&folder, ".msgpack") {
        let stem = name.trim_end_matches(".msgpack");
        let (kind, version) = stem.rsplit_once(".v").unwrap();
        // A file of a variant is called like its type and more.
        let all = messages();
        let of_name = |message: &&MessageType| kind == message.name || kind.starts_with(&format!("{}-", message.name));
        let longest = all.iter().filter(of_name).max_by_key(|message| message.name.len());
        let Some(message) = longest.filter(|message| message.version.to_string() == version) else { continue };
        let packed = std::fs::read(folder.join(&name)).unwrap();
        let json = (message.convert)(&packed, Form::Json).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = (message.convert)(&json, Form::MessagePack).unwrap_or_else(|error| panic!("{name}: {error}"));
        let back = (message.convert)(&again, Form::Json).unwrap();
        assert_eq!(json, back, "{name}");
        converted += 1;
    }
    assert!(converted > 40, "{converted}");
}
