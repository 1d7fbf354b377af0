use std::time::Duration;

use nuncius_bus::kv::{BucketWanted, Entry, Kv, KvEvent, Operation};
use nuncius_bus::{Bus, BusError};

use crate::support::{bytes, client, server_and_bus, soon};

async fn bucket(bus: &Bus, max_age: Option<Duration>) -> Kv {
    bus.ensure_bucket(&BucketWanted { name: "b".into(), max_age, ..BucketWanted::default() }).await.unwrap()
}

fn entry(event: KvEvent) -> (String, String, Operation) {
    match event {
        KvEvent::Entry(Entry { key, value, operation, .. }) => {
            (key, String::from_utf8(value.to_vec()).unwrap(), operation)
        }
        KvEvent::Current => ("current".into(), String::new(), Operation::Put),
    }
}

fn put(key: &str, value: &str) -> (String, String, Operation) {
    (key.into(), value.into(), Operation::Put)
}

#[tokio::test]
async fn writes_are_compared_with_what_is_there() {
    let (_server, bus) = server_and_bus().await;
    assert!(matches!(bus.kv("b").await, Err(BusError::NotFound { kind: "bucket", .. })));
    let kv = bucket(&bus, None).await;
    assert_eq!(kv.get("run.x").await.unwrap(), None);
    let first = kv.create("run.x", bytes("1")).await.unwrap().unwrap();
    assert_eq!(kv.create("run.x", bytes("2")).await.unwrap(), None);
    let second = kv.update("run.x", bytes("2"), first).await.unwrap();
    assert!(matches!(kv.update("run.x", bytes("3"), first).await, Err(BusError::WrongLastSequence { .. })));
    assert_eq!(kv.get("run.x").await.unwrap().unwrap().revision, second);
    kv.put("run.y", bytes("y")).await.unwrap();
    assert_eq!(kv.keys().await.unwrap(), ["run.x", "run.y"]);
    kv.delete("run.x").await.unwrap();
    assert_eq!((kv.get("run.x").await.unwrap(), kv.keys().await.unwrap()), (None, vec!["run.y".to_owned()]));
    assert!(kv.create("run.x", bytes("again")).await.unwrap().is_some());
    for bad in ["", ".a", "a.", "a b", "a.*", "a..b"] {
        assert!(matches!(kv.put(bad, bytes("")).await, Err(BusError::InvalidKey { .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_changes_and_expiry() {
    let (_server, bus) = server_and_bus().await;
    let kv = bucket(&bus, Some(Duration::from_secs(1))).await;
    let mut watch = kv.watch(">").await.unwrap();
    assert_eq!(soon(watch.next()).await.unwrap(), KvEvent::Current);
    kv.put("a", bytes("1")).await.unwrap();
    assert_eq!(entry(soon(watch.next()).await.unwrap()), put("a", "1"));
    let mut late = kv.watch("a").await.unwrap();
    assert_eq!(entry(soon(late.next()).await.unwrap()), put("a", "1"));
    assert_eq!(soon(late.next()).await.unwrap(), KvEvent::Current);
    for watch in [&mut watch, &mut late] {
        assert_eq!(entry(soon(watch.next()).await.unwrap()), ("a".into(), String::new(), Operation::Expired));
    }
    assert_eq!(kv.get("a").await.unwrap(), None);
    assert!(kv.create("a", bytes("2")).await.unwrap().is_some());
    assert_eq!(entry(soon(watch.next()).await.unwrap()), put("a", "2"));
    kv.delete("a").await.unwrap();
    assert_eq!(entry(soon(watch.next()).await.unwrap()), ("a".into(), String::new(), Operation::Delete));
}

#[tokio::test]
async fn a_watch_survives_an_outage_and_tells_only_what_changed() {
    let (mut server, bus) = server_and_bus().await;
    let kv = bucket(&bus, None).await;
    for key in ["kept", "changed", "gone"] {
        kv.put(key, bytes("1")).await.unwrap();
    }
    let mut watch = kv.watch(">").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(entry(soon(watch.next()).await.unwrap()));
    }
    assert_eq!(seen, [put("kept", "1"), put("changed", "1"), put("gone", "1"), put("current", "")]);
    server.kill();
    let waiting = tokio::spawn(async move {
        let mut events = Vec::new();
        while events.last() != Some(&put("new", "1")) {
            events.push(entry(watch.next().await.unwrap()));
        }
        events
    });
    server.restart().await.unwrap();
    let other = client(&server).await.kv("b").await.unwrap();
    other.put("changed", bytes("2")).await.unwrap();
    other.delete("gone").await.unwrap();
    other.put("new", bytes("1")).await.unwrap();
    let mut events = soon(waiting).await.unwrap();
    events.retain(|event| *event != put("current", ""));
    assert_eq!(events.iter().filter(|event| event.0 == "kept").count(), 0, "{events:?}");
    assert_eq!(events[0], put("changed", "2"));
    assert!(matches!(&events[1], (key, _, Operation::Delete) if key == "gone"), "{events:?}");
}
