//! The baseline of the job queue's bench: the least that durable jobs over JetStream can be made of, in async-nats
//! alone. It makes the steps of the job protocol on the same server: a job is published and acknowledged, pulled,
//! recorded under a subject that must have no record yet, told to the client once it is stored, and acknowledged; no
//! priorities, no retries, no outages.
//!
//! `bare_jobs setup URL`, `bare_jobs worker URL SLOTS`, `bare_jobs client URL IN_FLIGHT SECONDS`. With `early` at the
//! end the client hears records as they are published, also those that are refused: a message less, and a promise less.
#![allow(clippy::print_stdout, reason = "it is a program")]

mod client;
mod messages;
mod setup;
mod worker;

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{Client, HeaderMap, Request};
use bytes::Bytes;
use serde::Deserialize;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (url, work) = match *arguments.as_slice() {
        ["setup", url] => (url, Work::Setup),
        ["worker", url, slots] => (url, Work::Worker(slots.parse()?, true)),
        ["worker", url, slots, "early"] => (url, Work::Worker(slots.parse()?, false)),
        ["client", url, in_flight, seconds] => (url, Work::Client(in_flight.parse()?, seconds.parse()?, true)),
        ["client", url, in_flight, seconds, "early"] => {
            (url, Work::Client(in_flight.parse()?, seconds.parse()?, false))
        }
        _ => return Err("usage: bare_jobs setup URL | worker URL SLOTS | client URL IN_FLIGHT SECONDS [early]".into()),
    };
    // Subjects are made here and known to be fine.
    let client = async_nats::ConnectOptions::new().skip_subject_validation(true).connect(url).await?;
    // In a task: what runs on the main thread is woken from afar each time.
    tokio::spawn(async move {
        match work {
            Work::Setup => setup::run(&client).await,
            Work::Worker(slots, tells) => worker::run(&client, slots, tells).await,
            Work::Client(in_flight, seconds, tells) => {
                client::run(&client, in_flight, Duration::from_secs(seconds), tells).await
            }
        }
    })
    .await?
}

enum Work {
    Setup,
    Worker(usize, bool),
    Client(u32, u64, bool),
}

/// What a stream answers to what it is to store.
#[derive(Deserialize)]
struct PubAck {
    error: Option<async_nats::jetstream::Error>,
}

/// Publishes into a stream and waits for its answer: whether it was stored; if not, its subject had a message already.
///
/// A request: it costs a tenth less than the publishing of async-nats' JetStream context, which counts those under way.
async fn publish_acked(client: &Client, subject: String, headers: HeaderMap, payload: Bytes) -> Result<bool, Failure> {
    let request = Request::new().headers(headers).payload(payload).timeout(Some(ACK_TIMEOUT));
    let answer = client.send_request(subject, request).await?;
    match serde_json::from_slice::<PubAck>(&answer.payload)?.error {
        None => Ok(true),
        Some(error) if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Ok(false),
        Some(error) => Err(error.into()),
    }
}
