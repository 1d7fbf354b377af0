//! The system itself: the NATS server, streams and consumers, leases, daemons, this gateway.

use axum::extract::State;
use axum::response::Response;
use hyper::Method;
use nuncius_control::ControlError;
use nuncius_schemas::node::Role;
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

/// Streams that are told of.
const STREAMS_MAX: usize = 500;
/// Consumers of one stream that are told of.
const CONSUMERS_MAX: usize = 100;
/// Servers that are told of.
const SERVERS_MAX: usize = 256;
/// How long servers may take to answer: nobody knows how many they are.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let about = "The NATS server, streams and consumers, leases, daemons, this gateway.";
    vec![Endpoint::new(Method::GET, "/system", "get-system", about, get).gives_json::<System>()]
}

/// The system.
#[derive(Debug, Serialize, JsonSchema)]
struct System {
    namespace: String,
    nats: Nats,
    /// Streams of the account, by name.
    streams: Vec<Stream>,
    /// Who holds what.
    leases: Vec<Lease>,
    /// Daemons in the registry.
    daemons: Vec<Member>,
    /// Gateways in the registry.
    gateways: Vec<Member>,
    gateway: Gateway,
    /// What could not be asked, and why.
    missing: Vec<String>,
}

/// The bus.
#[derive(Debug, Serialize, JsonSchema)]
struct Nats {
    /// Version of the connected server.
    version: String,
    connected_seconds: f64,
    /// Connections of this gateway that were lost.
    disconnects: u64,
    /// Messages dropped because this gateway was too slow.
    slow_consumer_messages: u64,
    storage_bytes: Option<u64>,
    storage_limit_bytes: Option<u64>,
    /// What the servers say of themselves; empty without credentials of their system account.
    servers: Vec<Server>,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
struct Server {
    name: String,
    version: String,
    cluster: String,
    connections: u64,
    slow_consumers: u64,
    cpu_cores: f64,
    memory_bytes: u64,
    store_bytes: Option<u64>,
    store_limit_bytes: Option<u64>,
}

/// A stream.
#[derive(Debug, Serialize, JsonSchema)]
struct Stream {
    name: String,
    messages: u64,
    bytes: u64,
    last_sequence: u64,
    max_messages: Option<u64>,
    max_bytes: Option<u64>,
    /// Those that outlive their readers; the rest is counted.
    consumers: Vec<Consumer>,
    consumers_total: u64,
}

/// A consumer.
#[derive(Debug, Serialize, JsonSchema)]
struct Consumer {
    name: String,
    pending: u64,
    ack_pending: u64,
    redelivered: u64,
    waiting_pulls: u64,
}

/// A lease.
#[derive(Debug, Serialize, JsonSchema)]
struct Lease {
    /// `run.ID`, `queue.NAME` and so on.
    key: String,
    holder: String,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
struct Member {
    name: String,
    host: String,
    version: String,
    started_unix_ms: u64,
    round_trip_ns: u64,
}

/// This gateway.
#[derive(Debug, Serialize, JsonSchema)]
struct Gateway {
    version: &'static str,
    read_only: bool,
    tokens: bool,
    live_clients_max: usize,
    /// Whether runs, nodes and queues have been read.
    complete: bool,
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    Ok(answer::tagged(&asked.headers, &system(&api).await))
}

/// The system as JSON.
///
/// # Errors
/// What has no JSON form.
pub(crate) async fn told(api: &ApiState) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(system(api).await).map_err(|error| Problem::internal(error.to_string()))
}

async fn system(api: &ApiState) -> System {
    use std::sync::atomic::Ordering::Relaxed;
    let bus = api.bus();
    let mut missing = Vec::new();
    let account = noted(&mut missing, "the account", bus.account().await);
    let streams = noted(&mut missing, "the streams", streams(api).await).unwrap_or_default();
    let leases = noted(&mut missing, "the leases", leases(api).await).unwrap_or_default();
    let servers = noted(&mut missing, "the servers", servers(api).await).unwrap_or_default();
    let nodes = api.known().nodes();
    let members = |role: Role| {
        let of_role = nodes.iter().filter(|node| node.role == role);
        let member = |node: &std::sync::Arc<nuncius_schemas::node::NodeInfo>| Member {
            name: node.name.clone(),
            host: node.host.clone(),
            version: node.version.clone(),
            started_unix_ms: node.started_unix_ms,
            round_trip_ns: node.round_trip_ns,
        };
        of_role.map(member).collect()
    };
    let events = bus.events();
    System {
        namespace: bus.namespace().as_str().to_owned(),
        nats: Nats {
            version: bus.server_version(),
            connected_seconds: bus.connected_for().as_secs_f64().round(),
            disconnects: events.disconnected.load(Relaxed),
            slow_consumer_messages: events.slow_consumer.load(Relaxed),
            storage_bytes: account.as_ref().map(|account| account.storage_bytes),
            storage_limit_bytes: account.as_ref().and_then(|account| account.storage_limit_bytes),
            servers,
        },
        streams,
        leases,
        daemons: members(Role::Experimentd),
        gateways: members(Role::Gateway),
        gateway: Gateway {
            version: env!("CARGO_PKG_VERSION"),
            read_only: api.access().settings().read_only,
            tokens: api.access().asks_for_tokens(),
            live_clients_max: api.settings().live_clients_max,
            complete: api.known().is_complete(),
        },
        missing,
    }
}

/// What was answered; what was not is noted.
fn noted<T, E: std::fmt::Display>(missing: &mut Vec<String>, what: &str, answer: Result<T, E>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            missing.push(format!("{what}: {error}"));
            None
        }
    }
}

