//! What a daemon has stored is reached from any machine, and deleted where it is or not at all.

use std::path::Path;
use std::process::Output;

use nuncius_schemas::run::RunStatus;
use nuncius_store::{Store, StoreError};

use crate::harness::{System, beside_others, nuncius, open_spec, until};

/// A command on another machine: the same bus, another data directory.
fn elsewhere(system: &System, arguments: &[&str]) -> Output {
    let data = system.directory.path().join("elsewhere");
    let mut command = nuncius();
    command.arg("--nats").arg(system.server.url()).arg("--data").arg(data).args(arguments);
    command.output().unwrap()
}

fn error_of(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn is_stored(system: &System, id: &str) -> bool {
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let found = store.experiment(id).await;
    store.close().await;
    match found {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Runs an experiment whose export is several pieces long.
async fn run(system: &mut System, id: &str) {
    let address = system.start_stub(&[]);
    let more = "records: all\ngates: ['failures < 20%']";
    system.publish(open_spec(id, &address, "800/s", "2s", more).as_bytes()).await;
    assert_eq!(system.wait_for_end(id).await.status, RunStatus::Finished);
    until("its end is stored", async || {
        let events = system.events(id).await;
        events.iter().any(|event| event.status == Some(RunStatus::Finished)).then_some(())
    })
    .await;
}

/// Two directories have the same files, byte by byte.
fn assert_same_files(one: &Path, other: &Path) {
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other));
    assert!(!names(one).is_empty());
    for name in names(one) {
        assert_eq!(std::fs::read(one.join(&name)).unwrap(), std::fs::read(other.join(&name)).unwrap(), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_has_stored_is_exported_reported_and_removed_from_another_machine() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    run(&mut system, "far").await;
    let here = system.output(&["export", "far", "--json"]);
    let there = elsewhere(&system, &["export", "far", "--json"]);
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    let document: serde_json::Value = serde_json::from_slice(&there.stdout).unwrap();
    assert_eq!(document["requests"].as_array().unwrap().len(), 1_600);
    assert!(there.stdout.len() > 256 * 1024, "several pieces: {}", there.stdout.len());
    assert_eq!(there.stdout, here.stdout);

    for (form, out) in [("--csv", Some("--out")), ("--parquet", None), ("--galileo", None)] {
        let [far, near] = ["far", "near"].map(|place| system.directory.path().join(format!("{place}{form}")));
        let arguments = |directory: &Path| -> Vec<String> {
            let directory = directory.to_str().unwrap();
            ["export", "far", form].into_iter().chain(out).chain([directory]).map(str::to_owned).collect()
        };
        let there = elsewhere(&system, &arguments(&far).iter().map(String::as_str).collect::<Vec<_>>());
        assert!(there.status.success(), "{form}: {}", String::from_utf8_lossy(&there.stderr));
        let here = system.output(&arguments(&near).iter().map(String::as_str).collect::<Vec<_>>());
        assert!(here.status.success(), "{form}: {}", String::from_utf8_lossy(&here.stderr));
        assert_same_files(&near, &far);
    }
    let traces = std::fs::read_to_string(system.directory.path().join("far--galileo/traces.csv")).unwrap();
    assert_eq!(traces.lines().count(), 1 + 1_600);
    let parquet = std::fs::read(system.directory.path().join("far--parquet/requests.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));

    // The bus keeps reports for a while; the database keeps them.
    let namespace = system.bus.namespace();
    let objects = system.bus.objects(&namespace.bucket_artifact()).await.unwrap();
    assert!(objects.delete(&namespace.artifact_report("far")).await.unwrap());
    let there = elsewhere(&system, &["report", "far"]);
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    assert!(String::from_utf8_lossy(&there.stdout).contains("1,600"), "{}", String::from_utf8_lossy(&there.stdout));

    let there = elsewhere(&system, &["rm", "far"]);
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    assert!(!is_stored(&system, "far").await);
    assert!(system.record("far").await.is_none());
    for arguments in [&["rm", "far"][..], &["export", "far", "--json"], &["report", "far"]] {
        let error = error_of(&elsewhere(&system, arguments));
        assert!(error.contains("far"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_not_half_deleted_and_the_error_says_where_it_is() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    run(&mut system, "unreachable").await;
    system.daemon = None;
    for arguments in [&["rm", "unreachable"][..], &["export", "unreachable", "--json"]] {
        let error = error_of(&elsewhere(&system, arguments));
        assert!(error.contains("the daemon that ran it") && error.contains("no daemon runs"), "{error}");
    }
    assert!(is_stored(&system, "unreachable").await);
    assert!(system.record("unreachable").await.is_some());
    // Where its database is no daemon is needed.
    assert!(system.output(&["rm", "unreachable"]).status.success());
    assert!(!is_stored(&system, "unreachable").await);
    assert!(system.record("unreachable").await.is_none());
}
