//! What others publish: whatever it is, every message gets its place in the books, and nobody is stopped by it.

use std::collections::BTreeSet;

use nuncius_bus::Headers;
use nuncius_jobs::abandoned::Sweeper;
use nuncius_jobs::{Submission, dead};
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_ACCEPT, HEADER_MESSAGE_ID};

use crate::support::{end, job, publish_raw, soon, system, take};

/// Names that NATS takes as a part of a subject and that are none of a client.
const STRANGE: [&str; 7] = ["user@host", "ü", "a*b", "$x", "a:b/c", "~", "#"];

#[tokio::test]
async fn a_client_that_cannot_be_one_is_given_up_with_its_reason_by_worker_and_keeper_alike() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let names = system.bus.namespace().clone();
    let mut heard = system.bus.subscribe(&names.result_client("q", "user@host")).await.unwrap();
    let long = "c".repeat(2_000);
    let all: Vec<&str> = STRANGE.into_iter().chain([long.as_str(), ">", "*"]).collect();
    for by_worker in [true, false] {
        for client in &all {
            // As a program writes that does not look at what it writes.
            let subject = names.job("q", 0, client);
            let headers = [("Nats-Expected-Stream".to_owned(), names.stream_job("q"))];
            publish_raw(&system.server, &subject, &headers, b"{}");
        }
        system.jobs("q", all.len() as u64).await;
        if by_worker {
            let (mut taker, finisher) = system.worker(&queue);
            // One of them no consumer is ever given.
            for _ in 1..all.len() {
                let item = soon(taker.next_of(1)).await.unwrap();
                assert!(nuncius_jobs::admit(&finisher, item).await.unwrap().is_none());
            }
            taker.leave().await;
            system.jobs("q", 1).await;
        }
        let dropped = Sweeper::default().sweep(&system.queues, &queue, &BTreeSet::new()).await.unwrap();
        assert_eq!(dropped, if by_worker { 1 } else { all.len() as u64 });
        system.jobs("q", 0).await;
    }
    let info = soon(system.queues.info("q")).await.unwrap();
    assert_eq!((info.accepted, info.totals.dead, info.jobs), (2 * all.len() as u64, 2 * all.len() as u64, 0));
    let letters = dead::list(&system.queues, "q", 1_000).await.unwrap();
    assert_eq!(letters.len(), 2 * all.len());
    assert!(letters.iter().all(|letter| letter.reason.contains("is not a valid name")), "{letters:?}");
    for _ in 0..2 {
        let record: JobResult = soon(heard.next()).await.unwrap().decode().unwrap();
        assert_eq!((record.status, record.client.as_str()), (JobStatus::Dead, "user@host"));
    }
}

#[tokio::test]
async fn whatever_is_published_at_a_queue_ends_in_its_books() {
    let system = system().await;
    let queue = system.queue(QueueDefinition { priorities: 2, ..QueueDefinition::new("q") }).await;
    let names = system.bus.namespace().clone();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let count = 300;
    for _ in 0..count {
        let length = random.usize(1..12);
        let fine = |c: &char| *c != '.' && !c.is_control() && !c.is_whitespace();
        let any = std::iter::repeat_with(|| random.char('!'..='\u{17f}'));
        let client: String = any.filter(fine).take(length).collect();
        let bytes = random.usize(..40);
        let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
        let mut headers = Vec::new();
        if random.bool() {
            headers.push((HEADER_MESSAGE_ID.to_owned(), format!("{}!", random.u8(..))));
        }
        if random.bool() {
            headers.push(("Nuncius-If-Client".to_owned(), "present".to_owned()));
        }
        let subject = names.job("q", random.u8(..2), &client);
        publish_raw(&system.server, &subject, &headers, &payload);
    }
    let last = names.job("q", 0, "me");
    system.bus.publish_acked(&last, &Headers::new(), "{}".into(), None, None).await.unwrap();
    let accepted = system.bus.last_sequence(&names.stream_job("q")).await.unwrap();
    assert!(accepted > 200, "{accepted} of {count}: ids that are seen twice are not stored");
    let mut sweeper = Sweeper::default();
    let (mut taker, finisher) = system.worker(&queue);
    let nobody = BTreeSet::new();
    let all = async {
        loop {
            sweeper.sweep(&system.queues, &queue, &nobody).await.unwrap();
            for _ in 0..20 {
                let Some(item) = taker.at_once(1).await.unwrap() else { continue };
                if let Some(taken) = nuncius_jobs::admit(&finisher, item).await.unwrap() {
                    end(&finisher, &taken, JobStatus::Succeeded).await;
                }
            }
            if system.bus.stream_state(&names.stream_job("q")).await.unwrap().messages == 0 {
                return;
            }
        }
    };
    soon(all).await;
    let info = soon(system.queues.info("q")).await.unwrap();
    assert_eq!((info.totals.settled(), info.jobs, info.unaccounted), (accepted, 0, 0), "{info:?}");
}

