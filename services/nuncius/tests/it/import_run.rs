//! A run that was exported on one machine is looked at on another, without a bus, as where it ran.

use std::path::Path;
use std::process::Output;

use nuncius_schemas::run::RunStatus;
use nuncius_store::Store;
use serde_json::Value;

use crate::harness::{System, beside_others, nuncius, open_spec, until};

/// A command on a machine that has nothing but this data directory.
fn alone(data: &Path, arguments: &[&str]) -> Output {
    nuncius().arg("--data").arg(data).args(arguments).env("HOME", data).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

/// Both directories have the same files, byte for byte.
fn assert_equal(here: &Path, there: &Path) {
    let files = |directory: &Path| {
        let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        files
    };
    assert_eq!(files(here), files(there));
    assert!(files(here).len() >= 11);
    for name in files(here) {
        assert!(std::fs::read(here.join(&name)).unwrap() == std::fs::read(there.join(&name)).unwrap(), "{name:?}");
    }
}

/// Waits until the last that a run tells is in the database.
async fn end_is_stored(system: &System, id: &str) {
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    until("its end is stored", async || {
        let events = store.events(id).await.unwrap();
        let has_ended = |status: Option<RunStatus>| status.is_some_and(RunStatus::is_terminal);
        let is_whole = events.iter().any(|event| has_ended(event.status)) && store.held(id).await.unwrap().has_ended;
        is_whole.then_some(())
    })
    .await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_exported_is_reported_compared_listed_and_exported_where_it_was_imported() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    for id in ["first", "second"] {
        let file = system.directory.path().join(format!("{id}.yaml"));
        let more = "records: all\ngates: ['failures < 20%', 'p99(response) < 10s']";
        std::fs::write(&file, open_spec(id, &address, "200/s", "3s", more)).unwrap();
        let output = system.output(&["run", file.to_str().unwrap(), "--quiet"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        end_is_stored(&system, id).await;
    }
    let place = |name: &str| system.directory.path().join(name);
    let text = |name: &str| place(name).to_str().unwrap().to_owned();
    for id in ["first", "second"] {
        said(&system.output(&["export", id, "--parquet", &text(id)]));
    }
    // From the daemon's database, on another machine: the same.
    said(
        &nuncius()
            .args(["--nats", &system.server.url(), "--data", &text("far"), "export", "second", "--parquet"])
            .arg(place("second-far"))
            .output()
            .unwrap(),
    );
    assert_equal(&place("second"), &place("second-far"));

    let there = place("there");
    let told = said(&alone(&there, &["import-run", &text("first")]));
    assert!(told.starts_with("imported first: ") && told.contains("600 request records"), "{told}");
    let told: Value = serde_json::from_str(&said(&alone(&there, &["import-run", &text("second"), "--json"]))).unwrap();
    assert_eq!(
        (&told["imported"], &told["records"], &told["replaced"]),
        (&"second".into(), &600.into(), &false.into())
    );

    let both = |arguments: &[&str]| (said(&system.output(arguments)), said(&alone(&there, arguments)));
    for arguments in [
        &["report", "first"][..],
        &["report", "first", "--json"],
        &["export", "first", "--json"],
        &["report", "second", "--html", "-"],
    ] {
        let (here, away) = both(arguments);
        assert!(here == away, "{arguments:?}: {here}\n{away}");
    }
    let (here, away) = (
        system.output(&["compare", "first", "second", "--json"]),
        alone(&there, &["compare", "first", "second", "--json"]),
    );
    assert_eq!((here.status.code(), &here.stdout), (away.status.code(), &away.stdout));
    let listed: Value = serde_json::from_str(&said(&alone(&there, &["ps", "--all", "--json"]))).unwrap();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!((ids, &listed[0]["verdict"]), (vec!["first", "second"], &"pass".into()));

    // The same files once more, byte for byte.
    said(&alone(&there, &["export", "first", "--parquet", &text("again")]));
    assert_equal(&place("first"), &place("again"));

    let told = refused(&alone(&there, &["import-run", &text("first")]), 5);
    assert!(told.contains("`first`") && told.contains("--replace"), "{told}");
    let told = said(&alone(&there, &["import-run", &text("first"), "--replace"]));
    assert!(told.contains("in the place of the one before"), "{told}");
    let told = said(&alone(&there, &["import-run", &text("first"), "--as", "other"]));
    assert!(told.starts_with("imported other, which was first: "), "{told}");
    assert!(said(&alone(&there, &["report", "other"])).contains("other"));
    said(&alone(&there, &["rm", "other"]));

    let told = refused(&alone(&there, &["import-run", &text("nowhere")]), 64);
    assert!(told.contains("nowhere") && told.contains("is missing"), "{told}");
    let told = refused(&alone(&there, &["import-run", &text("first"), "--as", "a/b"]), 64);
    assert!(told.contains("not a valid name"), "{told}");
    let path = place("second").join("requests.parquet");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let told = refused(&alone(&there, &["import-run", &text("second"), "--as", "half"]), 64);
    assert!(told.contains("requests.parquet") && told.contains("bytes, the export wrote"), "{told}");
    let told = refused(&alone(&there, &["report", "half"]), 5);
    assert!(told.contains("half"), "{told}");
    // A database that is somewhere else altogether.
    let elsewhere = text("elsewhere.db");
    said(&alone(&there, &["import-run", &text("first"), "--database", &elsewhere]));
    assert!(said(&alone(&there, &["ps", "--all", "--database", &elsewhere])).contains("first"));
}
