//! What there is on the servers, to be shown: streams and consumers of the own account, and, for whoever has the
//! credentials of a system account, the servers themselves.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::streams::parse_time;
use crate::{Bus, BusError};

/// A stream as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFigures {
    /// Its name.
    pub name: String,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Sequence of the last message that was ever stored.
    pub last_sequence: u64,
    /// Its consumers.
    pub consumers: u64,
    /// Most messages, where that is limited.
    pub max_messages: Option<u64>,
    /// Most bytes, where that is limited.
    pub max_bytes: Option<u64>,
}

/// A consumer as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerFigures {
    /// Its name.
    pub name: String,
    /// Whether it outlives those who read by it.
    pub is_durable: bool,
    /// Messages that it has yet to give.
    pub pending: u64,
    /// Messages that it has given and that are not acknowledged.
    pub ack_pending: u64,
    /// Messages of these that were given more than once.
    pub redelivered: u64,
    /// Pulls that wait for a message.
    pub waiting_pulls: u64,
}

/// A server as it stands; what it does not say is 0 or absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerFigures {
    /// Its name.
    pub name: String,
    /// "2.15.1".
    pub version: String,
    /// The cluster that it is in; empty for none.
    pub cluster: String,
    /// When it started, nanoseconds since the Unix epoch.
    pub started_unix_ns: Option<i64>,
    /// Connections to it.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Connections that it ended because they did not read fast enough.
    pub slow_consumers: u64,
    /// Messages received, and sent.
    pub in_messages: u64,
    /// See `in_messages`.
    pub out_messages: u64,
    /// Bytes received, and sent.
    pub in_bytes: u64,
    /// See `in_bytes`.
    pub out_bytes: u64,
    /// Processors that it uses: 1 is one whole core.
    pub cpu_cores: f64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes of streams on its disk.
    pub store_bytes: Option<u64>,
    /// Most bytes that it may keep there.
    pub store_limit_bytes: Option<u64>,
    /// Requests to JetStream's interface that it refused.
    pub api_errors: Option<u64>,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    total: u64,
    // Null where there are none.
    #[serde(alias = "streams", alias = "consumers")]
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct WireStream {
    config: WireStreamConfig,
    state: WireStreamState,
}

#[derive(Deserialize)]
struct WireStreamConfig {
    name: String,
    #[serde(default)]
    max_msgs: i64,
    #[serde(default)]
    max_bytes: i64,
}

#[derive(Deserialize)]
struct WireStreamState {
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    last_seq: u64,
    #[serde(default)]
    consumer_count: u64,
}

#[derive(Deserialize)]
struct WireConsumer {
    name: String,
    #[serde(default)]
    config: WireConsumerConfig,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
}

#[derive(Default, Deserialize)]
struct WireConsumerConfig {
    durable_name: Option<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    server: WireServer,
    data: Option<T>,
}

#[derive(Deserialize)]
struct WireServer {
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireVariables {
    version: String,
    start: String,
    cluster: WireCluster,
    connections: u64,
    subscriptions: u64,
    slow_consumers: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    cpu: f64,
    mem: u64,
    jetstream: Option<WireJetStream>,
}

#[derive(Default, Deserialize)]
struct WireCluster {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct WireJetStream {
    config: Option<WireJetStreamConfig>,
    stats: Option<WireJetStreamStats>,
}

#[derive(Deserialize)]
struct WireJetStreamConfig {
    #[serde(default)]
    max_storage: i64,
}

#[derive(Deserialize)]
struct WireJetStreamStats {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    api: WireApi,
}

#[derive(Default, Deserialize)]
struct WireApi {
    #[serde(default)]
    errors: u64,
}

#[derive(Deserialize)]
struct WireConnections {
    #[serde(default)]
    connections: Option<Vec<WireConnection>>,
}

#[derive(Deserialize)]
struct WireConnection {
    #[serde(default)]
    pending_bytes: u64,
}

impl Bus {
    /// The streams of the own account, at most so many.
    ///
    /// # Errors
    /// When JetStream does not answer, or not to us.
    pub async fn stream_figures(&self, most: usize) -> Result<Vec<StreamFigures>, BusError> {
        let limit = |limit: i64| u64::try_from(limit).ok();
        let streams: Vec<WireStream> = self.pages("STREAM.LIST", most).await?;
        let figures = streams.into_iter().map(|WireStream { config, state }| StreamFigures {
            name: config.name,
            messages: state.messages,
            bytes: state.bytes,
            last_sequence: state.last_seq,
            consumers: state.consumer_count,
            // −1 or 0 for none.
            max_messages: limit(config.max_msgs).filter(|most| *most > 0),
            max_bytes: limit(config.max_bytes).filter(|most| *most > 0),
        });
        Ok(figures.collect())
    }

