//! The AMQP bridge over a real RabbitMQ: what becomes of messages, strange ones too, and what comes back.

use nuncius_bridge::message::{client_of, job_id};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueSettings;
use nuncius_schemas::run::{RunRecord, RunStatus, SubmitReply, Verdict};
use nuncius_schemas::subjects::HEADER_MESSAGE_ID;
use nuncius_testkit::amqp::{AMQPValue, AmqpClient, BasicProperties, LongString};
use nuncius_testkit::{RabbitMq, TempDir};
use rustix::process::Signal;

use crate::bridge_harness::{Bridged, asking};
use crate::harness::{Process, System, beside_others, open_spec, spawn_stub, until};
use crate::queue_harness::ended;

/// A name that means something in addresses, in subjects and in patterns.
const STRANGE: &str = "render jobs.*.>/%2f?é";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_becomes_a_job_and_its_record_comes_back_under_its_correlation_id() {
    let _beside = beside_others().await;
    let mut scene = Bridged::start().await;
    scene.make("render", &QueueSettings { priorities: Some(3), ..QueueSettings::default() }).await;
    let (answers, results) = ("answers to me", "q".repeat(255));
    for queue in [STRANGE, answers, &results] {
        scene.amqp.declare(queue, None).await.unwrap();
    }
    let file = scene.queues.path("bridge.yaml");
    let mapping = serde_json::json!({"name": "render", "from": STRANGE, "to": "render", "results": results});
    let config = serde_json::json!({"broker": scene.broker.url(), "mappings": [mapping]});
    std::fs::write(&file, config.to_string()).unwrap();
    let bridge = scene.bridge(&["--config", file.to_str().unwrap()]);
    let mut headers = nuncius_testkit::amqp::FieldTable::default();
    headers.insert("X Color".into(), AMQPValue::LongString(LongString::from(vec![0xff, b'r'])));
    headers.insert("Nats-Rollup".into(), AMQPValue::LongString("all".into()));
    let properties = asking("order 7", answers)
        .with_correlation_id("mine".into())
        .with_priority(9)
        .with_headers(headers)
        .with_content_type("application/json".into());
    scene.publish(STRANGE, br#"{"args": ["0"]}"#, properties).await;
    let names = scene.queues.bus.namespace().clone();
    let (stream, client) = (names.stream_job("render"), client_of("/", STRANGE));
    let stored = until("the job is in its queue", async || {
        scene.queues.bus.next_message(&stream, &names.job_all("render"), 1).await.ok()?
    })
    .await;
    assert_eq!(stored.subject, names.job("render", 0, &client), "the most urgent, and its client");
    for (name, value) in [
        (HEADER_MESSAGE_ID, job_id("order 7").as_str()),
        ("Amqp-Message-Id", "order 7"),
        ("Amqp-Correlation-Id", "mine"),
        ("Amqp-Queue", "render jobs.*.>/%252f?é"),
        ("Amqp-Header-X%20Color", "%FFr"),
        ("Amqp-Header-Nats-Rollup", "all"),
        ("Content-Type", "application/json"),
    ] {
        assert_eq!(stored.headers.get(name), Some(value), "{name}");
    }
    assert_eq!(stored.payload.as_ref(), br#"{"args": ["0"]}"#);
    let worker = scene.queues.joined_worker("w", &["--queue", "render", "sleep"]).await;
    let (record, properties) = scene.next_record(answers).await;
    assert_eq!((record.status, record.job.as_str()), (JobStatus::Succeeded, job_id("order 7").as_str()));
    assert_eq!(properties.correlation_id().as_ref().map(|id| id.as_str()), Some("mine"));
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), Some(record.job.as_str()));
    assert_eq!(*properties.delivery_mode(), Some(2));
    // One that says nothing of an answer has it in the mapping's queue, under its own id.
    scene.publish(STRANGE, br#"{"args": ["0"]}"#, BasicProperties::default().with_message_id("8".into())).await;
    let (record, properties) = scene.next_record(&results).await;
    assert_eq!((record.job.as_str(), record.priority), ("8", 2), "of no urgency");
    assert_eq!(properties.correlation_id().as_ref().map(|id| id.as_str()), Some("8"));
    // The same once more: the same job, which is not run again, and its record.
    scene.publish(STRANGE, br#"{"args": ["1"]}"#, BasicProperties::default().with_message_id("8".into())).await;
    assert_eq!(scene.next_record(&results).await.0, record);
    assert_eq!(scene.queues.records("render").await.len(), 2);
    // What was acknowledged does not come back when the bridge ends.
    let mut bridge = bridge;
    bridge.signal(Signal::TERM);
    assert_eq!(ended(&mut bridge).await.code(), Some(0), "{}", scene.log());
    assert_eq!(scene.amqp.ready(STRANGE).await.unwrap(), 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_dead_lettered_and_whoever_asked_is_told() {
    let _beside = beside_others().await;
    let mut scene = Bridged::start().await;
    scene.make("q", &QueueSettings::default()).await;
    scene.amqp.declare("dead", None).await.unwrap();
    scene.amqp.declare("answers", None).await.unwrap();
    scene.amqp.declare("jobs", Some("dead")).await.unwrap();
    let address = scene.address_of("jobs");
    let _bridge = scene.bridge(&["--from", &address, "--to", "q", "--without-id", "refuse"]);
    let _worker = scene.queues.joined_worker("w", &["--queue", "q", "sleep"]).await;
    let client = client_of("/", "jobs");
    // Somebody else has this id.
    scene.queues.submit_only("q", "theirs", &["0"]);
    scene.queues.wait_for_record("q", "theirs").await;
    let long = "x".repeat(20_000);
    let mut headers = nuncius_testkit::amqp::FieldTable::default();
    headers.insert("long".into(), AMQPValue::LongString(long.as_str().into()));
    for (body, properties, problem) in [
        (vec![b' '; 16 << 20], asking("large", "answers"), "max_job_bytes"),
        (vec![b' '; 70_000], asking("larger", "answers"), "max_job_bytes"),
        (b"{}".to_vec(), asking("headers", "answers").with_headers(headers), "headers of"),
        (b"{}".to_vec(), BasicProperties::default().with_reply_to("answers".into()), "no message-id"),
        (b"{}".to_vec(), asking("theirs", "answers"), "choose another id"),
    ] {
        let size = body.len();
        scene.publish("jobs", &body, properties).await;
        let answer = scene.next("answers").await;
        let told: SubmitReply = serde_json::from_slice(&answer.body).unwrap();
        let error = told.error.unwrap_or_default();
        assert!(!told.accepted && error.contains(problem), "{problem}: {error}");
        assert_eq!(scene.next("dead").await.body.len(), size, "{problem}");
        scene.says(problem).await;
    }
    // What takes it finds out that this is no job: that is in the books, and an answer like any other.
    scene.publish("jobs", b"rubbish", asking("rubbish", "answers")).await;
    let (record, _) = scene.next_record("answers").await;
    assert_eq!((record.status, record.client), (JobStatus::Dead, client));
    // Whoever asked is gone: the message is done all the same.
    scene.publish("jobs", b"{}", asking("gone", "no such queue")).await;
    scene.says("`no such queue`").await;
    // It still works.
    scene.publish("jobs", br#"{"args": ["0"]}"#, asking("fine", "answers")).await;
    assert_eq!(scene.next_record("answers").await.0.status, JobStatus::Succeeded);
    assert_eq!(scene.amqp.get("dead").await.unwrap().map(|got| got.body), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_at_the_broker_while_the_queue_takes_none() {
    let _beside = beside_others().await;
    let mut scene = Bridged::start().await;
    let address = scene.address_of("jobs");
    let _bridge = scene.bridge(&["--from", &address, "--to", "q", "--prefetch", "4"]);
    // There is neither of the queues.
    scene.says("not found").await;
    scene.amqp.declare("jobs", None).await.unwrap();
    for number in 0..20 {
        let properties = BasicProperties::default().with_message_id(format!("m{number}").into());
        scene.publish("jobs", br#"{"args": ["0"]}"#, properties).await;
    }
    scene.says("`q` is not accepted").await;
    until("as many as may be are under way", async || (scene.amqp.ready("jobs").await.ok()? == 16).then_some(())).await;
    scene.make("q", &QueueSettings { max_waiting: Some(5), ..QueueSettings::default() }).await;
    let _frontend = scene.queues.start_frontend(&["q"]);
    scene.queues.wait_for_jobs("q", 5, 5).await;
    scene.says("`q` is full").await;
    let _worker = scene.queues.joined_worker("w", &["--queue", "q", "sleep"]).await;
    until("all are done", async || (scene.queues.records("q").await.len() == 20).then_some(())).await;
    assert_eq!(scene.amqp.ready("jobs").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_by_message_is_run_once_and_its_record_comes_back() {
    let _beside = beside_others().await;
    let system = System::start(1).await;
    let broker = RabbitMq::start().await.unwrap_or_else(|problem| panic!("{problem}"));
    let amqp = AmqpClient::connect(&broker.url()).await.unwrap();
    for (queue, dead) in [("dead", None), ("answers", None), ("experiments", Some("dead"))] {
        amqp.declare(queue, dead).await.unwrap();
    }
    let directory = TempDir::new("it-bridge").unwrap();
    let (_stub, address) = spawn_stub(directory.path(), &[]);
    let log = directory.path().join("bridge.log");
    let mut command = system.command(&["bridge", "--experiments", &format!("{}/experiments", broker.url())]);
    let _bridge = Process::start(command.stdout(std::process::Stdio::null()), &log);
    let spec = open_spec("", &address, "50", "1s", "").replace("id: \n", "");
    let said = || std::fs::read_to_string(&log).unwrap();
    let mut records = Vec::new();
    for _ in 0..2 {
        assert!(amqp.publish("experiments", spec.as_bytes(), asking("nightly", "answers")).await.unwrap());
    }
    for _ in 0..2 {
        let got = amqp.next("answers", crate::harness::PATIENCE).await.unwrap().unwrap_or_else(|| panic!("{}", said()));
        let record: RunRecord =
            serde_json::from_slice(&got.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&got.body)));
        records.push(record);
    }
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(first, second, "one experiment");
    assert_eq!((first.id.as_str(), first.status), ("nightly", RunStatus::Finished));
    assert!(matches!(first.verdict, Some(Verdict::Pass | Verdict::Invalid | Verdict::Undetermined)), "{first:?}");
    // What is none goes to the dead letters.
    assert!(amqp.publish("experiments", b"groups: 7", asking("wrong", "answers")).await.unwrap());
    let got = amqp.next("answers", crate::harness::PATIENCE).await.unwrap().unwrap();
    let told: SubmitReply = serde_json::from_slice(&got.body).unwrap();
    assert!(!told.accepted && told.error.unwrap_or_default().contains("groups"));
    let dead = amqp.next("dead", crate::harness::PATIENCE).await.unwrap().unwrap();
    assert_eq!(dead.body, b"groups: 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lets_nobody_in_is_told_without_the_password_and_tried_again() {
    let _beside = beside_others().await;
    let mut scene = Bridged::start().await;
    let address = scene.address_of("jobs").replace("guest:guest", "guest:hunter2");
    let mut bridge = scene.bridge(&["--from", &address, "--to", "q"]);
    scene.says("trying again").await;
    bridge.signal(Signal::TERM);
    assert_eq!(ended(&mut bridge).await.code(), Some(0));
    let log = scene.log();
    assert!(log.contains("127.0.0.1") && !log.contains("hunter2"), "{log}");
}

#[test]
fn mappings_that_make_no_sense_are_usage_errors() {
    for (arguments, wanted) in [
        (&[][..], "nothing to hand on"),
        (&["--from", "amqp://h/%2f/q", "--to", "a b"], "a b"),
        (&["--from", "amqp://u:hunter2@h/q", "--to", "q"], "VHOST/QUEUE"),
        (&["--from", "amqp://h/%2f/q", "--to", "q", "--results", "q"], "name another queue"),
        (&["--from", "amqp://h/%2f/q", "--to", "q", "--prefetch", "0"], "give 1 to 65535"),
        (&["--from", "amqp://h/%2f/q", "--from", "amqp://h/%2f/r", "--to", "q"], "a --to for each --from"),
        (&["--from", "amqp://u:${NOBODY_SETS_THIS}@h/%2f/q", "--to", "q"], "NOBODY_SETS_THIS"),
        (&["--config", "/no/such/file"], "/no/such/file"),
    ] {
        let output = crate::harness::nuncius().arg("bridge").args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {error}");
        assert!(error.contains(wanted) && !error.contains("hunter2"), "{arguments:?}: {error}");
    }
}
