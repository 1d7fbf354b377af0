use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_jobs::take::admit;
use nuncius_jobs::{Finisher, Queues, Submission, Submitter, SubmitterOptions, Taken, Taker};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueDefinition;
use nuncius_testkit::TestServer;
use tokio::sync::watch;

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

pub(crate) struct System {
    pub(crate) server: TestServer,
    pub(crate) bus: Bus,
    pub(crate) queues: Queues,
}

pub(crate) async fn client(server: &TestServer) -> Bus {
    let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
    connect(options).await.unwrap()
}

pub(crate) async fn system() -> System {
    let server = TestServer::start().await.unwrap();
    let bus = client(&server).await;
    nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
    let queues = Queues::open(&bus).await.unwrap();
    System { server, bus, queues }
}

impl System {
    pub(crate) async fn queue(&self, definition: QueueDefinition) -> QueueDefinition {
        self.queues.put(&definition).await.unwrap();
        definition
    }

    pub(crate) async fn submitter(&self, queue: &str, presence: bool) -> Submitter {
        let options = SubmitterOptions { queue: queue.to_owned(), client: "me".to_owned(), presence };
        Submitter::open(&self.bus, options).await.unwrap()
    }

    pub(crate) fn worker(&self, definition: &QueueDefinition) -> (Taker, Finisher) {
        let (sender, definitions) = watch::channel(Arc::new(definition.clone()));
        // Kept for as long as the test runs.
        std::mem::forget(sender);
        let finisher = Finisher::new(&self.queues, definitions);
        (Taker::new(&self.bus, definition, finisher.clone()), finisher)
    }

    /// Waits until the queue has this many jobs.
    pub(crate) async fn jobs(&self, queue: &str, count: u64) {
        let stream = self.bus.namespace().stream_job(queue);
        let seen = nuncius_testkit::eventually(SOON, || async {
            (self.bus.stream_state(&stream).await.unwrap().messages == count).then_some(())
        });
        assert_eq!(seen.await, Some(()), "{queue} does not come to {count} jobs");
    }
}

/// The next attempt.
pub(crate) async fn take(taker: &mut Taker, finisher: &Finisher) -> Taken {
    soon(async {
        loop {
            let item = taker.next_of(1).await.unwrap();
            if let Some(taken) = admit(finisher, item).await.unwrap() {
                return taken;
            }
        }
    })
    .await
}

/// Ends an attempt with this status.
pub(crate) async fn end(finisher: &Finisher, taken: &Taken, status: JobStatus) -> nuncius_jobs::Finish {
    let mut result = taken.result(&finisher.definition().name);
    result.status = status;
    result.worker = Some("w".into());
    result.run_seconds = 0.5;
    soon(finisher.finish(taken, &result, None)).await.unwrap()
}

pub(crate) fn job(argument: &str) -> Submission {
    Submission { args: vec![argument.to_owned()], ..Submission::default() }
}

/// Publishes over a connection of its own what no client library would let through.
pub(crate) fn publish_raw(server: &TestServer, subject: &str, headers: &[(String, String)], payload: &[u8]) {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut head = "NATS/1.0\r\n".to_owned();
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let sizes = format!("{} {}", head.len(), head.len() + payload.len());
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";
    stream.write_all(format!("{connect}HPUB {subject} {sizes}\r\n{head}").as_bytes()).unwrap();
    stream.write_all(payload).unwrap();
    stream.write_all(b"\r\nPING\r\n").unwrap();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        assert!(!line.starts_with("-ERR"), "{subject}: {line}");
        if line == "PONG" {
            return;
        }
    }
    panic!("{subject}: the server ended the connection");
}
