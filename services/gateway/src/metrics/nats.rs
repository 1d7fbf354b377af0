//! How the bus itself fares: asked every few seconds, of the servers where there are credentials of a system account,
//! and always of the streams and consumers of the own account.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use nuncius_bus::inventory::{ConsumerFigures, ServerFigures, StreamFigures};
use nuncius_bus::streams::Account;
use nuncius_bus::{Bus, BusError, ConnectOptions, connect};
use nuncius_metrics::Families;
use nuncius_metrics::names::nats as names;
use tokio::time::MissedTickBehavior;

use super::{MetricsSettings, MetricsState};

/// How long servers may take to answer: nobody knows how many they are.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most servers that are shown.
const SERVERS_MAX: usize = 256;
/// What is older than so many periods is not shown any more.
const PERIODS: u32 = 4;

/// Questions that may go unanswered.
const QUESTIONS: [&str; 4] = ["account", "streams", "consumers", "servers"];

/// What was answered last.
#[derive(Debug, Default)]
pub(crate) struct Nats(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    account: Option<Account>,
    streams: Vec<StreamFigures>,
    consumers: Vec<(String, ConsumerFigures)>,
    own_at: Option<Instant>,
    servers: Vec<(ServerFigures, u64)>,
    servers_at: Option<Instant>,
    errors: BTreeMap<&'static str, u64>,
}

impl Nats {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series.
    pub(crate) fn families(&self, settings: &MetricsSettings) -> Families {
        let known = self.lock();
        let life = settings.nats_period * PERIODS;
        let mut families = Families::new();
        for what in QUESTIONS {
            families.count(&names::SCRAPE_ERRORS, &[what], known.errors.get(what).copied().unwrap_or(0));
        }
        if known.own_at.is_some_and(|at| at.elapsed() < life) {
            known.own_families(&mut families);
        }
        if known.servers_at.is_some_and(|at| at.elapsed() < life) {
            for (server, pending_bytes) in &known.servers {
                server_families(&mut families, server, *pending_bytes);
            }
        }
        families
    }
}

impl Known {
    fn own_families(&self, families: &mut Families) {
        if let Some(account) = &self.account {
            families.count(&names::ACCOUNT_STORE_BYTES, &[], account.storage_bytes);
            if let Some(limit_bytes) = account.storage_limit_bytes {
                families.count(&names::ACCOUNT_STORE_LIMIT_BYTES, &[], limit_bytes);
            }
            families.count(&names::ACCOUNT_STREAMS, &[], account.streams as u64);
        }
        families.count(&names::ACCOUNT_CONSUMERS, &[], self.streams.iter().map(|stream| stream.consumers).sum());
        for stream in &self.streams {
            let own: &[&str] = &[&stream.name];
            families.count(&names::STREAM_MESSAGES, own, stream.messages);
            families.count(&names::STREAM_BYTES, own, stream.bytes);
            if let Some(limit) = stream.max_bytes {
                families.count(&names::STREAM_LIMIT_BYTES, own, limit);
            }
            if let Some(limit) = stream.max_messages {
                families.count(&names::STREAM_LIMIT_MESSAGES, own, limit);
            }
            families.count(&names::STREAM_PUBLISHED_MESSAGES, own, stream.last_sequence);
            families.count(&names::STREAM_CONSUMERS, own, stream.consumers);
        }
        for (stream, consumer) in &self.consumers {
            let own: &[&str] = &[stream, &consumer.name];
            families.count(&names::CONSUMER_PENDING_MESSAGES, own, consumer.pending);
            families.count(&names::CONSUMER_ACK_PENDING_MESSAGES, own, consumer.ack_pending);
            families.count(&names::CONSUMER_REDELIVERED_MESSAGES, own, consumer.redelivered);
            families.count(&names::CONSUMER_WAITING_PULLS, own, consumer.waiting_pulls);
        }
    }
}

