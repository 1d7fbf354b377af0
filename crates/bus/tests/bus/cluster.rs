use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::clock::answer_pings;
use nuncius_bus::kv::BucketWanted;
use nuncius_bus::lease;
use nuncius_bus::moving::Moving;
use nuncius_bus::streams::{StreamWanted, ensure_streams};
use nuncius_bus::tail::Start;
use nuncius_bus::{Bus, BusError, ConnectOptions, connect};
use nuncius_testkit::{TestCluster, TestServer, eventually};

use super::support::{bytes, none, soon};

async fn client(url: String, replicas: usize) -> Bus {
    let options = ConnectOptions { urls: vec![url], name: "test".into(), replicas, ..ConnectOptions::default() };
    connect(options).await.unwrap()
}

/// Which server leads a stream.
async fn leader(cluster: &TestCluster, bus: &Bus, stream: &str) -> usize {
    let led = eventually(Duration::from_secs(20), async || {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let answer = bus.request(&subject, &none(), Bytes::new(), Duration::from_secs(2)).await.ok()?;
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
        cluster.index_of(info["cluster"]["leader"].as_str()?)
    });
    led.await.expect("a leader")
}

#[tokio::test]
async fn streams_are_kept_on_as_many_servers_as_asked_and_a_change_is_applied() {
    let cluster = TestCluster::start(3).await.unwrap();
    let bus = client(cluster.url(), 3).await;
    ensure_streams(&bus).await.unwrap();
    let names = bus.namespace().clone();
    let streams = [names.stream_metric(), format!("KV_{}", names.bucket_app()), format!("OBJ_{}", names.bucket_app())];
    for stream in &streams {
        assert_eq!(bus.stream_replicas(stream).await.unwrap(), 3, "{stream}");
    }
    // Who does not say how many leaves them as they are.
    let other = client(cluster.url(), 0).await;
    ensure_streams(&other).await.unwrap();
    assert_eq!(bus.stream_replicas(&streams[0]).await.unwrap(), 3);
    ensure_streams(&client(cluster.url(), 1).await).await.unwrap();
    for stream in &streams {
        assert_eq!(bus.stream_replicas(stream).await.unwrap(), 1, "{stream}");
    }
    let too_many = StreamWanted { name: "many".into(), subjects: vec!["many".into()], ..StreamWanted::default() };
    let error = client(cluster.url(), 5).await.ensure_stream(&too_many).await.unwrap_err();
    assert!(error.to_string().contains("--replicas"), "{error}");
}

#[tokio::test]
async fn replicas_of_a_server_that_is_alone_are_refused_with_what_to_do() {
    let server = TestServer::start().await.unwrap();
    let error = ensure_streams(&client(server.url(), 3).await).await.unwrap_err();
    assert!(matches!(error, BusError::JetStream { .. }) && error.to_string().contains("--replicas"), "{error}");
}

