//! Live streams: without a gap or a repeat, whatever happens to readers, gateways and the server.

use std::time::{Duration, Instant};

use nuncius_schemas::run::RunStatus;

use crate::http::{Events, PATIENCE, ask, get};
use crate::scene::{Scene, blocking};

/// The seconds that a stream tells, up to its end or to as many as are wanted.
fn seconds(events: &mut Events, wanted: usize) -> (Vec<u64>, Option<String>) {
    let (mut seen, mut last) = (Vec::new(), None);
    while seen.len() < wanted {
        let Some(event) = events.next() else { break };
        if event.name == "second" {
            seen.push(event.data["second"].as_u64().unwrap());
        }
        last = event.id.or(last);
        if event.name == "end" {
            break;
        }
    }
    (seen, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_names_first_then_each_second_and_event_once_and_the_end() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    scene.record("e1", RunStatus::Running).await;
    scene.event("e1", RunStatus::Running).await;
    scene.second("e1", 0).await;
    // Another run's are none of it.
    scene.record("e2", RunStatus::Running).await;
    scene.second("e2", 77).await;
    let address = gateway.address;
    let mut events = blocking(move || {
        let mut events = Events::open(address, "/api/v1/experiments/e1/live", "");
        for header in ["content-type: text/event-stream", "cache-control: no-cache", "x-accel-buffering: no"] {
            assert!(events.head.to_ascii_lowercase().contains(header), "{}", events.head);
        }
        let definitions = events.next().unwrap();
        assert_eq!(definitions.name, "definitions");
        assert_eq!(definitions.data["steps"][0]["name"], "get");
        assert_eq!(definitions.data["experiment"]["name"], "shop e1");
        let event = events.next().unwrap();
        assert_eq!((event.name.as_str(), event.data["status"].as_str()), ("event", Some("running")));
        let second = events.next().unwrap();
        assert_eq!(second.name, "second");
        assert_eq!(second.data["steps"]["row"][0], 0);
        assert_eq!(second.data["steps"]["succeeded"][0], 5);
        assert_eq!(second.data["steps"]["response_p99_ns"][0], 3_000);
        assert_eq!(second.id.as_deref(), Some("1.1"));
        events
    })
    .await;
    for number in 1..4 {
        scene.second("e1", number).await;
    }
    scene.event("e1", RunStatus::Finished).await;
    let (seen, end) = blocking(move || {
        let mut seen = Vec::new();
        loop {
            let event = events.next().unwrap();
            match event.name.as_str() {
                "second" => seen.push(event.data["second"].as_u64().unwrap()),
                "end" => {
                    assert!(events.next().is_none(), "nothing comes after the end");
                    return (seen, event);
                }
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!((end.data["status"].as_str(), end.data["verdict"].as_str()), (Some("finished"), Some("pass")));
    // A browser that comes again by itself is told not to.
    scene.record("e1", RunStatus::Finished).await;
    let last = end.id.unwrap();
    blocking(move || {
        let again = format!("last-event-id: {last}\r\n");
        let deadline = Instant::now() + PATIENCE;
        while ask(address, "GET", "/api/v1/experiments/e1/live", &again, b"").status != 204 {
            assert!(Instant::now() < deadline);
        }
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_goes_on_without_a_gap_at_another_gateway_and_after_the_server_was_restarted() {
    let mut scene = Scene::start().await;
    let first = scene.gateway(|_| {}).await;
    scene.record("e1", RunStatus::Running).await;
    for number in 0..5 {
        scene.second("e1", number).await;
    }
    let address = first.address;
    let path = "/api/v1/experiments/e1/live";
    let (seen, last) = blocking(move || seconds(&mut Events::open(address, path, ""), 5)).await;
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    first.stop().await;
    for number in 5..8 {
        scene.second("e1", number).await;
    }
    let second = scene.gateway(|config| config.api.live_frames_max = 4).await;
    let address = second.address;
    let again = format!("last-event-id: {}\r\n", last.unwrap());
    let mut events = blocking(move || Events::open(address, path, &again)).await;
    scene.server.restart().await.unwrap();
    for number in 8..12 {
        scene.second("e1", number).await;
    }
    let (seen, _) = blocking(move || seconds(&mut events, 7)).await;
    assert_eq!(seen, [5, 6, 7, 8, 9, 10, 11]);
    // Whoever comes in the middle, while a follower has some of it already.
    let (seen, _) = blocking(move || {
        let _other = Events::open(address, path, "");
        seconds(&mut Events::open(address, "/api/v1/experiments/e1/live?after=3.0", ""), 9)
    })
    .await;
    assert_eq!(seen, [3, 4, 5, 6, 7, 8, 9, 10, 11]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_readers_are_told_every_second_and_one_more_is_told_the_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.live_clients_max = 500).await;
    scene.record("e1", RunStatus::Running).await;
    let address = gateway.address;
    let path = "/api/v1/experiments/e1/live";
    let mut readers: Vec<Events> = blocking(move || (0..500).map(|_| Events::open(address, path, "")).collect()).await;
    let refused = blocking(move || get(address, path)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "too-many-readers"));
    assert!(refused.body.contains("500") && refused.body.contains("--live-clients"), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    for number in 0..3 {
        scene.second("e1", number).await;
    }
    readers = blocking(move || {
        for reader in &mut readers {
            assert_eq!(seconds(reader, 3).0, [0, 1, 2]);
        }
        readers
    })
    .await;
    // They are gone, and their seats are free again.
    drop(readers);
    blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        while !Events::open(address, path, "").head.starts_with("HTTP/1.0 200") {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_is_cut_off_and_its_seat_is_free_again() {
    let scene = Scene::start().await;
    let gateway = scene
        .gateway(|config| {
            config.api.live_clients_max = 1;
            config.limits.write_timeout = Some(Duration::from_millis(500));
        })
        .await;
    scene.record("e1", RunStatus::Running).await;
    let address = gateway.address;
    let path = "/api/v1/experiments/e1/live";
    let silent = blocking(move || {
        let events = Events::open(address, path, "");
        assert_eq!(get(address, path).status, 503, "there is one seat");
        events
    })
    .await;
    // More than all that lies between.
    for _ in 0..150 {
        scene.long_event("e1", 100_000).await;
    }
    let again = blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut events = Events::open(address, &format!("{path}?after=now"), "");
            if events.head.starts_with("HTTP/1.0 200") {
                return events.next().map(|event| event.name);
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .await;
    assert_eq!(again.as_deref(), Some("definitions"));
    drop(silent);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_has_lost_begins_anew_and_what_is_removed_ends() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    scene.record("e1", RunStatus::Running).await;
    scene.second("e1", 0).await;
    let address = gateway.address;
    let path = "/api/v1/experiments/e1/live";
    let mut events = blocking(move || {
        // It has seen what no stream has.
        let mut events = Events::open(address, path, "last-event-id: 900.900\r\n");
        assert_eq!(events.next().unwrap().name, "reset");
        assert_eq!(events.next().unwrap().name, "definitions");
        assert_eq!(events.next_of("second").data["second"], 0);
        events
    })
    .await;
    let runs = scene.bus.kv(&scene.bus.namespace().bucket_run()).await.unwrap();
    runs.delete("e1").await.unwrap();
    let end = blocking(move || events.next_of("end")).await;
    assert_eq!(end.data["reason"], "it was removed");
    assert_eq!(blocking(move || get(address, path)).await.status, 404);
    let wrong = blocking(move || ask(address, "GET", path, "last-event-id: nonsense\r\n", b"")).await;
    assert!(wrong.status == 404 || wrong.problem() == "invalid-parameter");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_is_told_as_it_is_and_then_each_change() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    scene.record("e1", RunStatus::Running).await;
    let address = gateway.address;
    let mut events = blocking(move || {
        let mut events = Events::open(address, "/api/v1/live", "");
        let now = events.next().unwrap();
        assert_eq!(now.name, "now");
        if now.data["runs"].as_array().unwrap().is_empty() {
            assert_eq!(events.next_of("run").data["id"], "e1");
        } else {
            assert_eq!(now.data["runs"][0]["id"], "e1");
        }
        events
    })
    .await;
    scene.record("e1", RunStatus::Finished).await;
    let runs = scene.bus.kv(&scene.bus.namespace().bucket_run()).await.unwrap();
    let change = blocking(move || {
        let change = events.next_of("run");
        (change, events)
    })
    .await;
    assert_eq!(change.0.data["status"], "finished");
    runs.delete("e1").await.unwrap();
    let mut events = change.1;
    assert_eq!(blocking(move || events.next_of("run_gone")).await.data["id"], "e1");
    gateway.stop().await;
}
