//! The addresses of Testero, with its texts.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn in_compat_mode_texts_and_statuses_are_those_of_testero() {
    let limits = (Some(64 * MIB), Some(64 * MIB));
    let config = ResourceConfig { compat: true, memory_limit_bytes: limits.0, disk_limit_bytes: limits.1, ..config() };
    let node = Running::start(config, None).await;
    let empty = node.get("/api/mem/getact").await;
    assert_eq!(empty.status, 200);
    assert_eq!(
        empty.body,
        "Last request ID: 0\nParts of size: 262144, Count: 0\nParts of size: 1048576, Count: 0\n\
         Parts of size: 4194304, Count: 0\nParts of size: 16777216, Count: 0\nParts of size: 67108864, Count: 0\n\
         Total size: 0 bytes.\n"
    );
    // Any method.
    let set = node.send("DELETE /api/mem/set?size=6000000", "", "").await;
    let id = set.body.split("id#: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(
        set.body,
        format!("Memory data request sent for 6000000 bytes, with id#: {id}, check /api/mem/getact\n")
    );
    node.until_phase("memory", ResourcePhase::Holding).await;
    let actual = node.get("/api/mem/getact").await.body;
    assert!(actual.starts_with(&format!("Last request ID: {id}\nParts of size: 262144, Count: 23\n")), "{actual}");
    assert!(actual.ends_with("Total size: 6029312 bytes.\n"), "{actual}");
    let defined = node.get("/api/mem/getdef").await.body;
    assert!(defined.starts_with("Boxes of size: 262144, count: 23, total size: 6029312\n"), "{defined}");
    assert!(defined.ends_with("Total size reserved: 6029312 bytes.\n"), "{defined}");
    let (over, missing, wrong, load, idle) = tokio::join!(
        timed(&node, "/api/disk/set?size=111000333555"),
        timed(&node, "/api/mem/set"),
        async {
            // In its turn after the one beside it.
            tokio::time::sleep(Duration::from_millis(300)).await;
            timed(&node, "/api/mem/set?size=abc").await
        },
        timed(&node, "/api/cpu/load?time=x"),
        timed(&node, "/api/cpu/stop?id=1"),
    );
    let limit = "Could not compute file distribution: Size requested is over the limit: requested 111000333555 bytes, limit: 67108864 bytes.\n";
    assert_eq!((over.0.status, over.0.body.as_str()), (200, limit));
    assert_eq!(missing.0.body, "File size (in bytes) not specified: set?size=<number of bytes>\n");
    assert_eq!(wrong.0.body, "Server busy, try again later\n");
    assert_eq!(load.0.body, "Invalid time specification: strconv.ParseUint: parsing \"x\": invalid syntax\n");
    assert_eq!(idle.0.body, "No load request being processed, nothing to do\n");
    assert!(over.1 >= 1.0 && missing.1 >= 1.0 && wrong.1 >= 1.0 && idle.1 >= 1.0 && load.1 < 0.9);
    node.get("/api/mem/set?size=0").await;
    node.until_phase("memory", ResourcePhase::Idle).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_compat_mode_unknown_paths_are_answered_as_by_gos_server() {
    let node = Running::start(ResourceConfig { compat: true, ..config() }, None).await;
    let unknown = node.get("/api/mem").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, "404 page not found\n"));
    let moved = node.get("//api/mem/set?size=5&x=1").await;
    let link = "<a href=\"/api/mem/set?size=5&amp;x=1\">Moved Permanently</a>.\n\n";
    assert_eq!((moved.status, moved.body.as_str()), (301, link));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_was_set_ends_the_load_of_testero_when_it_is_factored() {
    let config = ResourceConfig { compat: true, number_to_factor: "97".to_owned(), ..config() };
    let node = Running::start(config, None).await;
    // The second load is no shorter than the first.
    for _ in 0..2 {
        let load = node.get("/api/cpu/load?time=3600").await.body;
        assert!(load.starts_with("CPU load requested for 3600 seconds with id: "), "{load}");
        node.until_phase("cpu", ResourcePhase::Idle).await;
    }
    assert_eq!(node.get("/api/cpu/stop?id=1").await.body, "No load request being processed, nothing to do\n");
    node.stop().await;
}

async fn timed(node: &Running, path: &str) -> (Reply, f64) {
    let asked = Instant::now();
    let reply = node.get(path).await;
    (reply, asked.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_testero_runs_until_it_is_stopped_by_its_number() {
    let node = Running::start(ResourceConfig { compat: true, ..config() }, None).await;
    let load = node.get("/api/cpu/load?time=200").await.body;
    let id = load.trim_end().strip_prefix("CPU load requested for 200 seconds with id: ").unwrap().to_owned();
    node.until("cpu", |state| state.measured_percent.is_some_and(|percent| percent > 10.0)).await;
    let (again, actual, other) =
        tokio::join!(node.get("/api/cpu/load?time=1"), node.get("/api/cpu/getact"), node.get("/api/cpu/stop?id=17"));
    assert_eq!(again.body, "Server busy, try again later\n");
    assert_eq!(other.body, "Incorrect stop load request ID=17\n");
    let lines: Vec<&str> = actual.body.lines().collect();
    assert!(lines[0].starts_with("Load request sent at: 2") && lines[0].ends_with(" +0000 UTC"), "{lines:?}");
    assert_eq!(lines[1], "Load time requested: 200 seconds");
    assert!(lines[2].starts_with("Load request ends at: 2"), "{lines:?}");
    assert_eq!(lines[3], "Number to factor: 493440589722494743501");
    assert_eq!(node.get(&format!("/api/cpu/stop?id={id}")).await.body, "CPU load stopped\n");
    node.until_phase("cpu", ResourcePhase::Idle).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_compat_mode_the_addresses_of_testero_tell_the_truth_in_their_status_at_once() {
    let node = Running::start(ResourceConfig { memory_limit_bytes: Some(MIB), ..config() }, None).await;
    let began = Instant::now();
    for (path, status) in [
        ("/api/mem/set", 400),
        ("/api/mem/set?size=-1", 400),
        ("/api/mem/set?size=2000000", 409),
        ("/api/mem/set?size=1000", 200),
        ("/api/cpu/stop?id=1", 409),
        ("/api/cpu/load?time=", 400),
        ("/api/cpu/getact", 200),
        ("/api/disk/getdef", 200),
    ] {
        assert_eq!(node.get(path).await.status, status, "{path}");
    }
    assert_eq!(node.send("POST /api/mem/set?size=1", "", "").await.status, 405);
    assert!(began.elapsed() < Duration::from_secs(1));
    node.stop().await;
}