#[tokio::test]
async fn messages_are_as_small_as_the_smallest_server_of_the_cluster_wants_them() {
    let lines = |number| if number == 2 { "max_payload: 20000".to_owned() } else { String::new() };
    let cluster = TestCluster::start_each(3, lines).await.unwrap();
    // It is told of the others by the one that it is connected to.
    let bus = client(cluster.servers[0].url(), 3).await;
    let learnt = eventually(Duration::from_secs(20), async || (bus.max_payload_bytes() == 20_000).then_some(()));
    learnt.await.expect("the limit of a server that it is not connected to");
    // The others come to know each other one by one.
    let all = eventually(Duration::from_secs(20), async || {
        let greetings = bus.greetings().await;
        (greetings.len() == 3).then_some(greetings)
    });
    let greetings = all.await.expect("all three are known");
    let limits: Vec<usize> = greetings.values().map(|said| said.as_ref().unwrap().max_payload_bytes).collect();
    assert_eq!(limits.iter().min(), Some(&20_000), "{greetings:?}");
    assert!(greetings.values().all(|said| said.as_ref().unwrap().cluster.as_deref() == Some("c")), "{greetings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_kept_through_an_election_and_nobody_else_gets_it() {
    let mut cluster = TestCluster::start(3).await.unwrap();
    let bus = client(cluster.url(), 3).await;
    let other = client(cluster.url(), 3).await;
    let wanted =
        BucketWanted { name: "lease".into(), max_age: Some(Duration::from_secs(20)), ..BucketWanted::default() };
    bus.ensure_bucket(&wanted).await.unwrap();
    let held = lease::acquire(&bus, "lease", "run.x", "one").await.unwrap().unwrap();
    let before = bus.kv("lease").await.unwrap().get("run.x").await.unwrap().unwrap().revision;
    let victim = leader(&cluster, &bus, "KV_lease").await;
    cluster.servers[victim].kill();
    // Until it has been renewed under another leader somebody asks for it all the time.
    let renewed = eventually(Duration::from_secs(40), async || {
        assert!(held.is_valid(), "it is held");
        assert!(!matches!(lease::acquire(&other, "lease", "run.x", "two").await, Ok(Some(_))), "nobody else has it");
        let entry = other.kv("lease").await.ok()?.get("run.x").await.ok()??;
        (entry.revision > before).then_some(())
    });
    renewed.await.expect("renewed under the next leader");
    assert!(held.is_valid() && held.is_still_stored().await.unwrap());
    held.release().await.unwrap();
    let next = lease::acquire(&other, "lease", "run.x", "two").await.unwrap().expect("it is free");
    assert!(next.token() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_fails_when_leaders_die() {
    let mut cluster = TestCluster::start(3).await.unwrap();
    let bus = client(cluster.url(), 3).await;
    ensure_streams(&bus).await.unwrap();
    let names = bus.namespace().clone();
    let (stream, subject) = (names.stream_metric(), names.metric("e", "n"));
    let mut tail = bus.tail(&stream, &subject, Start::All).await.unwrap();
    let kv = bus.kv(&names.bucket_run()).await.unwrap();
    let objects = bus.objects(&names.bucket_artifact()).await.unwrap();
    let mut written = 0_u64;
    for round in 0..2 {
        let victim = match round {
            0 => leader(&cluster, &bus, &stream).await,
            _ => eventually(Duration::from_secs(20), async || cluster.meta_leader()).await.expect("a meta leader"),
        };
        cluster.servers[victim].kill();
        // At once, while nobody leads: each of these waits for a leader instead of failing.
        for _ in 0..20 {
            let id = format!("m{written}");
            bus.publish_acked(&subject, &none(), bytes(&written.to_string()), Some(&id), None).await.unwrap();
            written += 1;
        }
        let key = format!("k{round}");
        kv.put(&key, bytes("v")).await.unwrap();
        assert!(kv.get(&key).await.unwrap().is_some());
        let made = StreamWanted { name: key.clone(), subjects: vec![key.clone()], ..StreamWanted::default() };
        bus.ensure_stream(&made).await.unwrap();
        assert!(bus.last_sequence_of(&stream, &subject).await.unwrap().is_some());
        objects.put(&key, b"report").await.unwrap();
        cluster.servers[victim].restart().await.unwrap();
        // The next leader may be any: the one that was away must have caught up first.
        eventually(Duration::from_secs(30), async || {
            let asked = format!("$JS.API.STREAM.INFO.{stream}");
            let answer = bus.request(&asked, &none(), Bytes::new(), Duration::from_secs(2)).await.ok()?;
            let info: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
            let replicas = info["cluster"]["replicas"].as_array()?;
            (replicas.len() == 2 && replicas.iter().all(|one| one["current"] == true)).then_some(())
        })
        .await
        .expect("the server has caught up");
    }
    for wanted in 0..written {
        let stored = soon(tail.next()).await.unwrap();
        assert_eq!(stored.payload, bytes(&wanted.to_string()), "in order, each once");
    }
}

/// How often it was asked before somebody answered who listens only after the first question, if anybody did.
async fn asked_of_one_who_comes_late(bus: &Bus, other: &Bus) -> (usize, bool) {
    let moving = Moving::new(bus, Duration::from_secs(5), Duration::from_secs(5));
    let mut asked = 0;
    let mut responder = None;
    let answer = loop {
        asked += 1;
        let answer = bus.request("who.moves", &none(), Bytes::new(), moving.left()).await;
        if asked == 1 {
            responder = Some(answer_pings(other, "who.moves").await.unwrap());
        }
        match answer {
            Err(error) if moving.may_come(&error) => moving.pause().await,
            answer => break answer,
        }
    };
    drop(responder);
    (asked, answer.is_ok())
}

#[tokio::test]
async fn one_who_may_be_on_its_way_to_another_server_is_asked_again_and_elsewhere_nobody_is() {
    let cluster = TestCluster::start(3).await.unwrap();
    let (bus, other) = (client(cluster.servers[0].url(), 0).await, client(cluster.servers[1].url(), 0).await);
    let (asked, is_answered) = asked_of_one_who_comes_late(&bus, &other).await;
    assert!(asked > 1 && is_answered, "{asked}");
    let server = TestServer::start().await.unwrap();
    let bus = client(server.url(), 0).await;
    assert_eq!(asked_of_one_who_comes_late(&bus, &bus).await, (1, false));
}
