//! What is no export, or no longer one, is refused with what is wrong and where, and nothing of it gets into the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nuncius_store::import::{self, How, ImportError};
use nuncius_store::{Store, export};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sha2::{Digest as _, Sha256};

use crate::common::{Kind, Site, record};
use crate::import::fill;

/// A store, and the export of a run that it no longer has.
struct Bench {
    site: Site,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        let site = Site::new(Kind::Sqlite).await;
        let store = site.open().await;
        fill(&store, "e1").await;
        let bench = Self { site, store };
        export::parquet(&bench.store, "e1", &bench.whole()).await.unwrap();
        bench.store.remove("e1").await.unwrap();
        bench
    }

    fn whole(&self) -> PathBuf {
        self.site.directory().join("whole")
    }

    /// A copy of the export, to be spoilt.
    fn copy(&self) -> PathBuf {
        let to = self.site.directory().join("spoilt");
        let _ = std::fs::remove_dir_all(&to);
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(self.whole()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
        to
    }

    /// What is said of a directory; the store is as it was.
    async fn refused_with(&self, directory: &Path, how: &How) -> ImportError {
        let refused = import::parquet(&self.store, directory, how).await.unwrap_err();
        assert!(self.store.list_experiments(10).await.unwrap().is_empty(), "{refused}");
        assert_eq!(self.site.sql("SELECT CAST(count(*) AS TEXT) FROM request").await, "0");
        assert_eq!(self.site.sql("SELECT CAST(count(*) AS TEXT) FROM telemetry_value").await, "0");
        refused
    }

    async fn refused(&self, directory: &Path) -> String {
        let refused = self.refused_with(directory, &How::default()).await;
        assert!(refused.is_of_the_export(), "{refused}");
        refused.to_string()
    }
}

/// A column to be written.
enum Column {
    Integers(Vec<i64>),
    Short(Vec<i32>),
    Reals(Vec<f64>),
    Flags(Vec<bool>),
    Texts(Vec<&'static [u8]>),
    /// Of which so many are there.
    Maybe(Vec<Option<&'static [u8]>>),
}

/// Puts a file with these columns in the place of one of the directory, and has the list say that it is right.
fn put(directory: &Path, name: &str, columns: &[(&str, Column)]) {
    let path = directory.join(name);
    let about = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let about = about.metadata().file_metadata().key_value_metadata().unwrap().clone();
    put_with(directory, name, columns, about);
}

fn put_with(directory: &Path, name: &str, columns: &[(&str, Column)], about: Vec<KeyValue>) {
    let kind = |column: &Column| match column {
        Column::Integers(_) => "REQUIRED INT64",
        Column::Short(_) => "REQUIRED INT32",
        Column::Reals(_) => "REQUIRED DOUBLE",
        Column::Flags(_) => "REQUIRED BOOLEAN",
        Column::Texts(_) => "REQUIRED BYTE_ARRAY",
        Column::Maybe(_) => "OPTIONAL BYTE_ARRAY",
    };
    let fields: String = columns.iter().map(|(name, column)| format!("{} {name};", kind(column))).collect();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {fields} }}")).unwrap());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(about)).build();
    let file = File::create(directory.join(name)).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let bytes = |bytes: &[u8]| ByteArray::from(bytes.to_vec());
    for (_, column) in columns {
        let mut out = group.next_column().unwrap().unwrap();
        match column {
            Column::Integers(all) => out.typed::<Int64Type>().write_batch(all, None, None),
            Column::Short(all) => out.typed::<Int32Type>().write_batch(all, None, None),
            Column::Reals(all) => out.typed::<DoubleType>().write_batch(all, None, None),
            Column::Flags(all) => out.typed::<BoolType>().write_batch(all, None, None),
            Column::Texts(all) => {
                let all: Vec<_> = all.iter().map(|text| bytes(text)).collect();
                out.typed::<ByteArrayType>().write_batch(&all, None, None)
            }
            Column::Maybe(all) => {
                let levels: Vec<i16> = all.iter().map(|text| i16::from(text.is_some())).collect();
                let all: Vec<_> = all.iter().flatten().map(|text| bytes(text)).collect();
                out.typed::<ByteArrayType>().write_batch(&all, Some(&levels), None)
            }
        }
        .unwrap();
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    relist(directory);
}

/// Has the list tell the files as they are now.
fn relist(directory: &Path) {
    let path = directory.join("export.json");
    let mut contents: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for file in contents["files"].as_array_mut().unwrap() {
        let bytes = std::fs::read(directory.join(file["name"].as_str().unwrap())).unwrap();
        file["size_bytes"] = bytes.len().into();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        file["sha256"] = digest.into();
    }
    std::fs::write(&path, contents.to_string()).unwrap();
}

/// Changes the list.
fn change(directory: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = directory.join("export.json");
    let mut contents: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut contents);
    std::fs::write(&path, contents.to_string()).unwrap();
}

