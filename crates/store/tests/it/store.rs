//! What the store promises, on a real file.

use crate::common::{Directory, batch, event, record, report, second, spec};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::{Phase, StepNames, Store, StoreError, export};

/// Everything the store can hold of one experiment.
async fn fill(store: &Store, id: &str) {
    let names = StepNames::of(&spec());
    store.upsert_experiment(&record(id)).await.unwrap();
    store.add_phase(id, RunStatus::Submitted, 1).await.unwrap();
    store.add_phase(id, RunStatus::Running, 2).await.unwrap();
    store.add_event(&event(id, 3, "first")).await.unwrap();
    store.put_histogram(id, "browse", "list", Quantity::Response, &[0, 1, 255]).await.unwrap();
    store.checkpoint(id, 42, 4, b"state").await.unwrap();
    assert_eq!(store.add_records(&batch(id, "n1", 1, 1_000), &names).await.unwrap(), 1_000);
    store.set_report(&report(id)).await.unwrap();
}

#[tokio::test]
async fn everything_survives_a_reopening() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    fill(&store, "e1").await;
    store.close().await;

    let store = Store::open(directory.file()).await.unwrap();
    let experiment = store.experiment("e1").await.unwrap();
    assert_eq!((experiment.status, experiment.verdict), (RunStatus::Finished, Some(Verdict::Fail)));
    assert_eq!(experiment.stream_sequence, 7);
    assert_eq!(experiment.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(store.list_experiments(10).await.unwrap(), [experiment]);
    let mut expected = report("e1");
    expected.spec = expected.spec.as_ref().map(nuncius_schemas::redact::redact_spec);
    assert_eq!(store.report("e1").await.unwrap().unwrap(), expected);
    assert_eq!(store.nodes("e1").await.unwrap(), expected.nodes);
    assert_eq!(store.events("e1").await.unwrap(), [event("e1", 3, "first"), expected.events[0].clone()]);
    let phases = store.phases("e1").await.unwrap();
    assert_eq!(phases[1], Phase { status: RunStatus::Running, at_unix_ms: 2 });
    assert_eq!(store.histograms("e1").await.unwrap()[0].bytes, [0, 1, 255]);
    let checkpoint = store.load_checkpoint("e1").await.unwrap().unwrap();
    assert_eq!((checkpoint.stream_sequence, checkpoint.at_unix_ms, checkpoint.bytes), (42, 4, b"state".to_vec()));
    assert_eq!(store.record_count("e1").await.unwrap(), 1_000);
}

#[tokio::test]
async fn a_new_file_and_those_beside_it_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    fill(&store, "e1").await;
    let mut seen = 0;
    for entry in std::fs::read_dir(directory.file().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert!(seen >= 2, "the write-ahead log lies beside the file");
}

