//! How long a job has waited is told by the server's clock, whatever this machine's own says.

use nuncius_bus::clock::unix_ns;
use nuncius_bus::{ClockReading, ServerClock};
use nuncius_jobs::Queues;
use nuncius_jobs::abandoned::purge;
use nuncius_jobs::books::Books;
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueDefinition;

use crate::support::{System, job, soon, system, take};

const HOUR_NS: i64 = 3_600_000_000_000;

impl System {
    /// The same on a machine whose clock is an hour behind the server's, which is known.
    async fn behind(self) -> Self {
        fn an_hour_behind() -> u64 {
            unix_ns() - HOUR_NS as u64
        }
        let clock = ServerClock::fixed(ClockReading { offset_ns: HOUR_NS, error_ns: 1_000 }, an_hour_behind);
        let queues = Queues::open_with_clock(&self.bus, clock).await.unwrap();
        Self { queues, ..self }
    }
}

#[tokio::test]
async fn the_servers_clock_is_measured_within_its_bound() {
    let system = system().await;
    system.queue(QueueDefinition::new("q")).await;
    let submitter = system.submitter("q", false).await;
    let clock = system.queues.clock();
    let before = clock.now_unix_ns().await.unwrap();
    drop(submitter.submit(job("0")).await.unwrap());
    let after = clock.now_unix_ns().await.unwrap();
    let names = system.bus.namespace();
    let stored = system.bus.next_message(&names.stream_job("q"), &names.job_all("q"), 1).await.unwrap().unwrap();
    let error_ns = i64::try_from(clock.reading().await.unwrap().error_ns).unwrap();
    let range = before - error_ns..=after + error_ns;
    assert!(range.contains(&stored.published_unix_ns), "{} is not in {range:?}", stored.published_unix_ns);
}

#[tokio::test]
async fn a_wait_is_told_by_the_servers_clock_in_workers_sweepers_and_books() {
    let system = system().await.behind().await;
    let definition = QueueDefinition { max_wait: "30m".parse().unwrap(), ..QueueDefinition::new("q") };
    let queue = system.queue(definition).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    drop(submitter.submit(job("0")).await.unwrap());
    // Its first take: not dropped for a wait that was none.
    let taken = take(&mut taker, &finisher).await;
    assert!((0.0..60.0).contains(&taken.wait_seconds()), "{}", taken.wait_seconds());
    crate::support::end(&finisher, &taken, JobStatus::Succeeded).await;
    let purged = submitter.submit(job("0")).await.unwrap();
    assert_eq!(purge(&system.queues, &queue).await.unwrap(), 1);
    let record = soon(purged.result()).await.unwrap();
    assert!((0.0..60.0).contains(&record.wait_seconds), "{}", record.wait_seconds);
    let mut books = Books::open(&system.queues, "q", 1).await.unwrap();
    while books.totals().ended() < 2 {
        soon(books.next()).await.unwrap();
    }
    assert!(books.totals().wait.sum_seconds < 60.0);
}

#[tokio::test]
async fn a_clock_that_runs_ahead_has_jobs_wait_no_longer() {
    let system = system().await;
    // The server is two hours further than where this machine puts it.
    let clock = ServerClock::fixed(ClockReading { offset_ns: 2 * HOUR_NS, error_ns: 0 }, unix_ns);
    let queues = Queues::open_with_clock(&system.bus, clock).await.unwrap();
    let system = System { queues, ..system };
    let definition = QueueDefinition { max_wait: "1h".parse().unwrap(), ..QueueDefinition::new("q") };
    let queue = system.queue(definition).await;
    let submitter = system.submitter("q", false).await;
    let (mut taker, finisher) = system.worker(&queue);
    let ticket = submitter.submit(job("0")).await.unwrap();
    let item = soon(taker.next_of(1)).await.unwrap();
    assert!(nuncius_jobs::admit(&finisher, item).await.unwrap().is_none(), "by this clock it waited two hours");
    let record = soon(ticket.result()).await.unwrap();
    assert_eq!(record.status, JobStatus::Dropped);
    assert!((7_200.0..7_260.0).contains(&record.wait_seconds), "{}", record.wait_seconds);
}
