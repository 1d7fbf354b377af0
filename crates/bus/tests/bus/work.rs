use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_bus::consumer::ConsumerWanted;
use nuncius_bus::streams::{Retention, StreamWanted};

use crate::support::{bytes, none, server_and_bus, soon};

const ACK_WAIT: Duration = Duration::from_secs(30);

async fn queue(bus: &Bus, jobs: u32) {
    let wanted = StreamWanted {
        name: "q".into(),
        subjects: vec!["q.>".into()],
        retention: Retention::WorkQueue,
        ..StreamWanted::default()
    };
    bus.ensure_stream(&wanted).await.unwrap();
    for job in 0..jobs {
        bus.publish_acked("q.a", &none(), bytes(&job.to_string()), None, None).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_prefetched_and_a_nak_comes_back_counted() {
    let (_server, bus) = server_and_bus().await;
    queue(&bus, 5).await;
    let mut one = bus.work_queue("q", "w", "q.>", ACK_WAIT).await.unwrap();
    let first = soon(one.next()).await.unwrap();
    assert_eq!((first.delivered(), first.stream_sequence(), &first.payload[..]), (1, 1, &b"0"[..]));
    // Only what was asked for is in work; the rest waits for anybody.
    assert_eq!(bus.consumer_backlog("q", "w").await.unwrap(), (4, 1));
    let mut two = bus.work_queue("q", "w", "q.>", ACK_WAIT).await.unwrap();
    for expected in ["1", "2", "3", "4"] {
        let item = soon(two.next()).await.unwrap();
        assert_eq!(item.payload, expected);
        item.progress().await.unwrap();
        item.ack_confirmed().await.unwrap();
    }
    first.nak(Duration::from_millis(50)).await.unwrap();
    let again = soon(two.next()).await.unwrap();
    assert_eq!((again.delivered(), again.stream_sequence()), (2, 1));
    again.term().await.unwrap();
    bus.flush().await.unwrap();
    let empty = nuncius_testkit::eventually(Duration::from_secs(5), || async {
        (bus.stream_state("q").await.unwrap().messages == 0).then_some(())
    });
    assert_eq!(empty.await, Some(()));
}

#[tokio::test]
async fn as_many_come_as_there_are_hands() {
    let (_server, bus) = server_and_bus().await;
    queue(&bus, 10).await;
    let mut work = bus.work_queue("q", "w", "q.>", ACK_WAIT).await.unwrap();
    let mut held = Vec::new();
    for free in [3, 2, 1] {
        held.push(soon(work.next_of(free)).await.unwrap());
    }
    assert_eq!(bus.consumer_backlog("q", "w").await.unwrap(), (7, 3));
    for item in &held {
        item.ack_confirmed().await.unwrap();
    }
    // Asked for and not taken: handed back at once, not after the ack wait.
    held.push(soon(work.next_of(4)).await.unwrap());
    let taken = nuncius_testkit::eventually(Duration::from_secs(5), || async {
        (bus.consumer_backlog("q", "w").await.unwrap() == (3, 4)).then_some(())
    });
    assert_eq!(taken.await, Some(()));
    assert_eq!(soon(work.close()).await, 3);
    let mut other = bus.work_queue("q", "w", "q.>", ACK_WAIT).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 6 {
        let item = soon(other.next()).await.unwrap();
        seen.insert(item.stream_sequence());
        item.ack().await.unwrap();
    }
    assert_eq!(seen, (5..=10).collect());
}

#[tokio::test]
async fn work_goes_on_after_the_consumer_or_the_server_was_lost() {
    let (mut server, bus) = server_and_bus().await;
    queue(&bus, 1).await;
    let mut work = bus.work_queue("q", "w", "q.>", ACK_WAIT).await.unwrap();
    soon(work.next()).await.unwrap().ack_confirmed().await.unwrap();
    let waiting = tokio::spawn(async move {
        let item = work.next().await.unwrap();
        item.ack_confirmed().await.unwrap();
        (work, item)
    });
    // A consumer that is taken away is made again.
    let asking = nuncius_testkit::eventually(Duration::from_secs(5), || async {
        let answer = bus.request("$JS.API.CONSUMER.INFO.q.w", &none(), bytes(""), Duration::from_secs(1)).await;
        let info: serde_json::Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        (info["num_waiting"] == 1).then_some(())
    });
    assert_eq!(asking.await, Some(()));
    bus.request("$JS.API.CONSUMER.DELETE.q.w", &none(), bytes(""), Duration::from_secs(2)).await.unwrap();
    bus.publish_acked("q.a", &none(), bytes("after"), None, None).await.unwrap();
    let (mut work, item) = soon(waiting).await.unwrap();
    assert_eq!(item.payload, "after");
    // And the queue outlives its server.
    let waiting = tokio::spawn(async move { work.next().await.unwrap() });
    server.kill();
    server.restart().await.unwrap();
    soon(bus.connected()).await;
    bus.publish_acked("q.a", &none(), bytes("restarted"), Some("restarted"), None).await.unwrap();
    assert_eq!(soon(waiting).await.unwrap().payload, "restarted");
}

#[tokio::test]
async fn a_consumer_is_changed_to_what_is_wanted() {
    let (_server, bus) = server_and_bus().await;
    queue(&bus, 0).await;
    let mut wanted = ConsumerWanted::new("q", "w", "q.>", ACK_WAIT);
    bus.ensure_consumer(&wanted).await.unwrap();
    wanted.ack_wait = Duration::from_secs(5);
    wanted.max_ack_pending = 7;
    bus.ensure_consumer(&wanted).await.unwrap();
    wanted.stream = "nowhere".into();
    assert!(matches!(bus.ensure_consumer(&wanted).await, Err(nuncius_bus::BusError::NotFound { .. })));
}
