//! What the store promises, in each of the databases.

use std::collections::BTreeMap;

use crate::common::{Directory, Kind, Site, batch, event, in_each, metadata, record, report, second, spec};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::{Phase, Piece, StepNames, Store, StoreError, TelemetrySeries, export};

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
    in_each(async |site| {
        let store = site.open().await;
        fill(&store, "e1").await;
        store.close().await;

        let store = site.open().await;
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
    })
    .await;
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
    in_each(async |site| {
        let store = site.open().await;
        for id in ["a_1", "a_2", "ab1", "b"] {
            store.upsert_experiment(&record(id)).await.unwrap();
        }
        assert_eq!(store.ids_beginning_with("a_", 10).await.unwrap(), ["a_1", "a_2"]);
        assert_eq!(store.ids_beginning_with("a", 2).await.unwrap(), ["a_1", "a_2"]);
        assert_eq!(store.ids_beginning_with("%", 10).await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_second_that_changed_takes_the_place_of_the_first_and_late_pieces_stand_beside_it() {
    in_each(async |site| {
        let store = site.open().await;
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
    })
    .await;
}

#[tokio::test]
async fn what_comes_twice_is_kept_once() {
    in_each(async |site| {
        let store = site.open().await;
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
    })
    .await;
}

#[tokio::test]
async fn a_removed_experiment_leaves_nothing_and_the_others_alone() {
    in_each(async |site| {
        let store = site.open().await;
        fill(&store, "e1").await;
        fill(&store, "e2").await;
        // More than a server deletes at once.
        for sequence in 2..=11 {
            store.add_records(&batch("e1", "n1", sequence, 1_000), &StepNames::of(&spec())).await.unwrap();
        }
        assert!(store.remove("e1").await.unwrap());
        assert!(!store.remove("e1").await.unwrap());
        assert_eq!(store.record_count("e2").await.unwrap(), 1_000);
        assert!(store.remove("e2").await.unwrap());
        store.close().await;

        let listed = match site.kind {
            Kind::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            }
            Kind::Postgres => "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
            Kind::MariaDb => "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
        };
        let listed = site.sql(listed).await;
        let tables: Vec<&str> = listed.lines().filter(|table| !table.starts_with('_')).collect();
        assert!(tables.len() >= 14, "{tables:?}");
        for table in tables {
            let rows = site.sql(&format!("SELECT CAST(count(*) AS CHAR(9)) FROM {table}")).await;
            assert_eq!(rows.trim(), "0", "{table}");
        }
    })
    .await;
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
    in_each(async |site| {
        let store = site.open().await;
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
    })
    .await;
}

#[tokio::test]
async fn an_unknown_experiment_is_named() {
    in_each(async |site| {
        let store = site.open().await;
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
        unknown(export::csv(&store, "nobody", site.directory()).await.unwrap_err());
    })
    .await;
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
    in_each(async |site| {
        let (one, two) = tokio::join!(Store::open(site.place()), Store::open(site.place()));
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
    })
    .await;
}

#[tokio::test]
async fn a_stored_histogram_loads_again_and_merges() {
    in_each(async |site| {
        let store = site.open().await;
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

        let store = site.open().await;
        let stored = store.histograms("e1").await.unwrap();
        assert_eq!((stored[0].quantity, stored[1].quantity), (Quantity::Response, Quantity::Service));
        assert_eq!(nuncius_stats::Totals::decode(&stored[0].bytes).unwrap().encode(), totals.encode());
        let mut merged = nuncius_stats::Totals::new();
        merged.merge_delta(&stored[1].bytes).unwrap();
        assert_eq!(merged.encode(), totals.encode());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_kept_in_each_database_is_exported_to_equal_files() {
    let mut exported: Vec<BTreeMap<String, Vec<u8>>> = Vec::new();
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let site = Site::new(kind).await;
        let store = site.open().await;
        fill(&store, "e1").await;
        let names = StepNames::of(&spec());
        // Texts that databases may take for something else: quotation marks, what ends a text in C, all of Unicode.
        for message in ["it's \"quoted\"\\", "tab\tand\nline", "nul\0in it", "\u{1f680} ü", " spaces ", " spaces", "%_"]
        {
            store.add_event(&event("e1", 5, message)).await.unwrap();
        }
        store.put_histogram("e1", "a ", "Ä", Quantity::Lag, &[1]).await.unwrap();
        store.put_histogram("e1", "a", "ä", Quantity::Lag, &[2]).await.unwrap();
        store.put_histogram("e1", "A", "ä", Quantity::Lag, &[3]).await.unwrap();
        store.add_records(&batch("e1", "n2", 1, 700), &names).await.unwrap();
        let seconds: Vec<_> = (0..40).map(|at| second("e1", at)).collect();
        let pieces: Vec<_> = seconds.iter().map(Piece::Second).collect();
        store.keep(&pieces).await.unwrap();
        let mut late = second("e1", 1);
        (late.late, late.revision) = (true, 1);
        store.put_second(&late).await.unwrap();
        store.add_telemetry("e1", &crate::telemetry::samples(), &mut TelemetrySeries::default()).await.unwrap();

        let out = site.directory().join("csv");
        let mut files = BTreeMap::new();
        for path in export::csv(&store, "e1", &out).await.unwrap() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
        let mut document = Vec::new();
        export::json(&store, "e1", &mut document).await.unwrap();
        files.insert("e1.json".to_owned(), document);
        files.insert("comparable".to_owned(), format!("{:?}", store.comparable("e1").await.unwrap()).into_bytes());
        files.insert("heads".to_owned(), format!("{:?}", store.heads(None, 10).await.unwrap()).into_bytes());
        files.insert("held".to_owned(), format!("{:?}", store.held("e1").await.unwrap()).into_bytes());
        exported.push(files);
        store.close().await;
    }
    let first = exported.remove(0);
    assert_eq!(first.len(), 11);
    for other in exported {
        for (name, bytes) in &first {
            let (here, there) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&other[name]));
            let differing = here.lines().zip(there.lines()).find(|(here, there)| here != there);
            assert!(here == there, "{name} differs: {differing:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_bring_the_tables_of_one_database_to_this_version_at_once() {
    in_each(async |site| {
        let opening: Vec<_> = (0..4).map(|_| tokio::spawn(Store::open(site.place()))).collect();
        for store in opening {
            let store = store.await.unwrap().unwrap();
            assert!(store.heads(None, 1).await.unwrap().is_empty());
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_experiment_is_listed_with_its_target_its_tags_and_what_it_offered() {
    in_each(async |site| {
        let store = site.open().await;
        let mut tagged = record("e1");
        tagged.spec.metadata = metadata(&[("branch", "main"), ("token", "hunter2"), ("note", "two\nlines")]);
        store.upsert_experiment(&tagged).await.unwrap();
        let head = &store.heads(None, 10).await.unwrap()[0];
        assert_eq!(head.tags, metadata(&[("branch", "main"), ("token", "[redacted]")]));
        assert!(head.target.as_deref().unwrap().ends_with("@shop/") || head.target.as_deref() == Some("http://shop/"));
        assert_eq!((head.scheduled, head.offered), (None, None));
        let mut told = report("e1");
        told.spec = Some(tagged.spec.clone());
        store.set_report(&told).await.unwrap();
        let heads = store.heads(None, 10).await.unwrap();
        assert_eq!((heads.len(), heads[0].scheduled, heads[0].offered), (1, Some(1_000), Some(1_000)));
        assert_eq!(heads[0].tags["branch"], "main");
        assert_eq!(store.list_experiments(1).await.unwrap()[0].tags, heads[0].tags);
        assert!(store.heads(Some(&heads[0].place()), 10).await.unwrap().is_empty());
        store.close().await;
    })
    .await;
}
