//! Request records beyond what a database is to hold are in files beside it, and nobody who reads them sees the seam.

use std::path::{Path, PathBuf};

use nuncius_store::import::{self, How};
use nuncius_store::{StepNames, Store, StoreError, StoreLimits, export};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::common::{Kind, Site, batch, in_each, record, report, spec, unless_dropped};

/// So many stay; a file has as many, which is the least.
const MAX: u64 = 1_000;

fn limits(site: &Site) -> StoreLimits {
    let records_directory = (site.kind != Kind::Sqlite).then(|| site.directory().join("files"));
    StoreLimits { records_max: MAX, records_directory, ..StoreLimits::default() }
}

async fn bounded(site: &Site) -> Store {
    Store::open_within(site.place(), limits(site)).await.unwrap()
}

/// The directory of a run, where there is one.
fn directory(site: &Site, id: &str) -> Option<PathBuf> {
    let parent = match site.kind {
        Kind::Sqlite => site.directory().join("nuncius.sqlite-records"),
        Kind::Postgres | Kind::MariaDb => site.directory().join("files"),
    };
    let found = std::fs::read_dir(parent).ok()?;
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let is_meant = |path: &PathBuf| name(path) == id || name(path).starts_with(&format!("{id}-"));
    found.map(|entry| entry.unwrap().path()).find(is_meant)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Adds the batches from one on, of two nodes in turn.
async fn add(store: &Store, id: &str, batches: std::ops::RangeInclusive<u64>) {
    for sequence in batches {
        let node = if sequence % 2 == 0 { "n2" } else { "n1" };
        let added = store.add_records(&batch(id, node, sequence, 500), &StepNames::of(&spec())).await.unwrap();
        assert_eq!(added, 500);
    }
}

/// Whatever tells records, in their order.
async fn told(store: &Store, id: &str, out: &Path) -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut document = Vec::new();
    export::json(store, id, &mut document).await.unwrap();
    export::csv(store, id, &out.join("csv")).await.unwrap();
    export::galileo(store, id, &out.join("galileo")).await.unwrap();
    export::parquet(store, id, &out.join("parquet")).await.unwrap();
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    (document, read("csv/requests.csv"), read("galileo/traces.csv"), read("parquet/requests.parquet"))
}

/// The records of a run, as they are read.
async fn indices(store: &Store, id: &str) -> Vec<u64> {
    let mut document = Vec::new();
    export::json(store, id, &mut document).await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    document["requests"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()).collect()
}

/// The records that batches from the first on have.
fn wanted() -> impl Iterator<Item = u64> {
    (1..).flat_map(|sequence| (0..500).map(move |row| sequence * 10_000 + row))
}

async fn rows_in_database(site: &Site) -> String {
    site.sql("SELECT CAST(count(*) AS CHAR(9)) FROM request").await.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_beyond_the_bound_are_in_files_and_read_in_the_order_in_which_they_came() {
    in_each(async |site| {
        let whole = Site::new(site.kind).await;
        let unbounded = whole.open().await;
        let store = bounded(site).await;
        for store in [&unbounded, &store] {
            store.upsert_experiment(&record("e1")).await.unwrap();
            store.upsert_experiment(&record("e2")).await.unwrap();
            store.set_report(&report("e1")).await.unwrap();
            add(store, "e1", 1..=7).await;
            add(store, "e2", 1..=2).await;
            add(store, "e1", 8..=15).await;
        }
        // 7,500: the first 1,000 stay; the others have moved, a thousand at a time, while there were 1,000 more.
        let directory_of_run = directory(site, "e1").unwrap();
        let files = names(&directory_of_run);
        assert_eq!(files.len(), 6, "{files:?}");
        assert!(files.iter().all(|name| name.ends_with(".parquet")), "{files:?}");
        assert_eq!(rows_in_database(site).await, "2500", "those of both runs");
        assert!(directory(site, "e2").is_none() && directory(&whole, "e1").is_none());
        for store in [&unbounded, &store] {
            assert_eq!(store.record_count("e1").await.unwrap(), 7_500);
            assert_eq!(store.held("e1").await.unwrap().record_rows, 7_500);
        }
        let here = told(&store, "e1", &site.directory().join("here")).await;
        let there = told(&unbounded, "e1", &whole.directory().join("there")).await;
        assert!(here == there, "the seam is seen");
        // What comes twice is kept once, wherever the first is.
        let again = batch("e1", "n1", 5, 500);
        assert_eq!(store.add_records(&again, &StepNames::of(&spec())).await.unwrap(), 0);
        // Who knows nothing of the bound reads the same, and goes on in the same order.
        store.close().await;
        let store = site.open().await;
        assert!(told(&store, "e1", &site.directory().join("again")).await == there);
        add(&store, "e1", 16..=17).await;
        add(&unbounded, "e1", 16..=17).await;
        store.close().await;
        let store = bounded(site).await;
        add(&store, "e1", 18..=19).await;
        add(&unbounded, "e1", 18..=19).await;
        assert_eq!(names(&directory_of_run).len(), 8);
        let there = told(&unbounded, "e1", &whole.directory().join("there")).await;
        assert!(told(&store, "e1", &site.directory().join("here")).await == there);

        // The files are as an export's, and nobody's but their owner's.
        let path = directory_of_run.join(&files[0]);
        let rows = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(rows.metadata().file_metadata().num_rows(), 1_000);
        assert_eq!(rows.metadata().file_metadata().schema_descr().num_columns(), 11);
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory_of_run), mode(&path)), (0o700, 0o600));

        assert!(store.remove("e1").await.unwrap());
        assert!(!directory_of_run.exists());
        assert_eq!((store.record_count("e1").await.unwrap(), rows_in_database(site).await.as_str()), (0, "1000"));
        assert_eq!(store.record_count("e2").await.unwrap(), 1_000);
        store.close().await;
        unbounded.close().await;
    })
    .await;
}

