//! Jobs through kills: of workers, frontends, clients and nats-server, at random times from a printed seed. What a
//! queue accepted is compared with its terminal records, id by id.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_jobs::{Queues, Submission, Submitter, SubmitterOptions};
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::QueueSettings;
use nuncius_testkit::{TempDir, TestServer};

use crate::harness::{PATIENCE, Process, nuncius, until};

/// Jobs of the conservation test; `NUNCIUS_LONG=1` has ten times as many.
const JOBS: usize = 20_000;
/// Jobs under way at a time.
const IN_FLIGHT: usize = 400;

struct Scene {
    server: TestServer,
    directory: TempDir,
    queue: &'static str,
    started: u32,
}

impl Scene {
    async fn new(queue: &'static str, settings: &QueueSettings) -> (Self, Bus) {
        let server = TestServer::start().await.unwrap();
        let directory = TempDir::new("it").unwrap();
        let scene = Self { server, directory, queue, started: 0 };
        let bus = scene.bus().await;
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        Queues::open(&bus).await.unwrap().ensure(queue, settings).await.unwrap();
        (scene, bus)
    }

    async fn bus(&self) -> Bus {
        let options =
            ConnectOptions { urls: vec![self.server.url()], name: "test".into(), ..ConnectOptions::default() };
        connect(options).await.unwrap()
    }

    fn start(&mut self, arguments: &[&str]) -> Process {
        self.started += 1;
        let log = self.directory.path().join(format!("{}-{}.log", arguments[0], self.started));
        let mut command = nuncius();
        command.args(["--nats", &self.server.url(), "--data"]).arg(self.directory.path().join("data"));
        command.args(arguments).stdout(Stdio::null());
        Process::start(&mut command, &log)
    }

    fn worker(&mut self) -> Process {
        self.start(&["worker", "--queue", self.queue, "--slots", "16", "--backoff-max", "1", "sleep"])
    }

    fn frontend(&mut self) -> Process {
        self.start(&["frontend", "--maddr", "127.0.0.1:0"])
    }

    /// Keeps jobs in flight whose client says that it is there: killed, they are dropped.
    fn client(&mut self) -> Process {
        let flags = ["--caddr", "127.0.0.1:0", "--req-max", "32", "--req-now", "32", "--", "0.002"];
        let arguments: Vec<&str> = ["client", "--queue", self.queue].into_iter().chain(flags).collect();
        self.start(&arguments)
    }
}

/// Every terminal record that the queue has, by id; how many records there are must be how many ids there are.
async fn records(bus: &Bus, queue: &str) -> BTreeMap<String, JobResult> {
    let names = bus.namespace().clone();
    let (stream, filter) = (names.stream_result(queue), names.result_all(queue));
    let mut found = BTreeMap::new();
    let last = bus.last_sequence(&stream).await.unwrap();
    if last == 0 {
        return found;
    }
    let mut tail = bus.tail(&stream, &filter, nuncius_bus::tail::Start::All).await.unwrap();
    // So many there are: the last of the stream may be a repeat, which is no record.
    for _ in 0..tail.pending() {
        let stored = tail.next().await.unwrap();
        let result: JobResult = codec::decode(&stored.payload).unwrap();
        let earlier = found.insert(format!("{}/{}", result.client, result.job), result);
        assert!(earlier.is_none(), "two terminal records: {earlier:?}");
    }
    found
}

