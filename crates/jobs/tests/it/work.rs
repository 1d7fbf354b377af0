use std::time::Duration;

use nuncius_jobs::{Finish, Submission, dead};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::{QueueDefinition, QueueState};

use crate::support::{end, job, soon, system, take};

#[tokio::test]
async fn a_job_is_run_and_its_result_comes_back() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let limit = Some("3s".parse().unwrap());
    let ticket = submitter
        .submit(Submission { id: Some("one".into()), limit, traceparent: Some("00-a".into()), ..job("0.1") })
        .await
        .unwrap();
    let taken = take(&mut taker, &finisher).await;
    assert_eq!((taken.id.as_str(), taken.client.as_str(), taken.attempt), ("one", "me", 1));
    assert_eq!((taken.job.args.clone(), taken.job.limit), (vec!["0.1".to_owned()], limit));
    assert_eq!(taken.traceparent.as_deref(), Some("00-a"));
    assert!((0.0..5.0).contains(&taken.wait_seconds()), "{}", taken.wait_seconds());
    assert_eq!(end(&finisher, &taken, JobStatus::Succeeded).await, Finish::Recorded(JobStatus::Succeeded));
    let result = soon(ticket.result()).await.unwrap();
    assert_eq!((result.job.as_str(), result.status, result.attempt), ("one", JobStatus::Succeeded, 1));
    system.jobs("q", 0).await;
    // The same id again: the stream has seen it, and nobody runs it twice.
    assert!(system.bus.last_sequence(&system.bus.namespace().stream_job("q")).await.unwrap() == 1);
    drop(submitter.submit(Submission { id: Some("one".into()), ..job("0.1") }).await.unwrap());
    system.jobs("q", 0).await;
}

#[tokio::test]
async fn a_result_that_came_while_the_connection_was_away_is_found() {
    let mut system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", true).await;
    let ticket = submitter.submit(job("0")).await.unwrap();
    let other = crate::support::client(&system.server).await;
    let (mut taker, finisher) = system.worker(&queue);
    let taken = take(&mut taker, &finisher).await;
    // A record written behind the client's back, as by a worker while the client was away.
    let subject = system.bus.namespace().record("q", "me", &taken.id);
    let record = nuncius_schemas::codec::encode(&taken.result("q")).unwrap();
    let mut away = system.bus.link();
    system.server.kill();
    soon(away.wait_for(|link| link.since.is_none())).await.unwrap();
    system.server.restart().await.unwrap();
    soon(other.connected()).await;
    other.publish_acked(&subject, &nuncius_bus::Headers::new(), record.into(), None, Some(0)).await.unwrap();
    assert_eq!(soon(ticket.result()).await.unwrap().job, taken.id);
}

#[tokio::test]
async fn of_two_that_finish_one_job_the_second_counts_for_nothing() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let ticket = submitter.submit(job("0")).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    // Handed back, taken by another, and still worked on by the first.
    finisher.hand_back(&taken).await.unwrap();
    let again = take(&mut taker, &finisher).await;
    assert_eq!((&again.id, again.attempt), (&taken.id, 1), "handing back costs no attempt");
    assert_eq!(end(&finisher, &again, JobStatus::Failed).await, Finish::Recorded(JobStatus::Failed));
    assert_eq!(end(&finisher, &taken, JobStatus::Succeeded).await, Finish::Superseded);
    assert_eq!(soon(ticket.result()).await.unwrap().status, JobStatus::Failed);
    system.jobs("q", 0).await;
}

#[tokio::test]
async fn a_failing_job_is_tried_again_and_given_up_as_the_queue_says_and_can_be_repeated() {
    let system = system().await;
    let backoff = "10ms".parse().unwrap();
    let definition = QueueDefinition { attempts: 2, retry_failures: true, backoff, ..QueueDefinition::new("q") };
    let queue = system.queue(definition).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let ticket = submitter.submit(job("x")).await.unwrap();
    let first = take(&mut taker, &finisher).await;
    let retried = end(&finisher, &first, JobStatus::Failed).await;
    assert_eq!(retried, Finish::Retried(Duration::from_millis(10)));
    let second = take(&mut taker, &finisher).await;
    assert_eq!((second.attempt, &second.id), (2, &first.id));
    let mut result = second.result("q");
    (result.status, result.error) = (JobStatus::Failed, Some("exit code 3\nü".into()));
    assert_eq!(soon(finisher.finish(&second, &result, None)).await.unwrap(), Finish::Recorded(JobStatus::Dead));
    let id = ticket.id.clone();
    let record = soon(ticket.result()).await.unwrap();
    assert_eq!((record.status, record.attempt), (JobStatus::Dead, 2));
    let letters = dead::list(&system.queues, "q", 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].job.as_str(), letters[0].attempts, letters[0].reason.as_str()),
        (id.as_str(), 2, "exit code 3 ü")
    );
    system.jobs("q", 0).await;
    let repeated = dead::retry(&system.queues, "q", &id).await.unwrap();
    assert_eq!(repeated, format!("{id}-r1"));
    let third = take(&mut taker, &finisher).await;
    assert_eq!(
        (third.id.as_str(), third.attempt, third.job.args.as_slice()),
        (repeated.as_str(), 1, ["x".to_owned()].as_slice())
    );
    assert!(dead::list(&system.queues, "q", 10).await.unwrap().is_empty());
    assert!(dead::remove(&system.queues, "q", "nobody").await.unwrap_err().to_string().contains("no dead letter"));
}

