//! Whatever is published again, and whenever: accepted is what has ended, what was repeated, and what is in the queue.

use nuncius_bus::Headers;
use nuncius_jobs::abandoned::purge;
use nuncius_jobs::take::admit;
use nuncius_jobs::{Acceptance, Finish, JobError, Submission, Submitter, SubmitterOptions};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::HEADER_MESSAGE_ID;

use crate::support::{System, end, job, soon, system, take};

/// A queue that knows ids for the shortest time there is.
fn forgetful() -> QueueDefinition {
    QueueDefinition { duplicate_window: "100ms".parse().unwrap(), ..QueueDefinition::new("q") }
}

impl System {
    /// Publishes as any NATS client does, until the queue has forgotten the id and takes the message as another.
    async fn publish_as_another(&self, client: &str, id: &str) {
        let subject = self.bus.namespace().job("q", 0, client);
        let headers = Headers::new().with(HEADER_MESSAGE_ID, id);
        let stored = async {
            while self.bus.publish_acked(&subject, &headers, "{}".into(), None, None).await.unwrap().duplicate {}
        };
        soon(stored).await;
    }

    /// The equation, with the counts of the streams themselves.
    async fn assert_balanced(&self, accepted: u64, ended: u64, repeated: u64) {
        let info = soon(self.queues.info("q")).await.unwrap();
        assert_eq!((info.accepted, info.totals.ended(), info.totals.repeated), (accepted, ended, repeated), "{info:?}");
        let stored = self.bus.stream_state(&self.bus.namespace().stream_job("q")).await.unwrap().messages;
        assert_eq!((info.accepted, info.unaccounted), (ended + repeated + stored, 0), "{info:?}");
        assert_eq!(info.jobs, stored);
    }
}

#[tokio::test]
async fn a_job_that_is_published_again_after_it_ended_is_a_repeat_and_does_not_run() {
    let system = system().await;
    let queue = system.queue(forgetful()).await;
    let (mut taker, finisher) = system.worker(&queue);
    system.publish_as_another("me", "x").await;
    let taken = take(&mut taker, &finisher).await;
    end(&finisher, &taken, JobStatus::Succeeded).await;
    system.jobs("q", 0).await;
    system.publish_as_another("me", "x").await;
    let again = soon(taker.next_of(1)).await.unwrap();
    // Twice, as if the acknowledgement had been lost: it counts once.
    assert!(admit(&finisher, again.clone()).await.unwrap().is_none(), "it is not run");
    assert!(admit(&finisher, again).await.unwrap().is_none());
    system.jobs("q", 0).await;
    system.assert_balanced(2, 1, 1).await;
    // The same id of somebody else is another job.
    system.publish_as_another("other", "x").await;
    let taken = take(&mut taker, &finisher).await;
    assert_eq!((taken.id.as_str(), taken.client.as_str()), ("x", "other"));
    end(&finisher, &taken, JobStatus::Failed).await;
    system.jobs("q", 0).await;
    system.assert_balanced(3, 2, 1).await;
}

#[tokio::test]
async fn of_two_messages_of_one_job_in_the_queue_the_second_to_end_is_a_repeat() {
    let system = system().await;
    let queue = system.queue(forgetful()).await;
    let (mut taker, finisher) = system.worker(&queue);
    for _ in 0..4 {
        system.publish_as_another("me", "x").await;
    }
    let first = take(&mut taker, &finisher).await;
    let second = take(&mut taker, &finisher).await;
    system.assert_balanced(4, 0, 0).await;
    assert_eq!(end(&finisher, &second, JobStatus::Succeeded).await, Finish::Recorded(JobStatus::Succeeded));
    assert_eq!(end(&finisher, &first, JobStatus::Failed).await, Finish::Repeated);
    // What waits is settled by whoever drops it, too.
    assert_eq!(purge(&system.queues, &queue).await.unwrap(), 2);
    system.jobs("q", 0).await;
    system.assert_balanced(4, 1, 3).await;
}

#[tokio::test]
async fn what_is_known_of_a_job_is_told_at_once() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let one = || Submission { id: Some("one".into()), ..job("0") };
    let first = submitter.submit(one()).await.unwrap();
    assert_eq!(first.acceptance, Acceptance::New);
    drop(first);
    let waiting = submitter.submit(one()).await.unwrap();
    assert_eq!(waiting.acceptance, Acceptance::Waiting);
    // Another client must not wait for what is not its own.
    let options = SubmitterOptions { queue: "q".into(), client: "other".into(), presence: false };
    let other = Submitter::open(&system.bus, options).await.unwrap();
    let refused = other.submit(one()).await.unwrap_err();
    assert!(matches!(&refused, JobError::IdTaken { job, client, .. } if job == "one" && client == "me"), "{refused}");
    let taken = take(&mut taker, &finisher).await;
    end(&finisher, &taken, JobStatus::Failed).await;
    assert_eq!(soon(waiting.result()).await.unwrap().status, JobStatus::Failed);
    let refused = other.submit(one()).await.unwrap_err();
    assert!(matches!(&refused, JobError::IdTaken { client, .. } if client == "me"), "{refused}");
    let ended = submitter.submit(one()).await.unwrap();
    assert_eq!(ended.acceptance, Acceptance::Ended);
    assert_eq!(soon(ended.result()).await.unwrap().status, JobStatus::Failed);
    system.jobs("q", 0).await;
    system.assert_balanced(1, 1, 0).await;
}