/// What a queue that does not come to its end has, for whoever reads the failure.
async fn what_is_left(bus: &Bus, queue: &str) -> String {
    let names = bus.namespace();
    let stream = names.stream_job(queue);
    let mut text = format!("{:?}", bus.consumer_state(&stream, "priority-0").await);
    let mut next = 1;
    while let Ok(Some(found)) = bus.next_message(&stream, &names.job_all(queue), next).await {
        next = found.sequence + 1;
        let id = found.headers.get("Nats-Msg-Id").unwrap_or_default();
        let client = found.subject.rsplit('.').next().unwrap_or_default();
        let record = bus.last_direct(&names.stream_result(queue), &names.result(queue, client, id)).await;
        text.push_str(&format!("; {} {id} has a record: {:?}", found.sequence, record.map(|found| found.is_some())));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_job_is_in_the_books_once_whatever_is_killed() {
    let _beside = crate::harness::beside_others().await;
    let seed =
        std::env::var("NUNCIUS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let jobs = if std::env::var_os("NUNCIUS_LONG").is_some() { JOBS * 10 } else { JOBS };
    println!("seed {seed}: NUNCIUS_SEED={seed} repeats the kills");
    let mut random = fastrand::Rng::with_seed(seed);
    // A job that loses its worker so often that it is given up is in the books too.
    let settings = QueueSettings { attempts: Some(3), max_jobs: Some(1_000_000), ..QueueSettings::default() };
    let (mut scene, _) = Scene::new("books", &settings).await;
    let mut workers: Vec<Process> = (0..3).map(|_| scene.worker()).collect();
    let mut frontends: Vec<Process> = (0..2).map(|_| scene.frontend()).collect();
    let mut client = scene.client();
    let url = scene.server.url();
    // The jobs whose ids are known: submitted by the test, under ids of its own.
    let submitting = tokio::spawn(async move {
        let options = ConnectOptions { urls: vec![url], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        let options = SubmitterOptions { queue: "books".into(), client: "test".into(), presence: false };
        let submitter = std::sync::Arc::new(Submitter::open(&bus, options).await.unwrap());
        let free = std::sync::Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..jobs {
            let permit = std::sync::Arc::clone(&free).acquire_owned().await.unwrap();
            let submitter = std::sync::Arc::clone(&submitter);
            tasks.spawn(async move {
                let id = format!("job-{number}");
                // Some run long enough to be in the middle of it when something is killed.
                let seconds = if number % 97 == 0 { "0.3" } else { "0.005" };
                let args = vec![seconds.to_owned()];
                let submission = Submission { id: Some(id.clone()), args, ..Submission::default() };
                let accepted = match submitter.submit(submission).await {
                    Ok(ticket) => match ticket.result().await {
                        Some(result) => Some(result.status),
                        None => panic!("{id}: the connection was closed"),
                    },
                    // Not accepted, or not known to be.
                    Err(error) => {
                        println!("{id}: {error}");
                        None
                    }
                };
                drop(permit);
                (id, accepted)
            });
        }
        let mut outcomes = BTreeMap::new();
        while let Some(outcome) = tasks.join_next().await {
            let (id, accepted) = outcome.unwrap();
            outcomes.insert(id, accepted);
        }
        outcomes
    });
    let mut kills = BTreeMap::<&str, u32>::new();
    let mut first = [0, 5, 7, 9];
    random.shuffle(&mut first);
    let mut first = first.to_vec();
    let began = Instant::now();
    while !submitting.is_finished() {
        assert!(began.elapsed() < Duration::from_secs(1_200), "the jobs do not end");
        tokio::time::sleep(Duration::from_millis(random.u64(200..1_500))).await;
        // Not for ever: what is killed without end cannot end.
        if began.elapsed() > Duration::from_secs(if jobs > JOBS { 300 } else { 25 }) {
            continue;
        }
        // Each kind once, and then as the dice say.
        let die = first.pop().unwrap_or_else(|| random.u32(..10));
        let what = match die {
            0..=4 => {
                let at = random.usize(..workers.len());
                workers[at].kill();
                workers[at] = scene.worker();
                "worker"
            }
            5..=6 => {
                let at = random.usize(..frontends.len());
                frontends[at].kill();
                frontends[at] = scene.frontend();
                "frontend"
            }
            7..=8 => {
                client.kill();
                client = scene.client();
                "client"
            }
            _ => {
                scene.server.kill();
                tokio::time::sleep(Duration::from_secs(2)).await;
                scene.server.restart().await.unwrap();
                "nats-server"
            }
        };
        *kills.entry(what).or_default() += 1;
    }
    let outcomes = submitting.await.unwrap();
    assert_eq!(kills.len(), 4, "the jobs were done before everything had been killed once: {kills:?}");
    client.kill();
    // What waits for dead clients is dropped; what lost its worker is given to another.
    let bus = scene.bus().await;
    let stream = bus.namespace().stream_job("books");
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        let left = bus.stream_state(&stream).await.map(|state| state.messages).unwrap_or(u64::MAX);
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} jobs never end: {}", what_is_left(&bus, "books").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let records = records(&bus, "books").await;
    let mut counts = BTreeMap::<&str, u64>::new();
    for record in records.values() {
        *counts.entry(record.status.name()).or_default() += 1;
    }
    let accepted = bus.last_sequence(&stream).await.unwrap();
    println!("kills {kills:?}; accepted {accepted}; records {counts:?}; {} s", began.elapsed().as_secs());
    // Id by id: what was accepted has the record that its client was told of.
    let mut unknown = 0u64;
    for (id, told) in &outcomes {
        let record = records.get(&format!("test/{id}"));
        match (told, record) {
            (Some(status), Some(record)) => assert_eq!(record.status, *status, "{id}"),
            (Some(_), None) => panic!("{id} was accepted and has no record"),
            // Never known to be accepted; the books say what became of it.
            (None, _) => unknown += 1,
        }
    }
    assert_eq!(outcomes.len(), jobs);
    assert!(unknown <= jobs as u64 / 100, "{unknown} submissions were never answered");
    let ours: BTreeSet<&String> = records.keys().filter(|key| key.starts_with("test/")).collect();
    assert!(ours.len() <= jobs);
    // What the stream took is what ended: a submission that was repeated after the server forgot its id may be stored
    // twice, and is a repeat then. The frontend's books say the same.
    until("the books are up to date", async || {
        let queues = Queues::open(&bus).await.ok()?;
        let (totals, _) = queues.totals("books").await.ok()??;
        (totals.ended() == records.len() as u64 && totals.settled() == accepted).then(|| {
            for status in JobStatus::ALL {
                let own = match status {
                    JobStatus::Succeeded => totals.succeeded,
                    JobStatus::Failed => totals.failed,
                    JobStatus::Dead => totals.dead,
                    JobStatus::Dropped => totals.dropped,
                };
                assert_eq!(own, counts.get(status.name()).copied().unwrap_or(0), "{}", status.name());
            }
        })
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_worker_is_killed_is_done_by_another_once_in_the_books() {
    let _beside = crate::harness::beside_others().await;
    let (mut scene, bus) = Scene::new("lost", &QueueSettings::default()).await;
    let options = SubmitterOptions { queue: "lost".into(), client: "test".into(), presence: false };
    let submitter = Submitter::open(&bus, options).await.unwrap();
    let mut events = bus.subscribe(&bus.namespace().job_event("lost")).await.unwrap();
    let mut first = scene.start(&["worker", "--queue", "lost", "--name", "first", "sleep"]);
    let submission = Submission { args: vec!["1".into()], ..Submission::default() };
    let ticket = submitter.submit(submission).await.unwrap();
    // It has begun.
    let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap();
    let event: nuncius_schemas::job::JobEvent = event.decode().unwrap();
    assert_eq!((event.worker.as_str(), event.attempt), ("first", 1));
    first.kill();
    let _second = scene.start(&["worker", "--queue", "lost", "--name", "second", "sleep"]);
    let result = tokio::time::timeout(PATIENCE, ticket.result()).await.unwrap().unwrap();
    assert_eq!((result.status, result.attempt, result.worker.as_deref()), (JobStatus::Succeeded, 2, Some("second")));
    assert_eq!(records(&bus, "lost").await.len(), 1);
}
