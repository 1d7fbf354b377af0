use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_jobs::abandoned::{Sweeper, purge};
use nuncius_jobs::books::Books;
use nuncius_jobs::{JobError, Submission};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueDefinition;

use crate::support::{end, job, soon, system, take};

#[tokio::test]
async fn totals_are_the_fold_of_the_records_whoever_keeps_them() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let mut books = Books::open(&system.queues, "q", 1).await.unwrap();
    for status in [JobStatus::Succeeded, JobStatus::Failed, JobStatus::Succeeded] {
        let ticket = submitter.submit(job("0")).await.unwrap();
        let taken = take(&mut taker, &finisher).await;
        end(&finisher, &taken, status).await;
        assert_eq!(soon(ticket.result()).await.unwrap().status, status);
        soon(books.next()).await.unwrap();
        if status == JobStatus::Failed {
            books.save().await.unwrap();
        }
    }
    let totals = books.totals().clone();
    assert_eq!((totals.succeeded, totals.failed, totals.ended(), totals.sequence), (2, 1, 3, 3));
    assert_eq!((totals.run.total(), totals.run.sum_seconds), (3, 1.5));
    // Killed before it could write down the last one: the next reads on from what was written.
    let mut next = Books::open(&system.queues, "q", 2).await.unwrap();
    assert_eq!(next.totals().sequence, 2);
    soon(next.next()).await.unwrap();
    let read = next.totals().clone();
    assert_eq!((read.succeeded, read.failed, read.sequence), (2, 1, 3));
    next.save().await.unwrap();
    // Whose lease is over writes no more.
    let ticket = submitter.submit(job("0")).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    end(&finisher, &taken, JobStatus::Succeeded).await;
    drop(ticket);
    soon(books.next()).await.unwrap();
    assert!(matches!(books.save().await, Err(JobError::Changed(_))));
    assert!(matches!(Books::open(&system.queues, "q", 1).await, Err(JobError::Changed(_))));
}

#[tokio::test]
async fn records_make_room_only_when_they_are_in_the_books_and_their_jobs_are_gone() {
    let system = system().await;
    let definition =
        QueueDefinition { result_bytes: 64 * 1024, result_keep: "1ms".parse().unwrap(), ..QueueDefinition::new("q") };
    let queue = system.queue(definition).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let stream = system.bus.namespace().stream_result("q");
    let mut books = Books::open(&system.queues, "q", 1).await.unwrap();
    let mut first = None;
    let mut folded = 0;
    // Until more than half of the room is taken.
    while system.bus.stream_state(&stream).await.unwrap().bytes < 36 * 1024 {
        drop(submitter.submit(job("0")).await.unwrap());
        let taken = take(&mut taker, &finisher).await;
        if first.is_none() {
            // Its record is there, its acknowledgement is not.
            first = Some(taken);
            continue;
        }
        end(&finisher, &taken, JobStatus::Succeeded).await;
        soon(books.next()).await.unwrap();
        folded += 1;
    }
    assert_eq!(books.make_room(&queue).await.unwrap(), 0, "not in the written totals");
    books.save().await.unwrap();
    assert_eq!(books.make_room(&queue).await.unwrap(), 0, "a job before them is still in its stream");
    let first = first.unwrap();
    end(&finisher, &first, JobStatus::Succeeded).await;
    soon(books.next()).await.unwrap();
    books.save().await.unwrap();
    system.jobs("q", 0).await;
    // Once the last one is a millisecond old.
    let forgotten = soon(async {
        loop {
            match books.make_room(&queue).await.unwrap() {
                0 => tokio::task::yield_now().await,
                forgotten => break forgotten,
            }
        }
    });
    assert_eq!(forgotten.await, folded + 1);
    assert_eq!(books.totals().ended(), folded + 1);
}

#[tokio::test]
async fn what_waits_for_a_client_that_went_away_is_dropped_and_counted_and_nothing_else() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let present = system.submitter("q", true).await;
    let options = nuncius_jobs::SubmitterOptions { queue: "q".into(), client: "other".into(), presence: false };
    let indifferent = nuncius_jobs::Submitter::open(&system.bus, options).await.unwrap();
    let (mut taker, finisher) = system.worker(&queue);
    let begun = present.submit(Submission { id: Some("begun".into()), ..job("0") }).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    for number in 0..100 {
        drop(present.submit(Submission { id: Some(format!("waits-{number}")), ..job("0") }).await.unwrap());
    }
    drop(indifferent.submit(job("0")).await.unwrap());
    let mut sweeper = Sweeper::default();
    let here = BTreeSet::from(["me".to_owned()]);
    let nobody = BTreeSet::new();
    assert_eq!(sweeper.sweep(&system.queues, &queue, &here).await.unwrap(), 0);
    // The list says that it is gone, the bucket that it is there.
    for _ in 0..3 {
        assert_eq!(sweeper.sweep(&system.queues, &queue, &nobody).await.unwrap(), 0);
    }
    drop(begun);
    present.close().await;
    assert_eq!(sweeper.sweep(&system.queues, &queue, &nobody).await.unwrap(), 100);
    assert_eq!(sweeper.sweep(&system.queues, &queue, &nobody).await.unwrap(), 0);
    system.jobs("q", 2).await;
    end(&finisher, &taken, JobStatus::Succeeded).await;
    system.jobs("q", 1).await;
    let mut books = Books::open(&system.queues, "q", 1).await.unwrap();
    while books.totals().ended() < 101 {
        soon(books.next()).await.unwrap();
    }
    assert_eq!((books.totals().dropped, books.totals().succeeded), (100, 1));
    assert_eq!(purge(&system.queues, &queue).await.unwrap(), 1);
    system.jobs("q", 0).await;
    let record = soon(books.next()).await.unwrap().unwrap();
    assert_eq!((record.status, record.error.as_deref()), (JobStatus::Dropped, Some("purged")));
    assert!(record.wait_seconds < Duration::from_secs(60).as_secs_f64());
}