    /// The consumers of a stream, at most so many.
    ///
    /// # Errors
    /// As [`Self::stream_figures`].
    pub async fn consumer_figures(&self, stream: &str, most: usize) -> Result<Vec<ConsumerFigures>, BusError> {
        let operation = format!("CONSUMER.LIST.{stream}");
        let consumers: Vec<WireConsumer> = self.pages(&operation, most).await?;
        let figures = consumers.into_iter().map(|consumer| ConsumerFigures {
            name: consumer.name,
            is_durable: consumer.config.durable_name.is_some(),
            pending: consumer.num_pending,
            ack_pending: consumer.num_ack_pending,
            redelivered: consumer.num_redelivered,
            waiting_pulls: consumer.num_waiting,
        });
        Ok(figures.collect())
    }

    async fn pages<T: serde::de::DeserializeOwned>(&self, operation: &str, most: usize) -> Result<Vec<T>, BusError> {
        let mut all = Vec::new();
        loop {
            let body = serde_json::json!({ "offset": all.len() });
            let what = || format!("asking for {operation}");
            let page: Page<T> = self.api_done(what, operation, &body).await?;
            let total = page.total;
            let more = page.items.unwrap_or_default();
            let is_last = more.is_empty();
            all.extend(more);
            if is_last || all.len() as u64 >= total || all.len() >= most {
                all.truncate(most);
                return Ok(all);
            }
        }
    }

    /// All servers that answer in time, at most so many. For a connection to the system account.
    ///
    /// # Errors
    /// [`BusError`] where nothing can be asked.
    pub async fn server_figures(&self, patience: Duration, most: usize) -> Result<Vec<ServerFigures>, BusError> {
        let answers = self.ask_all("$SYS.REQ.SERVER.PING.VARZ", Bytes::new(), patience, most).await?;
        let read = |bytes: &Bytes| serde_json::from_slice::<Answer<WireVariables>>(bytes).ok();
        Ok(answers.iter().filter_map(read).filter_map(figures_of).collect())
    }

    /// For each server that answers in time how many bytes its connections have yet to read. As
    /// [`Self::server_figures`].
    ///
    /// # Errors
    /// [`BusError`] where nothing can be asked.
    pub async fn pending_bytes(&self, patience: Duration, most: usize) -> Result<Vec<(String, u64)>, BusError> {
        // Those that have most come first.
        let question = Bytes::from_static(br#"{"limit":1024,"sort":"pending"}"#);
        let answers = self.ask_all("$SYS.REQ.SERVER.PING.CONNZ", question, patience, most).await?;
        let read = |bytes: &Bytes| serde_json::from_slice::<Answer<WireConnections>>(bytes).ok();
        let sum = |answer: Answer<WireConnections>| {
            let connections = answer.data?.connections.unwrap_or_default();
            let bytes = connections.iter().fold(0u64, |sum, one| sum.saturating_add(one.pending_bytes));
            Some((answer.server.name, bytes))
        };
        Ok(answers.iter().filter_map(read).filter_map(sum).collect())
    }

    /// Asks whoever hears, and takes the answers that come within `patience`, at most so many: nobody knows how many
    /// there will be.
    ///
    /// # Errors
    /// [`BusError`] where nothing can be asked.
    pub async fn ask_all(
        &self,
        subject: &str,
        question: Bytes,
        patience: Duration,
        most: usize,
    ) -> Result<Vec<Bytes>, BusError> {
        let inbox = self.new_inbox();
        let mut answers = self.subscribe(&inbox).await?;
        self.publish_asking(subject, &inbox, question).await?;
        let mut all = Vec::new();
        let deadline = Instant::now() + patience;
        while all.len() < most {
            match timeout_at(deadline, answers.next()).await {
                // Nobody is there who could answer.
                Ok(Some(message)) if message.payload.is_empty() => break,
                Ok(Some(message)) => all.push(message.payload),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(all)
    }
}

fn figures_of(answer: Answer<WireVariables>) -> Option<ServerFigures> {
    let told = answer.data?;
    let stats = told.jetstream.as_ref().and_then(|jetstream| jetstream.stats.as_ref());
    let config = told.jetstream.as_ref().and_then(|jetstream| jetstream.config.as_ref());
    Some(ServerFigures {
        name: answer.server.name,
        started_unix_ns: parse_time(&told.start),
        version: told.version,
        cluster: told.cluster.name,
        connections: told.connections,
        subscriptions: told.subscriptions,
        slow_consumers: told.slow_consumers,
        in_messages: told.in_msgs,
        out_messages: told.out_msgs,
        in_bytes: told.in_bytes,
        out_bytes: told.out_bytes,
        // Told as percent of one core.
        cpu_cores: told.cpu / 100.0,
        memory_bytes: told.mem,
        store_bytes: stats.map(|stats| stats.storage),
        store_limit_bytes: config.and_then(|config| u64::try_from(config.max_storage).ok()).filter(|most| *most > 0),
        api_errors: stats.map(|stats| stats.api.errors),
    })
}
