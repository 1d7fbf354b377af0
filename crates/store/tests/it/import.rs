//! A run that was exported as Parquet comes back as it was, into whichever database, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{GateReport, Report};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::import::{self, How, ImportError};
use nuncius_store::{Piece, StepNames, Store, StoreError, TelemetrySeries, export};

use crate::common::{Kind, Site, batch, event, in_each, record, report, second, spec, unless_dropped};

fn report_with_gates(id: &str) -> Report {
    let gate = |gate: &str, observed: Option<f64>| GateReport {
        gate: gate.to_owned(),
        outcome: Verdict::Fail,
        observed,
        lower: Some(0.1 + 0.2),
        upper: None,
        samples: 990,
        worst_window_second: Some(3),
        reason: "it did not hold, \"by far\"".to_owned(),
    };
    Report { gates: vec![gate("p99(response) < 1ms", Some(1e9)), gate("failures < 1%", None)], ..report(id) }
}

/// Everything that a store has of a run that has ended.
pub(crate) async fn fill(store: &Store, id: &str) {
    let names = StepNames::of(&spec());
    store.upsert_experiment(&record(id)).await.unwrap();
    store.add_phase(id, RunStatus::Submitted, 1).await.unwrap();
    store.add_phase(id, RunStatus::Running, 2).await.unwrap();
    let odd = ["it's \"quoted\"\\", "tab\tand\nline", "nul\0in it", "\u{1f680} ü", " spaces ", " spaces"];
    for message in ["later"].into_iter().chain(odd) {
        store.add_event(&event(id, 5, message)).await.unwrap();
    }
    store.add_event(&event(id, 3, "earlier, and told later")).await.unwrap();
    let mut histogram = nuncius_stats::Histogram::new();
    let values_ns = [3_000, 3_500, 900_000, 12_345_678, 12_345_678, 4_000_000_000_000];
    values_ns.iter().for_each(|value_ns| histogram.record_ns(*value_ns));
    for (group, step) in [("browse", "list"), ("a ", "Ä"), ("a", "ä"), ("A", "ä")] {
        store.put_histogram(id, group, step, Quantity::Response, &histogram.encode_delta()).await.unwrap();
    }
    store.put_histogram(id, "browse", "list", Quantity::Lag, &[]).await.unwrap();
    assert_eq!(store.add_records(&batch(id, "n1", 1, 1_000), &names).await.unwrap(), 1_000);
    assert_eq!(store.add_records(&batch(id, "n2", 1, 700), &names).await.unwrap(), 700);
    let mut seconds: Vec<_> = (0..40).map(|at| second(id, at)).collect();
    let mut late = second(id, 1);
    (late.late, late.revision) = (true, 1);
    seconds.push(late);
    // One that came without its histograms, and one without any latency.
    seconds[7].groups[0].steps[0].response.histogram.clear();
    seconds[8].groups[0].steps[0].response = Default::default();
    store.keep(&seconds.iter().map(Piece::Second).collect::<Vec<_>>()).await.unwrap();
    store.add_telemetry(id, &crate::telemetry::samples(), &mut TelemetrySeries::default()).await.unwrap();
    store.set_report(&report_with_gates(id)).await.unwrap();
}

/// Whatever can be had of a run, by name.
async fn all_of(store: &Store, id: &str, out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = export::parquet(store, id, &out.join("parquet")).await.unwrap();
    files.extend(export::csv(store, id, &out.join("csv")).await.unwrap());
    files.extend(export::galileo(store, id, &out.join("galileo")).await.unwrap());
    let name = |file: &PathBuf| file.strip_prefix(out).unwrap().to_str().unwrap().to_owned();
    let mut all: BTreeMap<String, Vec<u8>> =
        files.iter().map(|file| (name(file), std::fs::read(file).unwrap())).collect();
    let mut document = Vec::new();
    export::json(store, id, &mut document).await.unwrap();
    all.insert("json".to_owned(), document);
    all.insert("comparable".to_owned(), format!("{:?}", store.comparable(id).await.unwrap()).into_bytes());
    all.insert("report".to_owned(), format!("{:?}", store.report(id).await.unwrap()).into_bytes());
    all.insert("heads".to_owned(), format!("{:?}", store.heads(None, 10).await.unwrap()).into_bytes());
    all.insert("held".to_owned(), format!("{:?}", store.held(id).await.unwrap()).into_bytes());
    all
}

