//! What a process leaves behind that ended without a word: rows, directories, and a terminal that went away.

use std::path::PathBuf;
use std::process::Command;

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;
use rustix::process::Signal;

use crate::faults::{Alone, ended, wait_until_gone};
use crate::harness::{Process, System, beside_others, open_spec, until};

/// The directories of private servers.
fn private_directories(alone: &Alone) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(alone.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("nuncius-")).collect()
}

async fn status_of(alone: &Alone, id: &str) -> (RunStatus, Option<Verdict>, Option<String>) {
    let store = Store::open(alone.directory.path().join("data/nuncius.db")).await.unwrap();
    let found = store.experiment(id).await.unwrap();
    store.close().await;
    (found.status, found.verdict, found.reason)
}

fn after(alone: &Alone, id: &str) -> Command {
    let file = alone.directory.path().join(format!("{id}.yaml"));
    std::fs::write(&file, open_spec(id, &alone.address, "400/s", "1s", "")).unwrap();
    alone.command(&["run", file.to_str().unwrap(), "--quiet"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_closed_and_swept_by_the_next_and_one_that_lives_is_left_alone() {
    let _turn = beside_others().await;
    let alone = Alone::new();
    let (mut killed, server) = alone.run("").await;
    assert_eq!(status_of(&alone, "alone").await.0, RunStatus::Running);
    assert_eq!(private_directories(&alone).len(), 1);

    // Another one beside it, while it lives.
    let output = after(&alone, "beside").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(status_of(&alone, "alone").await.0, RunStatus::Running);
    assert_eq!(private_directories(&alone).len(), 1);
    assert!(killed.child.try_wait().unwrap().is_none());

    killed.kill();
    wait_until_gone(server).await;
    assert_eq!(status_of(&alone, "alone").await.0, RunStatus::Running);
    assert_eq!(private_directories(&alone).len(), 1);
    let output = after(&alone, "next").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(private_directories(&alone), Vec::<PathBuf>::new());
    let (status, verdict, reason) = status_of(&alone, "alone").await;
    assert_eq!((status, verdict), (RunStatus::Failed, Some(Verdict::Invalid)));
    assert!(reason.unwrap().contains("the process that ran it ended"));
    let listed = alone.command(&["ps"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("alone"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_terminal_goes_away_ends_like_one_that_is_told_to() {
    let _turn = beside_others().await;
    let alone = Alone::new();
    let (mut run, server) = alone.run("drain: 1s").await;
    run.signal(Signal::HUP);
    let (status, text) = ended(&mut run).await;
    assert_eq!(status.code(), Some(6), "{status} {text}");
    wait_until_gone(server).await;
    assert_eq!(private_directories(&alone), Vec::<PathBuf>::new());
    assert_eq!(status_of(&alone, "alone").await.0, RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_ends_orderly_when_its_terminal_goes_away() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    let services: [(&[&str], &str); 8] = [
        (&["client"], "joined"),
        (&["experimentd", "--name", "second"], "taking experiments"),
        (&["frontend", "q", "--maddr", "127.0.0.1:0"], "metrics at"),
        (&["worker", "--queue", "q", "sleep"], "joined"),
        (&["emulator", "stub", "--listen", "127.0.0.1:0", "--register", "shop"], "registered"),
        (&["emulator", "device", "d1"], "emulated device"),
        (&["emulator", "oco", "--http", "127.0.0.1:0"], "on NATS as node"),
        (&["emulator", "resource", "--http", "127.0.0.1:0"], "on NATS as node"),
    ];
    let mut running = Vec::new();
    for (number, (arguments, sign)) in services.into_iter().enumerate() {
        let log = system.directory.path().join(format!("hangup-{number}.log"));
        let out = std::fs::File::create(&log).unwrap();
        let mut command = system.command(arguments);
        command.current_dir(system.directory.path()).stdout(out.try_clone().unwrap()).stderr(out);
        running.push((arguments, Process { child: command.spawn().unwrap() }));
        let read = || std::fs::read_to_string(&log).unwrap();
        until(&format!("{arguments:?} is there"), async || read().contains(sign).then_some(())).await;
    }
    for (arguments, mut process) in running {
        process.signal(Signal::HUP);
        let status = until(&format!("{arguments:?} has ended"), async || process.child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(0), "{arguments:?}: {status}");
    }
    until("all have left the registry", async || (system.nodes().await.len() == 1).then_some(())).await;
}
