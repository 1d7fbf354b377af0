use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_bus::kv::BucketWanted;
use nuncius_bus::registry::{Listen, NodeEvent, NodeWatch, claim, join_listening, this_process, watch_nodes};
use nuncius_bus::{Bus, lease};
use nuncius_schemas::node::Role;
use nuncius_testkit::eventually;

use crate::support::{client, server_and_bus, soon};

const TTL: Duration = Duration::from_secs(1);

async fn bucket(bus: &Bus, name: &str, ttl: Duration) {
    let wanted = BucketWanted { name: name.to_owned(), max_age: Some(ttl), ..BucketWanted::default() };
    bus.ensure_bucket(&wanted).await.unwrap();
}

fn value(name: &str, epoch: u64) -> Bytes {
    Bytes::from(format!("{name}/{epoch}"))
}

#[tokio::test]
async fn a_lease_has_one_holder_is_renewed_and_handed_over() {
    let (_server, bus) = server_and_bus().await;
    bucket(&bus, "lease", TTL).await;
    let first = lease::acquire(&bus, "lease", "run.x", "one").await.unwrap().unwrap();
    assert!(lease::acquire(&bus, "lease", "run.x", "two").await.unwrap().is_none());
    // Beyond its TTL it holds only because it is renewed.
    assert!(tokio::time::timeout(TTL * 3 / 2, first.lost()).await.is_err());
    assert!(first.is_valid());
    assert_eq!(lease::holder(&bus, "lease", "run.x").await.unwrap().as_deref(), Some("one"));
    let token = first.token();
    first.release().await.unwrap();
    let second = lease::acquire(&bus, "lease", "run.x", "two").await.unwrap().unwrap();
    assert!(second.token() > token);
    // Dropped without a word, it runs out.
    drop(second);
    let third = nuncius_testkit::eventually(Duration::from_secs(10), || async {
        lease::acquire(&bus, "lease", "run.x", "three").await.unwrap()
    });
    assert!(third.await.is_some());
    // Taken away by force, it is lost at the next renewal.
    let robbed = lease::acquire(&bus, "lease", "run.y", "one").await.unwrap().unwrap();
    bus.kv("lease").await.unwrap().put("run.y", Bytes::from_static(b"{}")).await.unwrap();
    soon(robbed.lost()).await;
    assert!(!robbed.is_still_stored().await.unwrap());
}

#[tokio::test]
async fn a_lease_is_lost_when_the_server_is_away_longer_than_it_lasts() {
    let (server, bus) = server_and_bus().await;
    bucket(&bus, "lease", TTL).await;
    let lease = lease::acquire(&bus, "lease", "run.x", "one").await.unwrap().unwrap();
    let started = Instant::now();
    server.pause();
    soon(lease.lost()).await;
    assert!(!lease.is_valid());
    assert!(started.elapsed() <= TTL + Duration::from_millis(500), "{:?}", started.elapsed());
    server.resume();
    // Lost by the holder's own clock, it may stand in the bucket still; that nobody else has it can be seen, and once
    // it has run out it can be taken again.
    let again = nuncius_testkit::eventually(Duration::from_secs(10), || async {
        let taken = lease::acquire(&bus, "lease", "run.x", "one").await.unwrap();
        assert!(taken.is_some() || lease.is_still_stored().await.unwrap() || taken_since(&bus).await);
        taken
    });
    assert!(again.await.unwrap().is_still_stored().await.unwrap());
}

/// Whether the entry went between the two questions.
async fn taken_since(bus: &Bus) -> bool {
    lease::holder(bus, "lease", "run.x").await.unwrap().is_none()
}