#[tokio::test]
async fn a_record_has_the_form_of_its_job() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let names = system.bus.namespace().clone();
    let mut heard = system.bus.subscribe(&names.result_client("q", "me")).await.unwrap();
    let (mut taker, finisher) = system.worker(&queue);
    let submit = async |headers: Headers, payload: &'static str| {
        system.bus.publish_acked(&names.job("q", 0, "me"), &headers, payload.into(), None, None).await.unwrap();
    };
    submit(Headers::new(), "{\"args\": [\"0\"], \"limit\": 12}").await;
    submit(Headers::new(), "").await;
    submit(Headers::new(), "rubbish").await;
    submit(Headers::new().with(HEADER_ACCEPT, "application/msgpack"), "{}").await;
    let submitter = system.submitter("q", false).await;
    let ticket = submitter.submit(job("0")).await.unwrap();
    for _ in 0..4 {
        let taken = take(&mut taker, &finisher).await;
        if taken.id == "s1" {
            assert_eq!(taken.job.limit, Some("12s".parse().unwrap()), "a plain number means seconds");
        }
        end(&finisher, &taken, JobStatus::Succeeded).await;
    }
    let mut forms = Vec::new();
    for _ in 0..5 {
        let message = soon(heard.next()).await.unwrap();
        let record: JobResult = codec::decode(&message.payload).unwrap();
        let named = message.headers.get("Content-Type").unwrap().to_owned();
        let is_json = message.payload.first() == Some(&b'{');
        assert_eq!(named, if is_json { "application/json" } else { "application/msgpack" });
        forms.push((record.job, is_json));
    }
    forms.sort();
    let own = (ticket.id.clone(), false);
    let mut wanted = vec![("s1".into(), true), ("s2".into(), true), ("s3".into(), true), ("s4".into(), false), own];
    wanted.sort();
    assert_eq!(forms, wanted);
    assert_eq!(soon(ticket.result()).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn who_listens_for_results_hears_no_record_that_was_refused() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let names = system.bus.namespace().clone();
    let mut heard = system.bus.subscribe(&names.result_client("q", "me")).await.unwrap();
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let ticket = submitter.submit(job("0")).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    // A worker that lost the job and does not know it, as behind a partition: its record comes several times, and late.
    finisher.hand_back(&taken).await.unwrap();
    let again = take(&mut taker, &finisher).await;
    end(&finisher, &again, JobStatus::Failed).await;
    for _ in 0..8 {
        end(&finisher, &taken, JobStatus::Succeeded).await;
    }
    let id = ticket.id.clone();
    assert_eq!(soon(ticket.result()).await.unwrap().status, JobStatus::Failed);
    let last = submitter.submit(Submission { id: Some("last".into()), ..job("0") }).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    end(&finisher, &taken, JobStatus::Succeeded).await;
    soon(last.result()).await.unwrap();
    let mut all = Vec::new();
    while all.last().is_none_or(|(job, _)| job != "last") {
        let record: JobResult = soon(heard.next()).await.unwrap().decode().unwrap();
        all.push((record.job, record.status));
    }
    // Whoever finds the record that counts tells it once more.
    all.dedup();
    assert_eq!(all, [(id, JobStatus::Failed), ("last".to_owned(), JobStatus::Succeeded)]);
}
