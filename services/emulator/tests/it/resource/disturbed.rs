//! What others do to the files and to the disk, and requests that come too thick, must not disturb more than they must.

use super::*;

/// The files below the consumer's directory.
fn files(data: &Path) -> Vec<std::path::PathBuf> {
    let below = |path: std::path::PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let named = |path: &Path, start: &str| path.file_name().unwrap().to_string_lossy().starts_with(start);
    let claims = below(data.to_owned()).map(|entry| entry.path()).filter(|path| named(path, "nuncius-resource"));
    let kinds = claims.flat_map(below).map(|entry| entry.path()).filter(|path| named(path, "d-"));
    kinds.flat_map(below).map(|entry| entry.path()).collect()
}

fn total_bytes(data: &Path) -> u64 {
    files(data).iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_removed_are_written_again_by_the_next_request() {
    let node = Running::start(config(), None).await;
    let held = |state: &ResourceState| state.phase == ResourcePhase::Holding && state.actual_bytes == Some(3 * MIB + 1);
    node.post("disk", r#"{"amount": 3145729}"#).await;
    node.until("disk", held).await;
    for path in files(node.data.path()) {
        std::fs::remove_file(path).unwrap();
    }
    node.post("disk", r#"{"amount": 3145729}"#).await;
    node.until("disk", held).await;
    assert_eq!(total_bytes(node.data.path()), 3 * MIB + 1);
    // Nor is a directory that is gone a hindrance.
    for entry in std::fs::read_dir(node.data.path()).unwrap().flatten() {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
    node.post("disk", r#"{"amount": 3145729}"#).await;
    node.until("disk", |state| held(state) && total_bytes(node.data.path()) == 3 * MIB + 1).await;
    assert!(std::fs::read_dir(node.stop().await.path()).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_files_is_what_is_there() {
    let node = Running::start(config(), None).await;
    node.get("/api/disk/set?size=2097152").await;
    let told = node.until("disk", |state| state.phase == ResourcePhase::Holding).await.actual_bytes.unwrap();
    let written = files(node.data.path());
    assert_eq!(told, total_bytes(node.data.path()));
    std::fs::remove_file(&written[0]).unwrap();
    let there = total_bytes(node.data.path());
    assert!(there < told);
    assert!(node.get("/api/disk/getact").await.body.ends_with(&format!("Total size: {there} bytes.\n")));
    assert_eq!(node.state("disk").await.actual_bytes, Some(there));
    let metrics = node.get("/metrics").await.body;
    assert!(metrics.contains(&there.to_string()), "{metrics}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_the_disk_cannot_keep_does_not_starve_the_other() {
    let node = Running::start(config(), None).await;
    node.post("disk", r#"{"amount": "2MiB", "write_rate": "1000GiB", "read_rate": "10MiB", "sync": true}"#).await;
    node.until("disk", |state| state.read_bytes > Some(2 * MIB) && state.written_bytes > Some(4 * MIB)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_refused_requests_does_not_freeze_the_figures() {
    let node = Running::start(config(), None).await;
    node.post("cpu", r#"{"amount": "20%"}"#).await;
    let found = eventually(SOON, || async {
        assert_eq!(node.post("cpu", r#"{"amount": "9999999%"}"#).await.status, 409);
        node.state("cpu").await.measured_percent.filter(|percent| *percent > 0.0)
    });
    assert!(found.await.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_before_a_failure_goes_at_the_end_of_its_time() {
    let data = TempDir::new("ends").unwrap();
    let Some(mounted) = Mounted::of_4_mib(data.path()) else {
        println!("no mount is possible here");
        return;
    };
    let node = Running::start(ResourceConfig { data_directory: data.path().to_owned(), ..config() }, None).await;
    let profile = r#"{"profile": [{"for": "1s", "amount": "3MiB", "ramp": true}, {"for": "100ms", "amount": 0}], "for": "1500ms"}"#;
    assert_eq!(node.post("disk", profile).await.status, 202);
    node.until("disk", |state| state.actual_bytes > Some(0)).await;
    std::fs::write(data.path().join("other"), vec![1; 3 << 20]).ok();
    node.until_phase("disk", ResourcePhase::Failed).await;
    std::fs::remove_file(data.path().join("other")).unwrap();
    let state = node.until_phase("disk", ResourcePhase::Idle).await;
    assert_eq!(state.actual_bytes, Some(0));
    node.stop().await;
    drop(mounted);
}