#[tokio::test]
async fn without_a_directory_all_records_stay_with_a_server() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let site = Site::new(kind).await;
        let limits = StoreLimits { records_max: MAX, ..StoreLimits::default() };
        let store = Store::open_within(site.place(), limits).await.unwrap();
        store.upsert_experiment(&record("e1")).await.unwrap();
        add(&store, "e1", 1..=8).await;
        assert_eq!(rows_in_database(&site).await, "4000");
        store.close().await;
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_read_by_nobody_and_goes_with_the_next_file() {
    in_each(async |site| {
        let store = bounded(site).await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        add(&store, "e1", 1..=4).await;
        let directory = directory(site, "e1").unwrap();
        let before = names(&directory);
        assert_eq!(before.len(), 1);
        // Half a file, a whole one that does not count, and something of somebody else's.
        std::fs::write(directory.join("records-000002-0000000000000007.parquet.part"), "PAR1").unwrap();
        std::fs::copy(directory.join(&before[0]), directory.join("records-000002-0000000000000008.parquet")).unwrap();
        std::fs::write(directory.join("notes.txt"), "mine").unwrap();
        assert_eq!(store.record_count("e1").await.unwrap(), 2_000);
        assert_eq!(indices(&store, "e1").await.len(), 2_000);
        add(&store, "e1", 5..=6).await;
        let after = names(&directory);
        assert_eq!(after.len(), 3, "{after:?}");
        assert!(after.contains(&before[0]) && after.contains(&"notes.txt".to_owned()));
        assert!(store.remove("e1").await.unwrap());
        assert_eq!(names(&directory), ["notes.txt"], "what is not the store's is not its to remove");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_ended_while_records_move_has_moved_them_or_not_and_lost_none() {
    in_each(async |site| {
        let store = bounded(site).await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        add(&store, "e1", 1..=3).await;
        let (steps, mut dropped) = (StepNames::of(&spec()), 0);
        for (polls, sequence) in [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 50].into_iter().zip(4..) {
            let next = batch("e1", "n1", sequence, 500);
            if unless_dropped(store.add_records(&next, &steps), polls).await.is_none() {
                dropped += 1;
            }
            // The batch is there, or it is not, and comes again: all of them, each once, in their order.
            store.add_records(&next, &steps).await.unwrap();
            let found = indices(&store, "e1").await;
            assert!(found.iter().copied().eq(wanted().take(found.len())), "after {polls}");
            assert_eq!(found.len() as u64, sequence * 500, "after {polls}");
        }
        assert!(dropped > 3, "it was dropped {dropped} times");
        assert!(names(&directory(site, "e1").unwrap()).iter().all(|name| name.ends_with(".parquet")));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_while_records_move_sees_each_once_and_in_order() {
    in_each(async |site| {
        let store = bounded(site).await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        let writer = store.clone();
        let writing = tokio::spawn(async move { add(&writer, "e1", 1..=40).await });
        let mut before = 0;
        loop {
            let is_last = writing.is_finished();
            let found = indices(&store, "e1").await;
            assert!(found.iter().copied().eq(wanted().take(found.len())), "{} records", found.len());
            assert!(found.len() >= before && found.len() % 500 == 0, "{} after {before}", found.len());
            before = found.len();
            if is_last {
                break;
            }
        }
        writing.await.unwrap();
        assert_eq!(before, 20_000);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn records_stay_in_the_database_while_their_directory_cannot_be_written() {
    let site = Site::new(Kind::Sqlite).await;
    let store = bounded(&site).await;
    store.upsert_experiment(&record("e1")).await.unwrap();
    let place = site.directory().join("nuncius.sqlite-records");
    std::fs::write(&place, "a file where a directory should be").unwrap();
    add(&store, "e1", 1..=6).await;
    assert_eq!((rows_in_database(&site).await.as_str(), store.record_count("e1").await.unwrap()), ("3000", 3_000));
    std::fs::remove_file(&place).unwrap();
    // It is not tried with each batch.
    add(&store, "e1", 7..=9).await;
    assert!(!names(&directory(&site, "e1").unwrap()).is_empty());
    assert_eq!(store.record_count("e1").await.unwrap(), 4_500);
    store.close().await;
}

#[tokio::test]
async fn a_database_that_is_made_anew_counts_no_file_of_the_one_before() {
    let site = Site::new(Kind::Sqlite).await;
    let store = bounded(&site).await;
    store.upsert_experiment(&record("e1")).await.unwrap();
    add(&store, "e1", 1..=4).await;
    let directory = directory(&site, "e1").unwrap();
    let before = names(&directory);
    std::fs::remove_file(site.place().path().unwrap()).unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    assert_eq!((store.record_count("e1").await.unwrap(), indices(&store, "e1").await.len()), (0, 0));
    add(&store, "e1", 1..=4).await;
    assert!(indices(&store, "e1").await.into_iter().eq(wanted().take(2_000)));
    let after = names(&directory);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    store.close().await;
}

#[tokio::test]
async fn a_file_of_records_that_is_gone_or_damaged_is_told_and_never_left_out() {
    in_each(async |site| {
        let store = bounded(site).await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        add(&store, "e1", 1..=6).await;
        let directory = directory(site, "e1").unwrap();
        let path = directory.join(&names(&directory)[0]);
        let whole = std::fs::read(&path).unwrap();
        for spoilt in [None, Some(&whole[..whole.len() / 2]), Some(&b"PAR1"[..])] {
            match spoilt {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = export::json(&store, "e1", Vec::new()).await.unwrap_err();
            assert!(matches!(&error, StoreError::RecordsAway { id, .. } if id == "e1"), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert!(store.remove("e1").await.unwrap());
        assert!(!directory.exists());
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_imported_has_its_records_in_files_beyond_the_bound_as_well() {
    in_each(async |site| {
        let store = bounded(site).await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        store.set_report(&report("e1")).await.unwrap();
        add(&store, "e1", 1..=12).await;
        let before = told(&store, "e1", &site.directory().join("before")).await;
        let out = site.directory().join("before/parquet");
        let other = How { id: Some("e2".to_owned()), ..How::default() };
        assert_eq!(import::parquet(&store, &out, &other).await.unwrap().records, 6_000);
        let files = names(&directory(site, "e2").unwrap());
        assert_eq!(files.len(), 5, "{files:?}");
        let (_, _, _, requests) = told(&store, "e2", &site.directory().join("e2")).await;
        let rows = |bytes: Vec<u8>| {
            let rows = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            rows.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect::<Vec<_>>()
        };
        assert!(rows(requests) == rows(before.3.clone()));
        assert_eq!(store.held("e2").await.unwrap().record_rows, 6_000);

        // In the place of one with files: those go, and only once the new ones count.
        let replacing = How { replace: true, ..other.clone() };
        assert!(import::parquet(&store, &out, &replacing).await.unwrap().replaced);
        let again = names(&directory(site, "e2").unwrap());
        assert!(again.len() == 5 && again.iter().all(|name| !files.contains(name)), "{again:?}");
        assert_eq!(store.record_count("e2").await.unwrap(), 6_000);

        // One that fails after the records leaves none of its files, and those that were there.
        let spoilt = site.directory().join("spoilt");
        export::parquet(&store, "e1", &spoilt).await.unwrap();
        store.remove("e1").await.unwrap();
        import::parquet(&store, &out, &How::default()).await.unwrap();
        assert!(told(&store, "e1", &site.directory().join("after")).await == before);
        let limited = How { id: Some("e3".to_owned()), ..How::default() };
        let mut polls = 1;
        while unless_dropped(import::parquet(&store, &spoilt, &limited), polls).await.is_none() {
            let left = directory(site, "e3").map_or(Vec::new(), |directory| names(&directory));
            let records = store.record_count("e3").await.unwrap();
            // Files are left only where nobody could say whether it had been done.
            let is_whole_or_nothing = matches!((records, left.len()), (0, 0 | 5) | (6_000, 5));
            assert!(is_whole_or_nothing, "after {polls}: {records} records, {left:?}");
            if records > 0 {
                assert!(store.remove("e3").await.unwrap());
            }
            polls += polls / 3 + 1;
        }
        assert_eq!(names(&directory(site, "e3").unwrap()).len(), 5);
        for id in ["e1", "e2", "e3"] {
            assert!(store.remove(id).await.unwrap());
            assert!(directory(site, id).is_none());
        }
        store.close().await;
    })
    .await;
}
