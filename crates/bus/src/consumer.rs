//! Durable pull consumers: made, and compared with what was asked.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, IntoConsumerConfig, pull};

use crate::api::{CODE_NO_CONSUMER, CODE_NO_STREAM};
use crate::error::Difference;
use crate::streams::CHANGE_ATTEMPTS;
use crate::{Bus, BusError};

/// A durable pull consumer with explicit acknowledgement, as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerWanted {
    /// The stream.
    pub stream: String,
    /// The consumer's name, shared by all that work on it.
    pub durable: String,
    /// Which subjects; empty for all.
    pub filter: String,
    /// Unacknowledged for this long, a message is delivered again.
    pub ack_wait: Duration,
    /// Most messages in work with all workers together.
    pub max_ack_pending: u64,
    /// Most deliveries; none for no limit. A message over it stays in the stream for ever, unseen.
    pub max_deliver: Option<u64>,
}

impl ConsumerWanted {
    /// Without limit of deliveries, at most 10,000 in work.
    pub fn new(stream: &str, durable: &str, filter: &str, ack_wait: Duration) -> Self {
        Self {
            stream: stream.to_owned(),
            durable: durable.to_owned(),
            filter: filter.to_owned(),
            ack_wait,
            max_ack_pending: 10_000,
            max_deliver: None,
        }
    }
}

/// Field by field, what `echoed` has otherwise than `asked`.
fn differences(asked: &pull::Config, echoed: &async_nats::jetstream::consumer::Config) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field: &'static str, asked: String, echoed: String| {
        if asked != echoed {
            differences.push(Difference { field, asked, echoed });
        }
    };
    compare("ack_wait", format!("{:?}", asked.ack_wait), format!("{:?}", echoed.ack_wait));
    compare("max_deliver", asked.max_deliver.to_string(), echoed.max_deliver.to_string());
    compare("max_ack_pending", asked.max_ack_pending.to_string(), echoed.max_ack_pending.to_string());
    compare("filter_subject", asked.filter_subject.clone(), echoed.filter_subject.clone());
    compare("ack_policy", format!("{:?}", asked.ack_policy), format!("{:?}", echoed.ack_policy));
    compare("max_waiting", asked.max_waiting.to_string(), echoed.max_waiting.to_string());
    differences
}

impl Bus {
    /// Makes the consumer, or changes it to what is wanted; then compares what the server has with what was asked.
    pub async fn ensure_consumer(&self, wanted: &ConsumerWanted) -> Result<(), BusError> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let asked = pull::Config {
            durable_name: Some(wanted.durable.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: wanted.ack_wait,
            max_deliver: wanted.max_deliver.map_or(-1, signed),
            max_ack_pending: signed(wanted.max_ack_pending),
            filter_subject: wanted.filter.clone(),
            // One waiting pull per free worker.
            max_waiting: 4096,
            ..pull::Config::default()
        };
        let stream = wanted.stream.as_str();
        let mut found = Vec::new();
        // The server answers with what the consumer is by then: somebody else may have changed it in between.
        for _ in 0..CHANGE_ATTEMPTS {
            // To make one that is there as it is asked for would end a pause.
            if let Ok(present) = self.consumer_info(stream, &wanted.durable).await
                && differences(&asked, &present.config).is_empty()
            {
                return Ok(());
            }
            let info = self.make_consumer(stream, asked.clone()).await?;
            found = differences(&asked, &info.config);
            if found.is_empty() {
                return Ok(());
            }
        }
        Err(BusError::ConfigMismatch { kind: "consumer", name: wanted.durable.clone(), differences: found })
    }

    /// Makes a consumer with a name, or changes it; what the server has then.
    pub(crate) async fn make_consumer(&self, stream: &str, wanted: pull::Config) -> Result<Info, BusError> {
        let config = wanted.into_consumer_config();
        let name = config.name.clone().or_else(|| config.durable_name.clone()).unwrap_or_default();
        // The filter is in the subject, so that a permission can name it.
        let filter =
            if config.filter_subject.is_empty() { String::new() } else { format!(".{}", config.filter_subject) };
        let operation = format!("CONSUMER.CREATE.{stream}.{name}{filter}");
        let body = serde_json::json!({ "stream_name": stream, "config": config, "action": "" });
        self.api(&operation, &body).await?.map_err(|error| match error.err_code {
            CODE_NO_STREAM => BusError::NotFound { kind: "stream", name: stream.to_owned() },
            _ => BusError::jetstream(format!("making consumer {name} of {stream}"), error.description),
        })
    }

    async fn consumer_info(&self, stream: &str, durable: &str) -> Result<Info, BusError> {
        let answer = self.api(&format!("CONSUMER.INFO.{stream}.{durable}"), &()).await?;
        answer.map_err(|error| match error.err_code {
            CODE_NO_STREAM => BusError::NotFound { kind: "stream", name: stream.to_owned() },
            CODE_NO_CONSUMER => BusError::NotFound { kind: "consumer", name: durable.to_owned() },
            _ => BusError::jetstream(format!("reading consumer {durable} of {stream}"), error.description),
        })
    }

    /// Messages that wait for a consumer, and those in work: (waiting, in work).
    pub async fn consumer_backlog(&self, stream: &str, durable: &str) -> Result<(u64, u64), BusError> {
        let state = self.consumer_state(stream, durable).await?;
        Ok((state.waiting, state.in_work))
    }

    /// How far a consumer is.
    pub async fn consumer_state(&self, stream: &str, durable: &str) -> Result<ConsumerState, BusError> {
        let info = self.consumer_info(stream, durable).await?;
        Ok(ConsumerState {
            waiting: info.num_pending,
            in_work: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            delivered_sequence: info.delivered.stream_sequence,
            acknowledged_sequence: info.ack_floor.stream_sequence,
        })
    }

    /// Has a consumer give nothing (to nobody) until [`Bus::resume_consumer`]; what is asked for stays asked for.
    pub async fn pause_consumer(&self, stream: &str, durable: &str) -> Result<(), BusError> {
        // There is no pause without end: this is the last year that a server's nanoseconds reach.
        self.set_pause(stream, durable, serde_json::json!({ "pause_until": "2261-01-01T00:00:00Z" })).await
    }

    /// Ends a pause; without one nothing changes.
    pub async fn resume_consumer(&self, stream: &str, durable: &str) -> Result<(), BusError> {
        self.set_pause(stream, durable, serde_json::json!({})).await
    }

    async fn set_pause(&self, stream: &str, durable: &str, body: serde_json::Value) -> Result<(), BusError> {
        let what = || format!("pausing consumer {durable} of {stream}");
        self.api_done::<serde::de::IgnoredAny>(what, &format!("CONSUMER.PAUSE.{stream}.{durable}"), &body)
            .await
            .map(drop)
    }
}

/// How far a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerState {
    /// Messages never delivered.
    pub waiting: u64,
    /// Messages delivered and not acknowledged, those whose next delivery is delayed included.
    pub in_work: u64,
    /// Last sequence of the stream that was delivered at least once.
    pub delivered_sequence: u64,
    /// Every message up to this sequence of the stream has been acknowledged.
    pub acknowledged_sequence: u64,
}