#[tokio::test]
async fn the_most_urgent_is_taken_first_and_what_is_too_much_costs_nothing() {
    let system = system().await;
    let queue = system.queue(QueueDefinition { priorities: 3, ..QueueDefinition::new("q") }).await;
    let submitter = system.submitter("q", false).await;
    let mut tickets = Vec::new();
    for priority in [2, 1, 0, 2, 1, 0] {
        tickets.push(submitter.submit(Submission { priority, ..job("0") }).await.unwrap());
    }
    let (mut taker, finisher) = system.worker(&queue);
    let mut order = Vec::new();
    for _ in 0..6 {
        let taken = take(&mut taker, &finisher).await;
        order.push(taken.priority);
        end(&finisher, &taken, JobStatus::Succeeded).await;
    }
    assert_eq!(order, [0, 0, 1, 1, 2, 2]);
    // With nothing there one of each is asked for: what comes beyond the one slot is handed back.
    let waiting = tokio::spawn(async move {
        let item = taker.next_of(1).await.unwrap();
        (taker, item)
    });
    let asking = |priority: u8| {
        let (bus, stream) = (system.bus.clone(), system.bus.namespace().stream_job("q"));
        async move {
            let api = format!("$JS.API.CONSUMER.INFO.{stream}.priority-{priority}");
            let none = nuncius_bus::Headers::new();
            let answer = bus.request(&api, &none, "".into(), Duration::from_secs(1)).await.unwrap();
            let text = String::from_utf8_lossy(&answer.payload).into_owned();
            text.contains("\"num_waiting\":1").then_some(())
        }
    };
    for priority in 0..3 {
        let asked = nuncius_testkit::eventually(Duration::from_secs(10), || asking(priority));
        assert_eq!(asked.await, Some(()));
    }
    tickets.push(submitter.submit(Submission { priority: 2, ..job("0") }).await.unwrap());
    tickets.push(submitter.submit(Submission { priority: 1, ..job("0") }).await.unwrap());
    let (mut taker, first) = soon(waiting).await.unwrap();
    let surplus = soon(taker.surplus()).await;
    finisher.hand_back_item(&surplus).await.unwrap();
    let first = nuncius_jobs::take::admit(&finisher, first).await.unwrap().unwrap();
    end(&finisher, &first, JobStatus::Succeeded).await;
    let second = take(&mut taker, &finisher).await;
    assert_eq!((second.priority + first.priority, second.attempt), (3, 1));
}

#[tokio::test]
async fn a_paused_queue_takes_and_does_not_give() {
    let system = system().await;
    let queue = system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    system.queues.set_state("q", QueueState::Paused).await.unwrap();
    // Made again by whoever starts: it stays paused.
    system.queues.apply(&system.queues.get("q").await.unwrap(), 0).await.unwrap();
    let ticket = submitter.submit(job("0")).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), taker.next_of(1)).await;
    assert!(waited.is_err(), "a paused queue gave a job");
    system.queues.set_state("q", QueueState::Open).await.unwrap();
    let taken = take(&mut taker, &finisher).await;
    assert_eq!(taken.id, ticket.id);
}

#[tokio::test]
async fn with_shares_a_less_urgent_job_does_not_wait_for_ever() {
    let system = system().await;
    let queue = QueueDefinition { priorities: 3, priority_shares: vec![8, 4, 1], ..QueueDefinition::new("q") };
    let queue = system.queue(queue).await;
    let submitter = system.submitter("q", false).await;
    for priority in 0..3 {
        for _ in 0..30 {
            drop(submitter.submit(Submission { priority, ..job("0") }).await.unwrap());
        }
    }
    let (mut taker, finisher) = system.worker(&queue);
    let mut counts = [0; 3];
    for _ in 0..26 {
        let taken = take(&mut taker, &finisher).await;
        counts[usize::from(taken.priority)] += 1;
        end(&finisher, &taken, JobStatus::Succeeded).await;
    }
    assert_eq!(counts, [16, 8, 2]);
    // What is there is taken, whoever's turn it is.
    for _ in 0..64 {
        let taken = take(&mut taker, &finisher).await;
        end(&finisher, &taken, JobStatus::Succeeded).await;
    }
    system.jobs("q", 0).await;
}
