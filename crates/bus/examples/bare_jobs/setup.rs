//! Streams and consumer, as a queue has them.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::DeleteStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::Failure;

pub(crate) const JOBS: &str = "bare_jobs";
pub(crate) const RESULTS: &str = "bare_results";
pub(crate) const CONSUMER: &str = "w";

/// Makes them anew.
pub(crate) async fn run(client: &Client) -> Result<(), Failure> {
    let jetstream = async_nats::jetstream::new(client.clone());
    for stream in [JOBS, RESULTS] {
        if let Err(error) = jetstream.delete_stream(stream).await {
            match error.kind() {
                DeleteStreamErrorKind::JetStream(ref cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                _ => return Err(error.into()),
            }
        }
    }
    let common = Config {
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: 1 << 30,
        allow_direct: true,
        ..Config::default()
    };
    let jobs = Config {
        name: JOBS.to_owned(),
        subjects: vec!["bare.job.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        max_messages: 1_000_000,
        max_message_size: 65_536,
        duplicate_window: Duration::from_secs(60),
        ..common.clone()
    };
    let results = Config {
        name: RESULTS.to_owned(),
        subjects: vec!["bare.result.>".to_owned()],
        retention: RetentionPolicy::Limits,
        max_age: Duration::from_secs(26 * 3600),
        duplicate_window: Duration::from_millis(100),
        ..common
    };
    jetstream.create_stream(jobs).await?;
    jetstream.create_stream(results).await?;
    let consumer = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 100_000,
        max_waiting: 4096,
        ..pull::Config::default()
    };
    jetstream.create_consumer_on_stream(consumer, JOBS).await?;
    Ok(())
}
