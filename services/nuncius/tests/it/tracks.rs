//! Brokers as targets: what a relay has lost, doubled and turned around is told to the message.
//!
//! `NUNCIUS_MESSAGES` says how many there are; fewer than the relay was made for by default.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::Headers;
use nuncius_bus::target::{TargetError, TargetMessage, TargetOptions, connect};
use nuncius_schemas::report::Report;
use nuncius_schemas::track::TrackReport;
use nuncius_testkit::{RabbitMq, Relay, TempDir, TestServer};
use serde::Deserialize;

use crate::harness::nuncius;

fn messages() -> u64 {
    std::env::var("NUNCIUS_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(6_000)
}

/// Seconds that the consumer may take for all of them: two minutes to start, and five hundred messages in each second
/// that follows, which a build without optimisation does.
fn patience_seconds(messages: u64) -> u64 {
    120 + messages / 500
}

/// What becomes of each message: one in a hundred is lost, one doubled, one changes places with the next.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Done {
    lost: u64,
    doubled: u64,
    swapped: u64,
    #[serde(default)]
    sent: u64,
}

/// Passes messages on, and does what it does to every hundredth.
struct Mangler<M> {
    seen: u64,
    held: Option<M>,
    done: Done,
}

impl<M: Clone> Mangler<M> {
    fn new() -> Self {
        Self { seen: 0, held: None, done: Done::default() }
    }

    /// What is to be sent on for a message that came.
    fn pass(&mut self, message: M) -> Vec<M> {
        let place = self.seen % 100;
        self.seen += 1;
        let mut out = match place {
            10 => {
                self.done.lost += 1;
                vec![]
            }
            40 => {
                self.done.doubled += 1;
                vec![message.clone(), message]
            }
            70 => {
                self.held = Some(message);
                return vec![];
            }
            _ => vec![message],
        };
        if let Some(held) = self.held.take() {
            self.done.swapped += 1;
            out.push(held);
        }
        self.done.sent += out.len() as u64;
        out
    }

    /// How many leave, of so many that come.
    fn leaving(count: u64) -> u64 {
        let mut mangler = Mangler::new();
        (0..count).for_each(|_| drop(mangler.pass(())));
        mangler.done.sent
    }
}

/// Runs a test and gives its report.
async fn run(directory: &Path, text: String) -> Report {
    let (file, report) = (directory.join("tracks.yaml"), directory.join("report.json"));
    // What is judged here is not the health of the machine that runs tests.
    let text = format!("lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n{text}");
    std::fs::write(&file, text).unwrap();
    let mut command = nuncius();
    command.arg("run").arg(&file).args(["--quiet", "--json"]).arg(&report).arg("--data").arg(directory.join("data"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0)), "{said}");
    assert!(said.contains("unconfirmed"), "{said}");
    serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap()
}

fn expected(track: &str, published: u64, done: Done) -> TrackReport {
    TrackReport {
        track: track.to_owned(),
        published,
        received: published - done.lost,
        lost: done.lost,
        duplicated: done.doubled,
        reordered: done.swapped,
        unconfirmed: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_of_nats_loses_doubles_and_turns_around_is_told_to_the_message() {
    let _machine = crate::harness::beside_others().await;
    let server = TestServer::start().await.unwrap();
    let directory = TempDir::new("it-tracks").unwrap();
    let options = TargetOptions {
        addresses: vec![([127, 0, 0, 1], server.port()).into()],
        login: None,
        token: None,
        tls: None,
        name: "relay".to_owned(),
        timeout: Duration::from_secs(5),
    };
    let client = connect(options).await.unwrap();
    let mut coming = client.subscribe("in".to_owned(), None).await.unwrap();
    let count = messages();
    let patience = patience_seconds(count);
    let relay = tokio::spawn(async move {
        // What is published while nobody listens is gone. One message tells that somebody does: it finds no answer.
        let (nothing, patience) = (Headers::new(), Duration::from_millis(100));
        while let Err(TargetError::NoResponders) =
            client.request("out".to_owned(), &nothing, Bytes::new(), patience).await
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut mangler: Mangler<TargetMessage> = Mangler::new();
        while mangler.seen < count {
            let message = std::future::poll_fn(|context| coming.poll_next(context)).await.unwrap();
            for message in mangler.pass(message) {
                client.publish("out".to_owned(), &message.headers, message.payload).await.unwrap();
            }
        }
        // What it has sent last is written while it lives.
        (mangler.done, client)
    });
    let leaving = 1 + Mangler::<()>::leaving(count);
    let report = run(
        directory.path(),
        format!(
            "groups:\n- {{name: consume, target: 'nats://127.0.0.1:{port}', users: 1, iterations: 1, \
             timeout: {patience}s, steps: [{{nats: {{subscribe: out, track: t}}}}, \
             {{nats: {{wait: [], messages: {leaving}, timeout: {patience}s}}}}]}}\n\
             - {{name: publish, target: 'nats://127.0.0.1:{port}', users: 1, iterations: {count}, steps: \
             [{{nats: {{publish: in, body: 'message {{{{ iteration() }}}}', track: t}}}}]}}\n",
            port = server.port()
        ),
    )
    .await;
    let (done, _client) = relay.await.unwrap();
    assert!(done.lost >= count / 100 && done.doubled >= count / 100 && done.swapped >= count / 100, "{done:?}");
    assert_eq!(report.tracks, [expected("t", count, done)], "{:?} {:?}", report.reasons, report.groups[0].steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_of_amqp_loses_doubles_and_turns_around_is_told_to_the_message() {
    let _machine = crate::harness::beside_others().await;
    let broker = RabbitMq::start().await.unwrap_or_else(|problem| panic!("{problem}"));
    let directory = TempDir::new("it-tracks").unwrap();
    let count = messages();
    let patience = patience_seconds(count);
    let mut relay = Relay::start(&broker.url(), count).unwrap_or_else(|problem| panic!("{problem}"));
    let leaving = Mangler::<()>::leaving(count);
    let report = run(
        directory.path(),
        format!(
            "groups:\n- {{name: consume, target: '{url}', users: 1, iterations: 1, timeout: {patience}s, \
             steps: [{{consume: {{queue: out, messages: {leaving}, track: t, timeout: {patience}s}}}}]}}\n\
             - {{name: publish, target: '{url}', users: 1, iterations: {count}, steps: \
             [{{publish: {{routing_key: in, body: 'message {{{{ iteration() }}}}', track: t}}}}]}}\n",
            url = broker.url()
        ),
    )
    .await;
    let done: Done = serde_json::from_str(&relay.done()).unwrap();
    assert!(done.lost >= count / 100 && done.doubled >= count / 100 && done.swapped >= count / 100, "{done:?}");
    assert_eq!(report.tracks, [expected("t", count, done)]);
}