async fn streams(api: &ApiState) -> Result<Vec<Stream>, ControlError> {
    let mut all = Vec::new();
    for stream in api.bus().stream_figures(STREAMS_MAX).await? {
        let found = api.bus().consumer_figures(&stream.name, CONSUMERS_MAX).await.unwrap_or_default();
        let durable = found.into_iter().filter(|consumer| consumer.is_durable);
        let consumers = durable.map(|consumer| Consumer {
            name: consumer.name,
            pending: consumer.pending,
            ack_pending: consumer.ack_pending,
            redelivered: consumer.redelivered,
            waiting_pulls: consumer.waiting_pulls,
        });
        all.push(Stream {
            name: stream.name,
            messages: stream.messages,
            bytes: stream.bytes,
            last_sequence: stream.last_sequence,
            max_messages: stream.max_messages,
            max_bytes: stream.max_bytes,
            consumers: consumers.collect(),
            consumers_total: stream.consumers,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

async fn leases(api: &ApiState) -> Result<Vec<Lease>, ControlError> {
    let bucket = api.bus().kv(&api.bus().namespace().bucket_lease()).await?;
    let entries = bucket.entries(">").await?;
    let lease = |entry: nuncius_bus::kv::Entry| {
        let value: serde_json::Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        let holder = value.get("holder").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        Lease { key: entry.key, holder }
    };
    let mut leases: Vec<Lease> = entries.into_iter().take(api.settings().rows_max).map(lease).collect();
    leases.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(leases)
}

async fn servers(api: &ApiState) -> Result<Vec<Server>, String> {
    let Some(bus) = api.system_bus().await.map_err(|problem| problem.detail().to_owned())? else {
        return Ok(Vec::new());
    };
    let servers = bus.server_figures(PATIENCE, SERVERS_MAX).await.map_err(|error| error.to_string())?;
    let server = |server: nuncius_bus::inventory::ServerFigures| Server {
        name: server.name,
        version: server.version,
        cluster: server.cluster,
        connections: server.connections,
        slow_consumers: server.slow_consumers,
        cpu_cores: server.cpu_cores,
        memory_bytes: server.memory_bytes,
        store_bytes: server.store_bytes,
        store_limit_bytes: server.store_limit_bytes,
    };
    Ok(servers.into_iter().map(server).collect())
}
