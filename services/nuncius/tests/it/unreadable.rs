//! An entry of a bucket that nobody can read: named, left out, and in nobody's way.

use nuncius_schemas::run::{RunStatus, Verdict};

use crate::harness::{System, beside_others, open_spec, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_unreadable_entry_is_named_and_keeps_nobody_from_the_others() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("fine", &address, "400/s", "1s", "").as_bytes()).await;
    system.wait_for_end("fine").await;
    assert!(system.output(&["route", "set", "shop", "10.0.0.7:80"]).status.success());
    assert!(system.output(&["queue", "create", "jobs"]).status.success());
    let names = system.bus.namespace().clone();
    for bucket in [names.bucket_run(), names.bucket_route(), names.bucket_queue(), names.bucket_node()] {
        let bucket = system.bus.kv(&bucket).await.unwrap();
        bucket.put("torn", b"\x81\xa4half".to_vec().into()).await.unwrap();
        bucket.put("by.somebody/else", b"hello".to_vec().into()).await.unwrap();
    }
    let commands: [(&[&str], &str, &str); 6] = [
        (&["ps", "--all"], "fine", "nuncius_run"),
        (&["route", "ls"], "10.0.0.7:80", "nuncius_route"),
        (&["queue", "ls"], "jobs", "nuncius_queue"),
        (&["nodes"], "n1", "nuncius_node"),
        (&["report", "last"], "fine", "nuncius_run"),
        (&["doctor"], "1 client", "nuncius_node"),
    ];
    for (arguments, shown, bucket) in commands {
        let output = system.output(arguments);
        let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{told}");
        assert!(out.contains(shown), "{arguments:?}: {out}{told}");
        let all = format!("{out}{told}");
        assert!(all.contains("`torn`") && all.contains(bucket), "{arguments:?} names the key: {all}");
    }
    let output = system.output(&["queue", "info", "torn"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"), "{output:?}");

    // A daemon that starts gets by them, and says that the id is taken.
    system.start_daemon_with(&["--name", "second"]);
    until("it is there", async || system.nodes().await.iter().any(|node| node.name == "second").then_some(())).await;
    let file = system.directory.path().join("torn.yaml");
    std::fs::write(&file, open_spec("torn", &address, "400/s", "1s", "")).unwrap();
    let output = system.output(&["submit", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("cannot be read") && told.contains("torn"), "{output:?}");
    system.publish(open_spec("after", &address, "400/s", "1s", "").as_bytes()).await;
    let record = system.wait_for_end("after").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)));

    let output = system.output(&["rm", "torn"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"), "{output:?}");
    assert!(system.output(&["rm", "--force", "torn"]).status.success());
    let listed = system.output(&["ps", "--all"]);
    assert!(!String::from_utf8_lossy(&listed.stderr).contains("`torn`"), "{listed:?}");
}
