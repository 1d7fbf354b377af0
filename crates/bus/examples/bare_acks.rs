//! The baseline of the NATS cell of `scripts/bench`, async-nats alone: so many tasks on one connection each publish a
//! message, wait until the stream has acknowledged it and publish the next.
//!
//! `bare_acks setup URL` makes the stream anew, `bare_acks publish URL IN_FLIGHT SECONDS` is the client: one thread, as
//! a node with `--threads 1` is. With `request` at the end it goes without the publishing of async-nats' JetStream
//! context, which counts those under way, and reads the acknowledgement itself.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const STREAM: &str = "BENCH";
const SUBJECT: &str = "bench.acks";
/// The stream is to be no part of what is measured: it is in memory, and forgets.
const MESSAGES_MAX: i64 = 1_000;

/// What a stream answers to what it is to store.
#[derive(Deserialize)]
struct PubAck {
    error: Option<jetstream::Error>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["setup", url] => setup(url).await,
        ["publish", url, in_flight, seconds] => publish(url, in_flight, seconds, false).await,
        ["publish", url, in_flight, seconds, "request"] => publish(url, in_flight, seconds, true).await,
        _ => Err("usage: bare_acks setup URL | publish URL IN_FLIGHT SECONDS [request]".into()),
    }
}

async fn setup(url: &str) -> Result<(), Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    // There may be none.
    let _ = context.delete_stream(STREAM).await;
    let config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECT.to_owned()],
        max_messages: MESSAGES_MAX,
        storage: stream::StorageType::Memory,
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    Ok(())
}

async fn publish(url: &str, in_flight: &str, seconds: &str, requests: bool) -> Result<(), Failure> {
    let client = async_nats::connect(url).await?;
    let context = jetstream::new(client.clone());
    let seconds: u64 = seconds.parse()?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for task in 0..in_flight.parse::<u32>()? {
        let (client, context) = (client.clone(), context.clone());
        tasks.push(tokio::spawn(async move {
            let mut published = 0;
            while Instant::now() < end {
                // As large as what the sessions beside it publish, and made anew each time as theirs is.
                let payload = Bytes::from(format!(r#"{{"order":"hello","user":"{task}"}}"#));
                if requests {
                    let answer = client.request(SUBJECT, payload).await?;
                    if let Some(error) = serde_json::from_slice::<PubAck>(&answer.payload)?.error {
                        return Err(error.into());
                    }
                } else {
                    context.publish(SUBJECT, payload).await?.await?;
                }
                published += 1;
            }
            Ok::<u32, Failure>(published)
        }));
    }
    let mut published = 0;
    for task in tasks {
        published += task.await??;
    }
    println!("published={published} rate={:.0}", f64::from(published) / seconds as f64);
    Ok(())
}