#[tokio::test]
async fn ids_are_found_by_their_beginning_which_is_no_pattern() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    for id in ["a_1", "a_2", "ab1", "b"] {
        store.upsert_experiment(&record(id)).await.unwrap();
    }
    assert_eq!(store.ids_beginning_with("a_", 10).await.unwrap(), ["a_1", "a_2"]);
    assert_eq!(store.ids_beginning_with("a", 2).await.unwrap(), ["a_1", "a_2"]);
    assert_eq!(store.ids_beginning_with("%", 10).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_that_changed_takes_the_place_of_the_first_and_late_pieces_stand_beside_it() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    for at in 0..3 {
        store.put_second(&second("e1", at)).await.unwrap();
    }
    let mut changed = second("e1", 1);
    changed.revision = 1;
    changed.groups[0].steps[0].offered = 120;
    store.put_second(&changed).await.unwrap();
    store.put_second(&changed).await.unwrap();
    let mut late = second("e1", 1);
    (late.late, late.revision) = (true, 1);
    late.groups[0].steps[0].offered = 7;
    store.put_second(&late).await.unwrap();

    let rows = store.seconds("e1").await.unwrap();
    let list: Vec<_> = rows.iter().filter(|row| row.step_name == "list").collect();
    let offered: Vec<_> = list.iter().map(|row| (row.second, row.late, row.offered)).collect();
    assert_eq!(offered, [(0, 0, 100), (1, 0, 120), (1, 1, 7), (2, 0, 100)]);
    // Requests and iterations are told apart, and the schedule stands at iterations only.
    let whole: Vec<_> = rows.iter().filter(|row| row.is_iteration).collect();
    assert_eq!(whole.len(), 4);
    assert!(whole.iter().all(|row| row.step_name == "iteration" && row.scheduled == Some(100)));
    assert!(list.iter().all(|row| row.scheduled.is_none()));
    assert!(list[0].statuses.contains(r#""status":200"#) && list[0].failures.contains("timeout"), "{list:?}");
    store.remove("e1").await.unwrap();
    assert!(store.seconds("e1").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_comes_twice_is_kept_once() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    fill(&store, "e1").await;
    let names = StepNames::of(&spec());
    assert_eq!(store.add_records(&batch("e1", "n1", 1, 1_000), &names).await.unwrap(), 0);
    assert_eq!(store.add_records(&batch("e1", "n1", 2, 10), &names).await.unwrap(), 10);
    assert_eq!(store.add_records(&batch("e1", "n2", 1, 10), &names).await.unwrap(), 10);
    assert_eq!(store.record_count("e1").await.unwrap(), 1_020);
    store.add_event(&event("e1", 3, "first")).await.unwrap();
    store.add_phase("e1", RunStatus::Running, 2).await.unwrap();
    assert_eq!((store.events("e1").await.unwrap().len(), store.phases("e1").await.unwrap().len()), (2, 2));

    let mut shorter = report("e1");
    shorter.nodes.truncate(1);
    store.set_report(&shorter).await.unwrap();
    assert_eq!(store.nodes("e1").await.unwrap().len(), 1);

    store.checkpoint("e1", 41, 5, b"older").await.unwrap();
    assert_eq!(store.load_checkpoint("e1").await.unwrap().unwrap().bytes, b"state");
    store.put_histogram("e1", "browse", "list", Quantity::Response, &[9]).await.unwrap();
    assert_eq!(store.histograms("e1").await.unwrap().len(), 1);

    store.upsert_experiment(&record("e1")).await.unwrap();
    assert!(store.report("e1").await.unwrap().is_some(), "a record does not take the report away");
}

#[tokio::test]
async fn a_removed_experiment_leaves_nothing_and_the_others_alone() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    fill(&store, "e1").await;
    fill(&store, "e2").await;
    assert!(store.remove("e1").await.unwrap());
    assert!(!store.remove("e1").await.unwrap());
    assert_eq!(store.record_count("e2").await.unwrap(), 1_000);
    assert!(store.remove("e2").await.unwrap());
    store.close().await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.file());
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(tables.len() >= 9, "{tables:?}");
    for table in tables.iter().filter(|table| !table.starts_with("sqlite_")) {
        let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    pool.close().await;
}

#[tokio::test]
async fn secrets_do_not_get_into_the_file() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    fill(&store, "e1").await;
    assert!(store.spec("e1").await.unwrap().is_some());
    store.close().await;
    let bytes = std::fs::read(directory.file()).unwrap();
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
}

#[tokio::test]
async fn a_bad_batch_is_refused_whole_and_says_why() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    let names = StepNames::of(&spec());

    let mut uneven = batch("e1", "n1", 1, 10);
    uneven.done_ns.pop();
    let mut stranger = batch("e1", "n1", 1, 10);
    stranger.step[9] = 77;
    let long = batch("e1", "n1", 1, 1_001);
    for (bad, word) in [(uneven, "length"), (stranger, "step 77"), (long, "limit is 1000")] {
        let error = store.add_records(&bad, &names).await.unwrap_err();
        assert!(error.to_string().contains(word) && error.to_string().contains("`n1`"), "{error}");
    }
    assert_eq!(store.record_count("e1").await.unwrap(), 0);
    assert_eq!(store.add_records(&batch("e1", "n1", 1, 10), &names).await.unwrap(), 10, "nothing of it was kept");
    assert_eq!(names.get(0, 2), Some(("browse", "iteration")));
    assert_eq!((names.get(1, 0), names.get(1, 1)), (Some(("loop", "get")), None));
}