fn server_families(families: &mut Families, server: &ServerFigures, pending_bytes: u64) {
    let own: &[&str] = &[&server.name];
    families.info(&names::SERVER_INFO, &[&server.name, &server.version, &server.cluster]);
    if let Some(started_unix_ns) = server.started_unix_ns {
        families.number(&names::SERVER_START_TIME_SECONDS, own, started_unix_ns as f64 / 1e9);
    }
    families.count(&names::SERVER_CONNECTIONS, own, server.connections);
    families.count(&names::SERVER_SUBSCRIPTIONS, own, server.subscriptions);
    families.count(&names::SERVER_SLOW_CONSUMERS, own, server.slow_consumers);
    families.count(&names::SERVER_PENDING_BYTES, own, pending_bytes);
    families.count(&names::SERVER_IN_MESSAGES, own, server.in_messages);
    families.count(&names::SERVER_OUT_MESSAGES, own, server.out_messages);
    families.count(&names::SERVER_IN_BYTES, own, server.in_bytes);
    families.count(&names::SERVER_OUT_BYTES, own, server.out_bytes);
    families.number(&names::SERVER_CPU_CORES, own, server.cpu_cores);
    families.count(&names::SERVER_MEMORY_BYTES, own, server.memory_bytes);
    if let Some(bytes) = server.store_bytes {
        families.count(&names::SERVER_STORE_BYTES, own, bytes);
    }
    if let Some(bytes) = server.store_limit_bytes {
        families.count(&names::SERVER_STORE_LIMIT_BYTES, own, bytes);
    }
    if let Some(errors) = server.api_errors {
        families.count(&names::SERVER_API_ERRORS, own, errors);
    }
}

/// Asks for ever.
pub(crate) fn ask(state: MetricsState) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let settings = state.shown.settings.clone();
        let mut system = None;
        let mut ticks = tokio::time::interval(settings.nats_period.max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Whoever is away is not asked: it would only be waited for.
            state.bus.connected().await;
            own(&state).await;
            if let Some(options) = &settings.system {
                servers(&state, options, &mut system).await;
            }
        }
    })
}

fn failed(state: &MetricsState, what: &'static str, error: &BusError) {
    tracing::debug!(what, %error, "not answered");
    *state.shown.nats.lock().errors.entry(what).or_default() += 1;
}

/// Streams and consumers of the own account.
async fn own(state: &MetricsState) {
    let most = state.shown.settings.family_series_max;
    match state.bus.account().await {
        Ok(account) => state.shown.nats.lock().account = Some(account),
        Err(error) => failed(state, "account", &error),
    }
    let streams = match state.bus.stream_figures(most).await {
        Ok(streams) => streams,
        Err(error) => return failed(state, "streams", &error),
    };
    let mut consumers: Vec<(String, ConsumerFigures)> = Vec::new();
    for stream in streams.iter().filter(|stream| stream.consumers > 0) {
        let room = most.saturating_sub(consumers.len());
        if room == 0 {
            break;
        }
        match state.bus.consumer_figures(&stream.name, room).await {
            // Readers come and go, each under a name of its own: only those that stay have series.
            Ok(of_stream) => consumers.extend(
                of_stream.into_iter().filter(|consumer| consumer.is_durable).map(|one| (stream.name.clone(), one)),
            ),
            // Gone meanwhile.
            Err(BusError::NotFound { .. }) => {}
            Err(error) => failed(state, "consumers", &error),
        }
    }
    let mut known = state.shown.nats.lock();
    (known.streams, known.consumers, known.own_at) = (streams, consumers, Some(Instant::now()));
}

/// The servers, over a connection to their system account.
async fn servers(state: &MetricsState, options: &ConnectOptions, system: &mut Option<Bus>) {
    let bus = match system {
        Some(bus) => bus,
        None => match connect(options.clone()).await {
            Ok(bus) => system.insert(bus),
            Err(error) => return failed(state, "servers", &error),
        },
    };
    match figures(bus).await {
        Ok(servers) => {
            let mut known = state.shown.nats.lock();
            (known.servers, known.servers_at) = (servers, Some(Instant::now()));
        }
        Err(error) => {
            failed(state, "servers", &error);
            *system = None;
        }
    }
}

async fn figures(bus: &Bus) -> Result<Vec<(ServerFigures, u64)>, BusError> {
    let servers = bus.server_figures(PATIENCE, SERVERS_MAX).await?;
    let pending: BTreeMap<String, u64> = bus.pending_bytes(PATIENCE, SERVERS_MAX).await?.into_iter().collect();
    let pending_of = |server: &ServerFigures| pending.get(&server.name).copied().unwrap_or(0);
    Ok(servers.into_iter().map(|server| (server.clone(), pending_of(&server))).collect())
}