fn assert_equal(here: &BTreeMap<String, Vec<u8>>, there: &BTreeMap<String, Vec<u8>>) {
    let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(here), names(there));
    for (name, bytes) in here {
        let (one, two) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&there[name]));
        let differing = one.lines().zip(two.lines()).find(|(one, two)| one != two);
        assert!(bytes == &there[name], "{name} differs: {differing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_is_exported_to_equal_files_from_whichever_database_into_whichever() {
    let first = Site::new(Kind::Sqlite).await;
    let store = first.open().await;
    fill(&store, "e1").await;
    let original = all_of(&store, "e1", &first.directory().join("original")).await;
    assert_eq!(original.keys().filter(|name| name.starts_with("parquet/")).count(), 13, "{:?}", original.keys());
    store.close().await;
    let mut from = first.directory().join("original/parquet");
    let mut sites = vec![first];
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::Sqlite] {
        let site = Site::new(kind).await;
        let store = site.open().await;
        let imported = import::parquet(&store, &from, &How::default()).await.unwrap();
        assert_eq!((imported.id.as_str(), imported.exported_as.as_str(), imported.replaced), ("e1", "e1", false));
        assert_eq!((imported.seconds, imported.events, imported.records), (82, 9, 1_700));
        assert_eq!(imported.figures, store.telemetry_rows("e1").await.unwrap());
        assert_equal(&original, &all_of(&store, "e1", &site.directory().join("again")).await);
        assert!(store.unended(10).await.unwrap().is_empty());
        from = site.directory().join("again/parquet");
        store.close().await;
        sites.push(site);
    }
}

