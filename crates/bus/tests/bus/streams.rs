use std::time::Duration;

use nuncius_bus::streams::{Discard, Retention, StreamWanted, ensure_streams};
use nuncius_bus::tail::Start;
use nuncius_bus::{Bus, BusError};

use crate::support::{bytes, client, none, server_and_bus, soon};

fn wanted(name: &str) -> StreamWanted {
    StreamWanted { name: name.into(), subjects: vec![format!("{name}.>")], ..StreamWanted::default() }
}

async fn publish(bus: &Bus, subject: &str, text: &str) -> u64 {
    bus.publish_acked(subject, &none(), bytes(text), None, None).await.unwrap().sequence
}

#[tokio::test]
async fn streams_are_made_changed_and_compared() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    ensure_streams(&bus).await.unwrap();
    let names = bus.namespace().clone();
    assert_eq!(bus.stream_state(&names.stream_submit()).await.unwrap().max_messages, Some(10_000));
    // Updatable fields are updated.
    let mut small = wanted("s");
    small.max_messages = Some(2);
    bus.ensure_stream(&small).await.unwrap();
    small.max_messages = Some(3);
    bus.ensure_stream(&small).await.unwrap();
    assert_eq!(bus.stream_state("s").await.unwrap().max_messages, Some(3));
    // Others are named.
    let other = StreamWanted { storage: nuncius_bus::streams::Storage::Memory, ..small.clone() };
    let Err(BusError::ConfigMismatch { differences, .. }) = bus.ensure_stream(&other).await else { panic!() };
    assert_eq!(differences.len(), 1);
    assert_eq!((differences[0].field, differences[0].asked.as_str()), ("storage", "Memory"));
    // What the server silently changes is found out: it has no marker TTL without message TTLs.
    let refused = StreamWanted { delete_marker_ttl: Some(Duration::from_millis(1)), ..wanted("t") };
    assert!(bus.ensure_stream(&refused).await.is_err());
    assert!(bus.delete_stream("s").await.unwrap());
    assert!(!bus.delete_stream("s").await.unwrap());
}

