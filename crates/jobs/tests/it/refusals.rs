use nuncius_bus::Headers;
use nuncius_jobs::{JobError, Submission, Submitter, SubmitterOptions};
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::{QueueDefinition, QueueState};

use crate::support::{end, job, soon, system, take};

#[tokio::test]
async fn what_a_queue_does_not_take_is_refused_by_name_and_limit() {
    let system = system().await;
    let definition = QueueDefinition {
        max_waiting: 2,
        priorities: 2,
        max_job_bytes: 300,
        max_arguments: 2,
        ..QueueDefinition::new("q")
    };
    system.queue(definition).await;
    let submitter = system.submitter("q", false).await;
    let refused = async |submission: Submission| submitter.submit(submission).await.unwrap_err().to_string();
    let nowhere = system.submitter("nowhere", false).await;
    let error = nowhere.submit(job("0")).await.unwrap_err();
    assert!(matches!(&error, JobError::NoQueue { queue } if queue == "nowhere"), "{error}");
    assert!(refused(Submission { priority: 2, ..job("0") }).await.contains("priorities 0 to 1"));
    assert!(refused(job("a\0b")).await.contains("NUL"));
    let many = Submission { args: vec![String::new(); 10_000], ..Submission::default() };
    assert!(refused(many).await.contains("10000 arguments is over the limit `max_arguments` of 2"));
    assert!(refused(job(&"x".repeat(1_000))).await.contains("over the limit `max_job_bytes` of 300"));
    // With its headers over the limit though its payload is not: the stream says so.
    assert!(refused(job(&"x".repeat(280))).await.contains("`max_job_bytes` of 300"));
    for name in ["", "a.b", "a b", ">"] {
        let options = SubmitterOptions { queue: name.into(), client: "me".into(), presence: false };
        assert!(Submitter::open(&system.bus, options).await.is_err(), "{name}");
    }
    let one = submitter.submit(job("0")).await.unwrap();
    let two = submitter.submit(Submission { priority: 1, ..job("0") }).await.unwrap();
    assert!(refused(job("0")).await.contains("queue `q` is full: `max_waiting` of 2"));
    // A priority is not taken away from under its jobs.
    let fewer = nuncius_schemas::queue::QueueSettings { priorities: Some(1), ..Default::default() };
    let error = system.queues.ensure("q", &fewer).await.unwrap_err().to_string();
    assert!(error.contains("still has 1 jobs of priority 1"), "{error}");
    // What runs does not wait: the frontend raises the limit by the slots of the workers.
    system.queues.set_slots(&system.queues.get("q").await.unwrap(), 1).await.unwrap();
    let three = submitter.submit(job("0")).await.unwrap();
    system.queues.set_state("q", QueueState::Draining).await.unwrap();
    assert!(refused(job("0")).await.contains("draining"));
    drop((one, two, three));
    assert!(system.queues.remove("q", false).await.unwrap_err().to_string().contains("still has 3 jobs"));
    system.queues.remove("q", true).await.unwrap();
    assert!(matches!(system.queues.get("q").await, Err(JobError::NoQueue { .. })));
}

#[tokio::test]
async fn a_queue_without_a_limit_that_gets_one_takes_no_more_than_that() {
    let system = system().await;
    system.queue(QueueDefinition::new("q")).await;
    let limit = async || system.queues.moment("q").await.unwrap().limit_jobs;
    assert_eq!(limit().await, Some(QueueDefinition::new("q").max_jobs));
    let limited = nuncius_schemas::queue::QueueSettings { max_waiting: Some(2), ..Default::default() };
    assert!(!system.queues.ensure("q", &limited).await.unwrap());
    assert_eq!(limit().await, Some(2));
    // What runs beside is kept when it is changed again.
    system.queues.set_slots(&system.queues.get("q").await.unwrap(), 3).await.unwrap();
    let more = nuncius_schemas::queue::QueueSettings { max_waiting: Some(10), ..Default::default() };
    system.queues.ensure("q", &more).await.unwrap();
    assert_eq!(limit().await, Some(13));
    system.queues.set_state("q", QueueState::Paused).await.unwrap();
    assert_eq!(limit().await, Some(13));
}

#[tokio::test]
async fn what_cannot_be_read_as_a_job_is_given_up_with_its_reason_and_a_plain_clients_job_is_run() {
    let system = system().await;
    let queue = system.queue(QueueDefinition { max_arguments: 2, ..QueueDefinition::new("q") }).await;
    let names = system.bus.namespace().clone();
    let mut results = system.bus.subscribe(&names.result_all("q")).await.unwrap();
    let (mut taker, finisher) = system.worker(&queue);
    let publish = async |payload: Vec<u8>| {
        let subject = names.job("q", 0, "stranger");
        system.bus.publish_acked(&subject, &Headers::new(), payload.into(), None, None).await.unwrap()
    };
    let mut bad: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"[1, 2]".to_vec(),
        b"hello".to_vec(),
        br#"{"args": 5}"#.to_vec(),
        br#"{"args": ["a", "b", "c"]}"#.to_vec(),
        vec![0xc1; 100],
        vec![0xdf; 5],
    ];
    // Whatever bytes come: a record each, and the worker goes on.
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..50 {
        let length = random.usize(1..200);
        bad.push(std::iter::repeat_with(|| random.u8(..)).take(length).collect());
    }
    let count = bad.len();
    for payload in bad {
        publish(payload).await;
    }
    publish(br#"{"args": ["0.1"], "limit": "1s"}"#.to_vec()).await;
    let mut good = 0;
    let taken = loop {
        let taken = take(&mut taker, &finisher).await;
        if taken.job.args == ["0.1"] {
            break taken;
        }
        // Random bytes may happen to be a job.
        good += 1;
        end(&finisher, &taken, JobStatus::Succeeded).await;
    };
    assert_eq!(taken.id, format!("s{}", count + 1));
    end(&finisher, &taken, JobStatus::Succeeded).await;
    let mut dead = 0;
    for _ in 0..=count {
        let message = soon(results.next()).await.unwrap();
        let result: JobResult = message.decode().unwrap();
        if result.status == JobStatus::Dead {
            dead += 1;
            assert!(result.error.unwrap().starts_with("not readable as a job: "));
        }
    }
    assert_eq!(dead + good, count);
    system.jobs("q", 0).await;
    let letters = nuncius_jobs::dead::list(&system.queues, "q", 1_000).await.unwrap();
    assert_eq!(letters.len(), dead);
}