fn says(error: &str, words: &[&str]) {
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
}

#[tokio::test]
async fn a_directory_of_something_else_is_told_as_such() {
    let bench = Bench::new().await;
    let place = bench.site.directory();
    says(&bench.refused(&place.join("nowhere")).await, &["nowhere", "is missing"]);
    std::fs::write(place.join("letter"), "dear aunt").unwrap();
    says(&bench.refused(&place.join("letter")).await, &["letter", "no directory"]);
    let empty = place.join("empty");
    std::fs::create_dir(&empty).unwrap();
    says(&bench.refused(&empty).await, &["empty", "no export.json", "export the run once more"]);
    for (text, words) in [
        ("", "export.json"),
        ("dear aunt", "export.json"),
        ("[]", "export.json"),
        ("{}", "format"),
        (r#"{"format": 7}"#, "format"),
        (r#"{"format": "somebody-elses.v1"}"#, "is no format"),
        (r#"{"format": "nuncius-export.v1"}"#, "experiment"),
        (r#"{"format": "nuncius-export.v0"}"#, "is no format"),
    ] {
        std::fs::write(empty.join("export.json"), text).unwrap();
        says(&bench.refused(&empty).await, &["export.json", words]);
    }
    std::fs::write(empty.join("export.json"), r#"{"format": "nuncius-export.v2", "all": "different"}"#).unwrap();
    says(&bench.refused(&empty).await, &["nuncius-export.v2", "nuncius-export.v1", "newer nuncius"]);
    std::fs::remove_file(empty.join("export.json")).unwrap();
    std::fs::create_dir(empty.join("export.json")).unwrap();
    says(&bench.refused(&empty).await, &["export.json", "no file"]);
}

#[tokio::test]
async fn a_file_that_is_missing_cut_off_changed_or_anothers_is_named() {
    let bench = Bench::new().await;
    let names: Vec<String> = std::fs::read_dir(bench.whole())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "export.json")
        .collect();
    assert_eq!(names.len(), 12);
    for name in &names {
        let spoilt = bench.copy();
        let path = spoilt.join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 1, 7, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let wanted = format!("has {length} bytes, the export wrote {}", whole.len());
            says(&bench.refused(&spoilt).await, &[name, &wanted]);
        }
        for at in [0, whole.len() / 3, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            says(&bench.refused(&spoilt).await, &[name, "SHA-256"]);
        }
        std::fs::remove_file(&path).unwrap();
        says(&bench.refused(&spoilt).await, &[name, "is missing"]);
        std::fs::create_dir(&path).unwrap();
        says(&bench.refused(&spoilt).await, &[name, "no file"]);
    }

    // Of another run: told as that, though it is longer or shorter as well.
    fill(&bench.store, "e2").await;
    let other = bench.site.directory().join("other");
    export::parquet(&bench.store, "e2", &other).await.unwrap();
    bench.store.remove("e2").await.unwrap();
    for name in &names {
        let spoilt = bench.copy();
        std::fs::copy(other.join(name), spoilt.join(name)).unwrap();
        if name == "report.json" {
            says(&bench.refused(&spoilt).await, &[name, "SHA-256"]);
        } else {
            says(&bench.refused(&spoilt).await, &[name, "of experiment `e2`", "of `e1`"]);
        }
        relist(&spoilt);
        says(&bench.refused(&spoilt).await, &[name, "of experiment `e2`", "of `e1`"]);
    }
}

#[tokio::test]
async fn a_list_that_leads_elsewhere_or_lacks_something_is_refused() {
    let bench = Bench::new().await;
    for name in ["../whole/phases.parquet", "/etc/passwd", "..", "", "export.json", "requests.csv"] {
        let spoilt = bench.copy();
        change(&spoilt, |contents| contents["files"][0]["name"] = name.into());
        says(&bench.refused(&spoilt).await, &["export.json", "which no export has"]);
    }
    let spoilt = bench.copy();
    change(&spoilt, |contents| {
        let again = contents["files"][0].clone();
        contents["files"].as_array_mut().unwrap().push(again);
    });
    says(&bench.refused(&spoilt).await, &["lists requests.parquet twice"]);
    for name in ["quantities.parquet", "samples.parquet", "telemetry.parquet", "gates.parquet"] {
        let spoilt = bench.copy();
        change(&spoilt, |contents| {
            contents["files"].as_array_mut().unwrap().retain(|file| file["name"] != name);
        });
        says(&bench.refused(&spoilt).await, &["export.json", "does not list", name]);
    }
    for (member, value) in [
        ("status", serde_json::json!("lost")),
        ("verdict", serde_json::json!(7)),
        ("submitted_unix_ms", serde_json::json!(-1)),
        ("trace_id", serde_json::json!("x")),
        ("spec", serde_json::json!({"groups": 7})),
    ] {
        let spoilt = bench.copy();
        change(&spoilt, |contents| contents["experiment"][member] = value);
        says(&bench.refused(&spoilt).await, &["export.json"]);
    }
    std::fs::write(bench.copy().join("export.json"), vec![b' '; 17 << 20]).unwrap();
    says(&bench.refused(&bench.site.directory().join("spoilt")).await, &["export.json", "the limit is 16777216"]);
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_wherever_it_stands() {
    let bench = Bench::new().await;
    for id in ["", "../e1", "a b", "e1\u{1b}[31m", &"x".repeat(65), "ü"] {
        let spoilt = bench.copy();
        change(&spoilt, |contents| contents["experiment"]["id"] = id.into());
        says(&bench.refused(&spoilt).await, &["not a valid name", "--as"]);
        let how = How { id: Some(id.to_owned()), ..How::default() };
        says(&bench.refused_with(&bench.whole(), &how).await.to_string(), &["not a valid name"]);
    }
    let mut report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.whole().join("report.json")).unwrap()).unwrap();
    report["id"] = "e9".into();
    let spoilt = bench.copy();
    std::fs::write(spoilt.join("report.json"), report.to_string()).unwrap();
    relist(&spoilt);
    says(&bench.refused(&spoilt).await, &["report.json", "`e9`", "`e1`"]);
    std::fs::write(spoilt.join("report.json"), "{\"id\": \"e1\"}").unwrap();
    relist(&spoilt);
    says(&bench.refused(&spoilt).await, &["report.json", "is not what an export has"]);
}

#[tokio::test]
async fn columns_that_are_missing_or_hold_something_else_are_named() {
    let bench = Bench::new().await;
    let phases = || (Column::Texts(vec![b"running"]), Column::Integers(vec![1]));
    let (status, at) = phases();
    for (columns, words) in [
        (vec![("status", status)], &["no column `at_unix_ms`"][..]),
        (vec![("state", phases().0), ("at_unix_ms", at)], &["no column `status`"]),
        (
            vec![("status", phases().0), ("at_unix_ms", Column::Short(vec![1]))],
            &["column `at_unix_ms`", "INT32", "INT64"],
        ),
        (
            vec![("status", phases().0), ("at_unix_ms", Column::Reals(vec![1.0]))],
            &["column `at_unix_ms`", "DOUBLE", "INT64"],
        ),
        (
            vec![("status", Column::Flags(vec![true])), ("at_unix_ms", phases().1)],
            &["column `status`", "BOOLEAN", "texts"],
        ),
        (
            vec![("status", Column::Maybe(vec![None])), ("at_unix_ms", phases().1)],
            &["column `status`", "may be absent"],
        ),
        (vec![("status", Column::Texts(vec![b"lost"])), ("at_unix_ms", phases().1)], &["row 1", "column `status`"]),
        (
            vec![
                ("status", Column::Texts(vec![b"running", b"\xff\xfe"])),
                ("at_unix_ms", Column::Integers(vec![1, 2])),
            ],
            &["row 2", "column `status`", "UTF-8"],
        ),
        (
            vec![("status", Column::Texts(vec![b"running", b"running"])), ("at_unix_ms", Column::Integers(vec![1, 1]))],
            &["row 1", "twice"],
        ),
    ] {
        let spoilt = bench.copy();
        put(&spoilt, "phases.parquet", &columns);
        says(&bench.refused(&spoilt).await, words);
    }
    let spoilt = bench.copy();
    put_with(&spoilt, "phases.parquet", &[("status", phases().0), ("at_unix_ms", phases().1)], Vec::new());
    says(&bench.refused(&spoilt).await, &["phases.parquet", "does not say of which experiment"]);
    // More columns than are needed, in another order, by another writer: that is fine.
    let spoilt = bench.copy();
    let more = [("at_unix_ms", phases().1), ("note", Column::Texts(vec![b"mine"])), ("status", phases().0)];
    put(&spoilt, "phases.parquet", &more);
    import::parquet(&bench.store, &spoilt, &How::default()).await.unwrap();
    assert_eq!(bench.store.phases("e1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn rows_that_a_reader_would_stumble_over_are_told_with_their_place() {
    let bench = Bench::new().await;
    let events = |kind: &'static [u8], data: &'static [u8]| {
        let none = || Column::Maybe(vec![None]);
        let mut columns = vec![("at_unix_ms", Column::Integers(vec![1])), ("kind", Column::Texts(vec![kind]))];
        columns.extend([("message", Column::Texts(vec![b"m"])), ("status", none()), ("verdict", none())]);
        columns.push(("data", Column::Texts(vec![data])));
        columns
    };
    let telemetry = |sample: Vec<i64>, node: &'static [u8], value: f64, unit: [&'static [u8]; 2]| {
        vec![
            ("at_unix_ns", Column::Integers(vec![1, 2])),
            ("node", Column::Texts(vec![b"a", node])),
            ("metric", Column::Texts(vec![b"load", b"load"])),
            ("subsystem", Column::Texts(vec![b"", b""])),
            ("value", Column::Reals(vec![1.0, value])),
            ("unit", Column::Texts(unit.to_vec())),
            ("sample", Column::Integers(sample)),
        ]
    };
    let quantity = |quantity: &'static [u8], histogram: &'static [u8]| {
        vec![
            ("group", Column::Texts(vec![b"g"])),
            ("step", Column::Texts(vec![b"s"])),
            ("quantity", Column::Texts(vec![quantity])),
            ("count", Column::Integers(vec![1])),
            ("overflow", Column::Integers(vec![0])),
            ("histogram", Column::Texts(vec![histogram])),
        ]
    };
    let same: [&[u8]; 2] = [b"", b""];
    for (name, columns, words) in [
        ("events.parquet", events(b"odd", b"{}"), &["row 1", "column `kind`", "odd"][..]),
        ("events.parquet", events(b"node", b"[]"), &["row 1", "column `data`"]),
        // The second sample is of node `b`, the third and the fourth of `a` again.
        ("telemetry.parquet", telemetry(vec![0, 4], b"a", 1.0, same), &["row 2", "column `sample`", "4 samples"]),
        ("telemetry.parquet", telemetry(vec![2, 0], b"a", 1.0, same), &["row 2", "column `sample`"]),
        ("telemetry.parquet", telemetry(vec![0, -1], b"a", 1.0, same), &["row 2", "column `sample`"]),
        ("telemetry.parquet", telemetry(vec![0, 1], b"a", 1.0, same), &["row 2", "column `node`", "`b`"]),
        ("telemetry.parquet", telemetry(vec![0, 2], b"a", f64::NAN, same), &["row 2", "no finite number"]),
        ("telemetry.parquet", telemetry(vec![0, 2], b"a", 1.0, [b"", b"bytes"]), &["row 2", "column `unit`"]),
        ("telemetry.parquet", telemetry(vec![0, 0], b"a", 1.0, same), &["row 1", "twice"]),
        ("quantities.parquet", quantity(b"speed", b""), &["no column `min_ns`"]),
    ] {
        let spoilt = bench.copy();
        put(&spoilt, name, &columns);
        says(&bench.refused(&spoilt).await, &[&[name][..], words].concat());
    }
    // What a database may have that nobody reads when it is exported.
    for (statement, words) in [
        ("UPDATE request SET outcome = 'odd' WHERE idx = 10999", &["requests.parquet", "row 1000", "outcome"][..]),
        ("UPDATE second SET statuses = '{}' WHERE second = 3", &["seconds.parquet", "row 9", "statuses"]),
        ("UPDATE second_histogram SET response = x'07' WHERE second = 0", &["second_histograms.parquet", "row 1"]),
    ] {
        fill(&bench.store, "e1").await;
        bench.site.sql(statement).await;
        let spoilt = bench.site.directory().join("odd");
        export::parquet(&bench.store, "e1", &spoilt).await.unwrap();
        bench.store.remove("e1").await.unwrap();
        says(&bench.refused(&spoilt).await, words);
    }
}

#[tokio::test]
async fn records_of_an_export_from_before_they_told_their_host_are_taken_without() {
    let bench = Bench::new().await;
    let before = bench.copy();
    let columns = [
        ("node", Column::Texts(vec![b"n1"])),
        ("group", Column::Texts(vec![b"browse"])),
        ("step", Column::Texts(vec![b"list"])),
        ("index", Column::Integers(vec![7])),
        ("planned_ns", Column::Integers(vec![1])),
        ("sent_ns", Column::Integers(vec![2])),
        ("done_ns", Column::Integers(vec![3])),
        ("status", Column::Integers(vec![200])),
        ("outcome", Column::Texts(vec![b"succeeded"])),
        ("span_id", Column::Maybe(vec![None])),
    ];
    put(&before, "requests.parquet", &columns);
    import::parquet(&bench.store, &before, &How::default()).await.unwrap();
    assert_eq!(bench.site.sql("SELECT idx || ' ' || coalesce(host, 'none') FROM request").await, "7 none");
}

#[tokio::test]
async fn a_file_with_more_rows_than_may_be_is_refused_before_one_is_read() {
    let bench = Bench::new().await;
    let how = How { rows_max: 1_699, ..How::default() };
    let refused = bench.refused_with(&bench.whole(), &how).await.to_string();
    says(&refused, &["requests.parquet", "1700 rows", "`--max-rows` is 1699"]);
}

#[tokio::test]
async fn a_file_that_lies_about_itself_never_brings_the_program_down() {
    let bench = Bench::new().await;
    // The list says that it is right: whatever comes of it, no panic, and no memory for what is not there.
    for name in ["phases.parquet", "second_histograms.parquet", "requests.parquet"] {
        let whole = std::fs::read(bench.whole().join(name)).unwrap();
        for step in 0..60 {
            let spoilt = bench.copy();
            let mut changed = whole.clone();
            // Most of them where a file tells of itself.
            let from = if step % 3 == 0 { 4 } else { whole.len().saturating_sub(600).max(4) };
            let at = from + (step * 7_919) % (whole.len() - from);
            changed[at] = changed[at].wrapping_add(1 + (step % 250) as u8);
            std::fs::write(spoilt.join(name), &changed).unwrap();
            relist(&spoilt);
            match import::parquet(&bench.store, &spoilt, &How::default()).await {
                Ok(_) => assert!(bench.store.remove("e1").await.unwrap()),
                Err(error) => {
                    assert!(error.to_string().contains(name), "{error}");
                    assert!(bench.store.list_experiments(10).await.unwrap().is_empty());
                }
            }
        }
    }
    // Groups of columns that end at different rows.
    let spoilt = bench.copy();
    std::fs::copy(spoilt.join("nodes.parquet"), spoilt.join("phases.parquet")).unwrap();
    relist(&spoilt);
    says(&bench.refused(&spoilt).await, &["phases.parquet", "no column `status`"]);
    assert!(bench.store.experiment(&record("e1").id).await.is_err());
}