async fn next_change(watch: &mut NodeWatch) -> NodeEvent {
    loop {
        match soon(watch.next()).await.unwrap() {
            NodeEvent::Updated { .. } => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn two_nodes_of_one_name_are_told_apart_and_seen_to_come_and_go() {
    let (_server, bus) = server_and_bus().await;
    bucket(&bus, &bus.namespace().bucket_node(), TTL).await;
    let mut watch = watch_nodes(&bus).await.unwrap();
    assert_eq!(next_change(&mut watch).await, NodeEvent::Current);
    let first = claim(&bus, "edge", value).await.unwrap();
    let second = claim(&bus, "edge", value).await.unwrap();
    assert_eq!((first.claim().name.as_str(), second.claim().name.as_str()), ("edge", "edge-2"));
    assert_ne!(first.claim().epoch, second.claim().epoch);
    for name in ["edge", "edge-2"] {
        let joined = next_change(&mut watch).await;
        assert!(matches!(&joined, NodeEvent::Joined { name: joined, .. } if joined == name), "{joined:?}");
    }
    // A changed value is told at once.
    first.set_value(|name, epoch| Bytes::from(format!("{name}/{epoch}/busy"))).await;
    loop {
        if let NodeEvent::Updated { name, value, .. } = soon(watch.next()).await.unwrap()
            && value.ends_with(b"/busy")
        {
            assert_eq!(name, "edge");
            break;
        }
    }
    second.release().await;
    assert_eq!(next_change(&mut watch).await, NodeEvent::Left { name: "edge-2".into(), expired: false });
    drop(first);
    assert_eq!(next_change(&mut watch).await, NodeEvent::Left { name: "edge".into(), expired: true });
    assert!(watch.nodes().is_empty());
    assert!(claim(&bus, "a.b", value).await.is_err());
}

#[tokio::test]
async fn nodes_that_live_are_not_believed_gone_after_an_outage() {
    let (mut server, bus) = server_and_bus().await;
    bucket(&bus, &bus.namespace().bucket_node(), TTL).await;
    let node = claim(&client(&server).await, "edge", value).await.unwrap();
    let mut watch = watch_nodes(&bus).await.unwrap();
    assert!(matches!(next_change(&mut watch).await, NodeEvent::Joined { .. }));
    assert_eq!(next_change(&mut watch).await, NodeEvent::Current);
    server.kill();
    // Longer than the TTL: the server will come back with everything expired.
    tokio::time::sleep(TTL + Duration::from_millis(300)).await;
    server.restart().await.unwrap();
    soon(bus.connected()).await;
    let until = Instant::now() + TTL * 2;
    while let Ok(event) = tokio::time::timeout_at(until.into(), watch.next()).await {
        let event = event.unwrap();
        assert!(!matches!(event, NodeEvent::Left { .. }), "{event:?}");
    }
    assert_eq!(node.claim().name, "edge");
    assert_eq!(watch.nodes().len(), 1);
}

#[tokio::test]
async fn a_node_whose_name_was_taken_meanwhile_gets_another_and_is_told() {
    let (_server, bus) = server_and_bus().await;
    let bucket_name = bus.namespace().bucket_node();
    bucket(&bus, &bucket_name, TTL).await;
    let node = claim(&bus, "edge", value).await.unwrap();
    let epoch = node.claim().epoch;
    bus.kv(&bucket_name).await.unwrap().put("edge", Bytes::from_static(b"somebody else")).await.unwrap();
    let mut changes = node.changes();
    let now = soon(changes.wait_for(|claim| claim.name != "edge")).await.unwrap().clone();
    assert_eq!((now.name.as_str(), now.epoch), ("edge-2", epoch));
}

#[tokio::test]
async fn a_node_listens_under_a_name_before_anybody_can_read_it_at_first_and_when_it_is_renamed() {
    let (_server, bus) = server_and_bus().await;
    let bucket_name = bus.namespace().bucket_node();
    bucket(&bus, &bucket_name, TTL).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listen: Listen = {
        let (bus, heard, bucket_name) = (bus.clone(), Arc::clone(&heard), bucket_name.clone());
        Arc::new(move |name| {
            let (bus, heard, bucket_name) = (bus.clone(), Arc::clone(&heard), bucket_name.clone());
            Box::pin(async move {
                let is_known = bus.kv(&bucket_name).await?.get(&name).await?.is_some();
                heard.lock().unwrap().push((name, is_known));
                Ok(())
            })
        })
    };
    let info = this_process("edge", Role::Client, "somewhere");
    let node = join_listening(&bus, info.clone(), Arc::clone(&listen)).await.unwrap();
    bus.kv(&bucket_name).await.unwrap().put("edge", Bytes::from_static(b"somebody else")).await.unwrap();
    soon(node.changes().wait_for(|claim| claim.name == "edge-2")).await.unwrap();
    // Nor does anybody listen to what is somebody else's.
    let other = join_listening(&bus, info, listen).await.unwrap();
    assert_eq!(other.claim().name, "edge-3");
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard, ["edge", "edge-2", "edge-3"].map(|name| (name.to_owned(), false)));
}

#[tokio::test]
async fn a_node_knows_what_it_wrote_itself_however_often_it_has_written_since() {
    let (_server, bus) = server_and_bus().await;
    let bucket_name = bus.namespace().bucket_node();
    bucket(&bus, &bucket_name, TTL).await;
    let node = claim(&bus, "edge", value).await.unwrap();
    let kv = bus.kv(&bucket_name).await.unwrap();
    let first = kv.get("edge").await.unwrap().unwrap();
    node.set_value(|name, epoch| Bytes::from(format!("{name}/{epoch}/busy"))).await;
    let written = |count: u64| {
        let (kv, first) = (kv.clone(), first.revision);
        eventually(Duration::from_secs(10), move || {
            let kv = kv.clone();
            async move { kv.get("edge").await.unwrap().filter(|entry| entry.revision >= first + count) }
        })
    };
    assert!(written(6).await.is_some());
    // As a server has it that came back without what it was told last.
    kv.put("edge", first.value.clone()).await.unwrap();
    assert!(written(9).await.is_some_and(|entry| entry.value.ends_with(b"/busy")));
    assert_eq!(node.claim().name, "edge");
}