/// Changes a stream to one limit, over and over.
async fn change_often(bus: Bus, most: u64) {
    for _ in 0..200 {
        bus.ensure_stream(&StreamWanted { max_messages: Some(most), ..wanted("s") }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_a_stream_while_others_do_fails_for_none_of_it() {
    let (server, bus) = server_and_bus().await;
    let other = client(&server).await;
    let changing = [tokio::spawn(change_often(bus, 1_000)), tokio::spawn(change_often(other, 1_002))];
    for one in changing {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_stream_refuses_and_an_unknown_subject_has_no_stream() {
    let (_server, bus) = server_and_bus().await;
    bus.ensure_stream(&StreamWanted { max_messages: Some(1), retention: Retention::WorkQueue, ..wanted("q") })
        .await
        .unwrap();
    publish(&bus, "q.a", "1").await;
    let full = bus.publish_acked("q.a", &none(), bytes("2"), Some("id"), None).await.unwrap_err();
    let expected = BusError::Refused { subject: "q.a".into(), code: 10077, text: "maximum messages exceeded".into() };
    assert_eq!(full, expected);
    let nowhere = bus.publish_acked("r.a", &none(), bytes("2"), None, None).await.unwrap_err();
    assert_eq!(nowhere, BusError::NoStream { subject: "r.a".into() });
}

#[tokio::test]
async fn ids_and_expected_sequences_keep_writes_single() {
    let (_server, bus) = server_and_bus().await;
    bus.ensure_stream(&wanted("r")).await.unwrap();
    let first = bus.publish_acked("r.a", &none(), bytes("1"), Some("id"), Some(0)).await.unwrap();
    assert!(!first.duplicate);
    let again = bus.publish_acked("r.a", &none(), bytes("1"), Some("id"), None).await.unwrap();
    assert_eq!((again.duplicate, again.sequence), (true, first.sequence));
    let second = bus.publish_acked("r.a", &none(), bytes("2"), Some("other"), Some(0)).await.unwrap_err();
    assert!(matches!(&second, BusError::WrongLastSequence { stream, .. } if stream == "r"), "{second}");
    let last = bus.last_message("r", "r.a").await.unwrap().unwrap();
    assert_eq!((last.sequence, last.headers.get("Nats-Msg-Id")), (first.sequence, Some("id")));
    assert!(last.published_unix_ns > 1_700_000_000_000_000_000);
    assert_eq!(bus.last_message("r", "r.b").await.unwrap(), None);
    let middle = bus.publish_acked("r.a", &none(), bytes("3"), None, None).await.unwrap();
    bus.publish_acked("r.a", &none(), bytes("4"), None, None).await.unwrap();
    for sequence in [middle.sequence, first.sequence] {
        assert!(bus.delete_message("r", sequence).await.unwrap());
        assert!(!bus.delete_message("r", sequence).await.unwrap());
    }
    assert!(!bus.delete_message("r", 1_000).await.unwrap());
}

#[tokio::test]
async fn a_retry_that_finds_its_own_first_attempt_is_a_success() {
    let (server, bus) = server_and_bus().await;
    bus.ensure_stream(&wanted("r")).await.unwrap();
    // The server hears both attempts, but only after the first was given up.
    server.pause();
    let headers = none();
    let publishing = bus.publish_acked("r.a", &headers, bytes("1"), Some("id"), Some(0));
    let resuming = async {
        tokio::time::sleep(Duration::from_millis(5300)).await;
        server.resume();
    };
    let (published, ()) = tokio::join!(publishing, resuming);
    let published = published.unwrap();
    assert_eq!((published.sequence, published.duplicate), (1, true));
    assert_eq!(bus.stream_state("r").await.unwrap().messages, 1);
}

#[tokio::test]
async fn a_tail_survives_a_killed_server_without_gap_or_repeat() {
    let (mut server, bus) = server_and_bus().await;
    bus.ensure_stream(&wanted("t")).await.unwrap();
    for number in 0..300 {
        publish(&bus, if number % 3 == 0 { "t.other" } else { "t.mine" }, &number.to_string()).await;
    }
    let mut tail = bus.tail("t", "t.mine", Start::All).await.unwrap();
    assert_eq!(tail.pending(), 200);
    let mut got = Vec::new();
    for _ in 0..70 {
        got.push(soon(tail.next()).await.unwrap());
    }
    server.kill();
    let waiting = tokio::spawn(async move {
        while got.len() < 210 {
            got.push(tail.next().await.unwrap());
        }
        (got, tail)
    });
    server.restart().await.unwrap();
    let late = client(&server).await;
    for number in 300..315 {
        publish(&late, if number % 3 == 0 { "t.other" } else { "t.mine" }, &number.to_string()).await;
    }
    let (got, tail) = soon(waiting).await.unwrap();
    let numbers: Vec<u64> = got.iter().map(|m| std::str::from_utf8(&m.payload).unwrap().parse().unwrap()).collect();
    let expected: Vec<u64> = (0..315).filter(|number| number % 3 != 0).collect();
    assert_eq!(numbers, expected);
    assert_eq!((tail.pending(), tail.next_sequence()), (0, got.last().unwrap().sequence + 1));
}

#[tokio::test]
async fn a_tail_starts_where_it_is_told_and_says_when_the_stream_is_another() {
    let (_server, bus) = server_and_bus().await;
    assert!(matches!(bus.tail("t", ">", Start::All).await, Err(BusError::NotFound { .. })));
    bus.ensure_stream(&StreamWanted { discard: Discard::Old, ..wanted("t") }).await.unwrap();
    for number in 0..5 {
        publish(&bus, "t.a", &number.to_string()).await;
    }
    let mut from = bus.tail("t", "t.>", Start::FromSequence(4)).await.unwrap();
    assert_eq!(soon(from.next()).await.unwrap().sequence, 4);
    let mut new = bus.tail("t", "t.>", Start::New).await.unwrap();
    assert_eq!(new.pending(), 0);
    publish(&bus, "t.a", "new").await;
    assert_eq!(soon(new.next()).await.unwrap().payload, "new");
    assert_eq!(bus.purge_subject("t", "t.a").await.unwrap(), 6);
    // Deleting the stream takes the consumer with it; the tail finds another stream of that name.
    bus.delete_stream("t").await.unwrap();
    bus.ensure_stream(&wanted("t")).await.unwrap();
    publish(&bus, "t.b", "again").await;
    let reset = soon(new.next()).await;
    assert!(matches!(reset, Err(BusError::StreamReset { last_sequence: 1, read_sequence: 6, .. })), "{reset:?}");
    assert_eq!(soon(new.next()).await.unwrap().payload, "again");
}

#[tokio::test]
async fn objects_are_stored_read_and_deleted() {
    let (_server, bus) = server_and_bus().await;
    assert!(matches!(bus.objects("a").await, Err(BusError::NotFound { .. })));
    bus.ensure_object_store("a", 1 << 20).await.unwrap();
    let objects = bus.objects("a").await.unwrap();
    let large: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    objects.put("x-report.json", &large).await.unwrap();
    assert_eq!(objects.get("x-report.json").await.unwrap(), Some(large));
    assert!(objects.delete("x-report.json").await.unwrap());
    assert_eq!(objects.get("x-report.json").await.unwrap(), None);
    assert!(!objects.delete("y").await.unwrap());
}
