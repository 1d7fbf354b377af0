//! Messages through kills: of the bridge, of RabbitMQ and of nats-server, at random times from a printed seed. What the
//! broker had confirmed to its publisher is compared with the books of the job queue and with the answers, id by id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nuncius_schemas::job::JobResult;
use nuncius_schemas::queue::QueueSettings;
use nuncius_testkit::amqp::{AmqpClient, BasicProperties};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::bridge_harness::{Bridged, asking};
use crate::harness::{PATIENCE, beside_others, until};
use crate::queue_harness::ended;

/// Messages at least; more are published until everything has been killed.
const MESSAGES: usize = 4_000;
/// Unconfirmed at a time.
const WINDOW: usize = 64;
/// How often each of them is killed.
const KILLS: usize = 2;

/// Connects to a broker that may be away.
async fn connected(url: &str) -> AmqpClient {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match AmqpClient::connect(url).await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "the broker takes no connections: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes messages until `stop`, each until it is confirmed; every second one wants an answer. How many there are.
async fn publish(url: String, stop: Arc<AtomicBool>) -> usize {
    let mut client = Arc::new(connected(&url).await);
    let mut sent = 0;
    while sent < MESSAGES || !stop.load(Ordering::Relaxed) {
        let mut open: BTreeSet<usize> = (sent..sent + WINDOW).collect();
        sent += WINDOW;
        while !open.is_empty() {
            let mut tasks = JoinSet::new();
            for number in open.iter().copied() {
                let client = Arc::clone(&client);
                tasks.spawn(async move {
                    let id = format!("m-{number}");
                    let properties = match number % 2 {
                        0 => asking(&id, "answers"),
                        _ => BasicProperties::default().with_message_id(id.into()),
                    };
                    let confirmed = client.publish("jobs", br#"{"args": ["0.005"]}"#, properties).await;
                    confirmed.is_ok_and(|confirmed| confirmed).then_some(number)
                });
            }
            let mut failed = false;
            while let Some(done) = tasks.join_next().await {
                match done.unwrap() {
                    Some(number) => drop(open.remove(&number)),
                    None => failed = true,
                }
            }
            // Published again under the same id: whether it was taken before is not known.
            if failed {
                client = Arc::new(connected(&url).await);
            }
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_confirmed_message_has_one_record_and_its_answer_whatever_is_killed() {
    let _beside = beside_others().await;
    let seed =
        std::env::var("NUNCIUS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}: NUNCIUS_SEED={seed} repeats the kills");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Bridged::start().await;
    // A job that is lost with the server that its worker was to tell of it is tried again.
    let settings = QueueSettings { attempts: Some(100), ..QueueSettings::default() };
    scene.make("q", &settings).await;
    scene.amqp.declare("jobs", None).await.unwrap();
    scene.amqp.declare("answers", None).await.unwrap();
    let _frontend = scene.queues.start_frontend(&["q"]);
    let _workers = [
        scene.queues.joined_worker("w1", &["--queue", "q", "--slots", "16", "sleep"]).await,
        scene.queues.joined_worker("w2", &["--queue", "q", "--slots", "16", "sleep"]).await,
    ];
    let address = scene.address_of("jobs");
    let arguments = ["--from", address.as_str(), "--to", "q", "--prefetch", "200"];
    let mut bridge = scene.bridge(&arguments);
    scene.says("consuming").await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish(scene.broker.url(), Arc::clone(&stop)));
    let began = Instant::now();
    let mut victims: Vec<u8> = (0..KILLS).flat_map(|_| [0, 1, 2]).collect();
    random.shuffle(&mut victims);
    for victim in victims {
        // In the middle of the work: it goes on once the last one is back.
        let before = scene.queues.bus.last_sequence(&scene.queues.bus.namespace().stream_result("q")).await.unwrap();
        until("work goes on", async || {
            let names = scene.queues.bus.namespace();
            let now = scene.queues.bus.last_sequence(&names.stream_result("q")).await.ok()?;
            (now > before + 50).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        match victim {
            0 => {
                bridge.kill();
                bridge = scene.bridge(&arguments);
            }
            1 => {
                scene.broker.kill();
                scene.broker.restart().await.unwrap();
            }
            _ => {
                scene.queues.server.kill();
                scene.queues.server.restart().await.unwrap();
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = tokio::time::timeout(PATIENCE * 2, publishing).await.expect("the messages are published").unwrap();
    let amqp = connected(&scene.broker.url()).await;
    let (bus, names) = (&scene.queues.bus, scene.queues.bus.namespace().clone());
    let mut answers: BTreeMap<String, JobResult> = BTreeMap::new();
    let mut repeated = 0;
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        while let Some(got) = amqp.get("answers").await.unwrap() {
            let record: JobResult = serde_json::from_slice(&got.body).unwrap();
            let asked = got.properties.correlation_id().as_ref().map(|id| id.as_str().to_owned());
            assert_eq!(asked.as_deref(), Some(record.job.as_str()));
            if let Some(earlier) = answers.insert(record.job.clone(), record.clone()) {
                // Told again by a bridge that came after one that was killed: the same record.
                assert_eq!(earlier, record);
                repeated += 1;
            }
        }
        let jobs = bus.stream_state(&names.stream_job("q")).await.map_or(u64::MAX, |state| state.messages);
        let waiting = amqp.ready("jobs").await.unwrap();
        if answers.len() >= sent.div_ceil(2) && jobs == 0 && waiting == 0 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {} answers, {jobs} jobs, {waiting} messages; the bridge: {}",
            answers.len(),
            sent.div_ceil(2),
            scene.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bridge.signal(Signal::TERM);
    assert_eq!(ended(&mut bridge).await.code(), Some(0), "{}", scene.log());
    assert_eq!(amqp.ready("jobs").await.unwrap(), 0, "what was done is acknowledged");
    let records = scene.queues.records("q").await;
    println!(
        "{sent} messages, {} records, {} answers and {repeated} repeats of them, {} s",
        records.len(),
        answers.len(),
        began.elapsed().as_secs()
    );
    let by_id: BTreeMap<String, &JobResult> = records.iter().map(|record| (record.job.clone(), record)).collect();
    assert_eq!(by_id.len(), records.len(), "one record each");
    let wanted: BTreeSet<String> = (0..sent).map(|number| format!("m-{number}")).collect();
    assert_eq!(by_id.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    let asked: BTreeSet<String> = (0..sent).step_by(2).map(|number| format!("m-{number}")).collect();
    assert_eq!(answers.keys().cloned().collect::<BTreeSet<_>>(), asked);
    assert!(answers.iter().all(|(id, answer)| by_id[id] == answer), "an answer is its record");
    // The frontend's books say the same.
    let accepted = bus.last_sequence(&names.stream_job("q")).await.unwrap();
    until("the books are up to date", async || {
        let (totals, _) = scene.queues.queues.totals("q").await.ok()??;
        (totals.ended() == records.len() as u64 && totals.settled() == accepted).then_some(())
    })
    .await;
}