#[tokio::test]
async fn an_unknown_experiment_is_named() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    let unknown = |error: StoreError| {
        assert!(matches!(&error, StoreError::NotFound { id, .. } if id == "nobody"), "{error}");
    };
    unknown(store.experiment("nobody").await.unwrap_err());
    unknown(store.report("nobody").await.unwrap_err());
    unknown(store.add_phase("nobody", RunStatus::Running, 1).await.unwrap_err());
    unknown(store.add_event(&event("nobody", 1, "x")).await.unwrap_err());
    unknown(store.checkpoint("nobody", 1, 1, b"").await.unwrap_err());
    unknown(store.put_histogram("nobody", "g", "s", Quantity::Lag, b"").await.unwrap_err());
    unknown(store.add_records(&batch("nobody", "n1", 1, 1), &StepNames::of(&spec())).await.unwrap_err());
    unknown(export::csv(&store, "nobody", directory.path()).await.unwrap_err());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_with_its_path() {
    let directory = Directory::new();
    std::fs::write(directory.file(), "this is a letter to my aunt, and not a database".repeat(100)).unwrap();
    let error = Store::open(directory.file()).await.unwrap_err().to_string();
    assert!(error.contains("nuncius.sqlite") && error.contains("cannot be opened"), "{error}");
    let error = Store::open(directory.file().join("below/a.sqlite")).await.unwrap_err();
    assert!(matches!(error, StoreError::Directory { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_open_one_new_file_at_once_and_write_at_once() {
    let directory = Directory::new();
    let (one, two) = tokio::join!(Store::open(directory.file()), Store::open(directory.file()));
    let (one, two) = (one.unwrap(), two.unwrap());
    one.upsert_experiment(&record("e1")).await.unwrap();
    let write = |store: Store, node: &'static str| {
        tokio::spawn(async move {
            let names = StepNames::of(&spec());
            for sequence in 1..=20 {
                store.add_records(&batch("e1", node, sequence, 200), &names).await.unwrap();
                store.add_event(&event("e1", sequence, node)).await.unwrap();
            }
        })
    };
    let (first, second, third) = (write(one.clone(), "n1"), write(two.clone(), "n2"), write(two.clone(), "n3"));
    first.await.unwrap();
    second.await.unwrap();
    third.await.unwrap();
    assert_eq!(one.record_count("e1").await.unwrap(), 12_000);
    assert_eq!(two.events("e1").await.unwrap().len(), 60);
}

#[tokio::test]
async fn a_stored_histogram_loads_again_and_merges() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    let mut histogram = nuncius_stats::Histogram::new();
    for value_ns in (1..10_000u64).map(|i| i * i) {
        histogram.record_ns(value_ns);
    }
    store.put_histogram("e1", "browse", "list", Quantity::Service, &histogram.encode_delta()).await.unwrap();
    let mut totals = nuncius_stats::Totals::new();
    totals.add(&histogram).unwrap();
    store.put_histogram("e1", "browse", "list", Quantity::Response, &totals.encode()).await.unwrap();
    store.close().await;

    let store = Store::open(directory.file()).await.unwrap();
    let stored = store.histograms("e1").await.unwrap();
    assert_eq!((stored[0].quantity, stored[1].quantity), (Quantity::Response, Quantity::Service));
    assert_eq!(nuncius_stats::Totals::decode(&stored[0].bytes).unwrap().encode(), totals.encode());
    let mut merged = nuncius_stats::Totals::new();
    merged.merge_delta(&stored[1].bytes).unwrap();
    assert_eq!(merged.encode(), totals.encode());
}