#[tokio::test]
async fn a_run_is_imported_once_unless_it_replaces_the_one_before_or_gets_another_id() {
    in_each(async |site| {
        let store = site.open().await;
        fill(&store, "e1").await;
        let out = site.directory().join("out");
        export::parquet(&store, "e1", &out).await.unwrap();
        let before = all_of(&store, "e1", &site.directory().join("before")).await;

        let refused = import::parquet(&store, &out, &How::default()).await.unwrap_err();
        assert!(matches!(&refused, ImportError::There { id, .. } if id == "e1"), "{refused}");
        assert!(refused.to_string().contains("--replace") && refused.to_string().contains("--as"), "{refused}");
        assert!(!refused.is_of_the_export());

        let other = How { id: Some("e2".to_owned()), ..How::default() };
        let imported = import::parquet(&store, &out, &other).await.unwrap();
        assert_eq!((imported.id.as_str(), imported.exported_as.as_str()), ("e2", "e1"));
        let found = store.report("e2").await.unwrap().unwrap();
        assert_eq!(found.id, "e2");
        assert!(found.events.iter().all(|event| event.experiment == "e2"));
        assert_eq!(store.experiment("e2").await.unwrap().name, store.experiment("e1").await.unwrap().name);
        let mut comparable = store.comparable("e2").await.unwrap();
        comparable.experiment = "e1".to_owned();
        assert_eq!(comparable, store.comparable("e1").await.unwrap());

        // In place of another that has more and other things.
        fill(&store, "e3").await;
        store.add_event(&event("e3", 99, "only of the one before")).await.unwrap();
        store.add_records(&batch("e3", "n3", 1, 900), &StepNames::of(&spec())).await.unwrap();
        let replacing = How { id: Some("e3".to_owned()), replace: true, ..How::default() };
        assert!(import::parquet(&store, &out, &replacing).await.unwrap().replaced);
        assert!(store.events("e3").await.unwrap().iter().all(|event| event.at_unix_ms != 99));
        assert_eq!(store.record_count("e3").await.unwrap(), 1_700);

        // One that goes on is nobody's to replace.
        store.upsert_experiment(&record("e4")).await.unwrap();
        let replacing = How { id: Some("e4".to_owned()), replace: true, ..How::default() };
        let refused = import::parquet(&store, &out, &replacing).await.unwrap_err();
        assert!(matches!(refused, ImportError::Running { .. }), "{refused}");

        for id in ["e2", "e3", "e4"] {
            assert!(store.remove(id).await.unwrap());
        }
        assert_equal(&before, &all_of(&store, "e1", &site.directory().join("after")).await);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_without_results_or_records_comes_back_too() {
    in_each(async |site| {
        let store = site.open().await;
        let mut cancelled = record("e1");
        (cancelled.status, cancelled.started_unix_ms) = (RunStatus::Cancelled, None);
        cancelled.spec.name = None;
        store.upsert_experiment(&cancelled).await.unwrap();
        let before = all_of(&store, "e1", &site.directory().join("before")).await;
        assert!(!before.contains_key("parquet/report.json") && !before.contains_key("parquet/telemetry.parquet"));
        store.remove("e1").await.unwrap();
        import::parquet(&store, &site.directory().join("before/parquet"), &How::default()).await.unwrap();
        assert_equal(&before, &all_of(&store, "e1", &site.directory().join("after")).await);

        store.upsert_experiment(&record("e5")).await.unwrap();
        let out = site.directory().join("running");
        export::parquet(&store, "e5", &out).await.unwrap();
        let other = How { id: Some("e6".to_owned()), ..How::default() };
        let refused = import::parquet(&store, &out, &other).await.unwrap_err();
        assert!(matches!(refused, ImportError::NotEnded { status: "running", .. }), "{refused}");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_export_into_the_directory_of_another_leaves_nothing_of_that_one() {
    let site = Site::new(Kind::Sqlite).await;
    let store = site.open().await;
    fill(&store, "e1").await;
    let out = site.directory().join("out");
    export::parquet(&store, "e1", &out).await.unwrap();
    let mut plain = record("e2");
    plain.status = RunStatus::Failed;
    store.upsert_experiment(&plain).await.unwrap();
    export::parquet(&store, "e2", &out).await.unwrap();
    assert!(!out.join("telemetry.parquet").exists() && !out.join("report.json").exists());
    store.remove("e2").await.unwrap();
    import::parquet(&store, &out, &How::default()).await.unwrap();
    assert_eq!(store.experiment("e2").await.unwrap().status, RunStatus::Failed);
    store.close().await;
}

#[tokio::test]
async fn a_directory_that_was_given_secrets_brings_none_into_the_store() {
    let site = Site::new(Kind::Sqlite).await;
    let store = site.open().await;
    fill(&store, "e1").await;
    let out = site.directory().join("out");
    export::parquet(&store, "e1", &out).await.unwrap();
    let contents = std::fs::read_to_string(out.join("export.json")).unwrap();
    assert!(contents.contains("[redacted]"));
    std::fs::write(out.join("export.json"), contents.replace("[redacted]", "Bearer hunter2")).unwrap();
    store.remove("e1").await.unwrap();
    import::parquet(&store, &out, &How::default()).await.unwrap();
    let kept = serde_json::to_string(&store.spec("e1").await.unwrap()).unwrap();
    assert!(!kept.contains("hunter2") && kept.contains("[redacted]"), "{kept}");
    store.close().await;
}

#[tokio::test]
async fn a_process_that_is_ended_in_the_middle_leaves_the_store_as_it_was() {
    in_each(async |site| {
        let store = site.open().await;
        fill(&store, "e1").await;
        let out = site.directory().join("out");
        export::parquet(&store, "e1", &out).await.unwrap();
        // Wherever it is dropped: all of it is there afterwards, or nothing, and the next one is imported.
        let other = How { id: Some("e2".to_owned()), ..How::default() };
        let (mut polls, mut dropped) = (1, 0);
        while unless_dropped(import::parquet(&store, &out, &other), polls).await.is_none() {
            dropped += 1;
            match store.experiment("e2").await {
                // It was dropped while the database was ending the transaction.
                Ok(_) => {
                    assert_eq!(store.record_count("e2").await.unwrap(), 1_700);
                    assert!(store.remove("e2").await.unwrap());
                }
                Err(StoreError::NotFound { .. }) => assert_eq!(store.record_count("e2").await.unwrap(), 0),
                Err(error) => panic!("after {polls}: {error}"),
            }
            polls += polls / 3 + 1;
        }
        assert!(dropped > 5, "it was dropped {dropped} times");
        assert_eq!(store.record_count("e2").await.unwrap(), 1_700);
        store.close().await;
    })
    .await;
}
