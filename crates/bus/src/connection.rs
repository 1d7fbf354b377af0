//! The connection: made once, kept for ever, watched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nuncius_schemas::subjects::Namespace;
use tokio::sync::watch;

use crate::BusError;
use crate::backoff::jittered;
use crate::peers::{Greeting, greetings};
use crate::refusal::{Refusals, refusal_in};
use crate::roles::UserRole;
use crate::tell::recent::Tellings;

mod exchange;
mod options;
mod tls;

pub use options::{ConnectOptions, Credentials, Tls};

const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests to JetStream's API may take.
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a cluster may take to elect a leader, where nobody said.
const ELECTION_PATIENCE: Duration = Duration::from_secs(30);

/// What happened to the connection since it was made.
#[derive(Debug, Default)]
pub struct Events {
    /// Connections made, the first included.
    pub connected: AtomicU64,
    /// Connections lost.
    pub disconnected: AtomicU64,
    /// Messages dropped because a subscriber of this process was too slow: makes an experiment invalid.
    pub slow_consumer: AtomicU64,
    /// Announcements of the server that it is about to go.
    pub lame_duck: AtomicU64,
    /// Errors the server sent: permissions, stale connection.
    pub server_error: AtomicU64,
    /// Errors of the client library.
    pub client_error: AtomicU64,
}

/// Whether there is a connection, and the how-manieth it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// When the present connection was made; none while there is none.
    pub since: Option<Instant>,
    /// Counts connections made: another number means that the server may have been another process.
    pub generation: u64,
}

/// A connection to the bus; clones share it.
#[derive(Debug, Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    client: async_nats::Client,
    jetstream: async_nats::jetstream::Context,
    namespace: Namespace,
    events: Arc<Events>,
    link: watch::Receiver<Link>,
    closed: watch::Receiver<bool>,
    refusals: watch::Receiver<Refusals>,
    /// `$JS.API`, or that of another domain.
    api_prefix: String,
    inbox_prefix: String,
    tellings: Tellings,
    /// The smallest limit of one message of all servers that are known of, in bytes.
    max_payload_bytes: AtomicUsize,
    options: ConnectOptions,
}

/// Connects. Lost connections are made again for ever, with jittered back-off, to any of the servers and of those that
/// they tell of, in random order; the first is tried once unless `retry_initial_connect` is set.
pub async fn connect(options: ConnectOptions) -> Result<Bus, BusError> {
    let (servers, from_url) = options::servers(&options.urls)?;
    let shown = servers.join(",");
    let credentials = if options.credentials == Credentials::None { from_url } else { options.credentials.clone() };
    let events = Arc::new(Events::default());
    let (link_sender, link) = watch::channel(Link { since: None, generation: 0 });
    let (closed_sender, closed) = watch::channel(false);
    let (refusal_sender, refusals) = watch::channel(Refusals::default());
    let told = Told { events: Arc::clone(&events), link: link_sender, closed: closed_sender, refusals: refusal_sender };
    let inbox_prefix =
        options.role.map_or_else(|| "_INBOX".to_owned(), |role| crate::roles::inbox_prefix(&options.namespace, role));
    let mut nats = async_nats::ConnectOptions::new()
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .reconnect_delay_callback(reconnect_delay)
        .custom_inbox_prefix(&inbox_prefix)
        .event_callback(move |event| {
            told.note(&event);
            std::future::ready(())
        });
    nats = options::prove(nats, credentials).await?;
    nats = tls::apply(nats, &options.tls);
    if options.retry_initial_connect {
        nats = nats.retry_on_initial_connect();
    }
    let client = nats
        .connect(servers)
        .await
        .map_err(|e| BusError::Connect { urls: shown, reason: tls::in_words(&e.to_string(), &options.tls) })?;
    let (api_prefix, mut jetstream) = match &options.domain {
        Some(domain) => (format!("$JS.{domain}.API"), async_nats::jetstream::with_domain(client.clone(), domain)),
        None => ("$JS.API".to_owned(), async_nats::jetstream::new(client.clone())),
    };
    jetstream.set_timeout(API_TIMEOUT);
    let namespace = options.namespace.clone();
    let wait = !options.retry_initial_connect;
    let tellings = Tellings::default();
    let inner = Inner {
        client,
        jetstream,
        namespace,
        events,
        link,
        closed,
        refusals,
        api_prefix,
        inbox_prefix,
        tellings,
        max_payload_bytes: AtomicUsize::new(usize::MAX),
        options,
    };
    let bus = Bus { inner: Arc::new(inner) };
    tokio::spawn(learn_limits(Arc::downgrade(&bus.inner)));
    if wait {
        // The event comes by a channel of its own: a returned bus shall already know that it is connected.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, bus.connected()).await;
    }
    Ok(bus)
}

/// Where what the client library tells goes.
struct Told {
    events: Arc<Events>,
    link: watch::Sender<Link>,
    closed: watch::Sender<bool>,
    refusals: watch::Sender<Refusals>,
}

impl Told {
    fn note(&self, event: &async_nats::Event) {
        use async_nats::Event;
        let counter = match event {
            Event::Connected => {
                self.refusals.send_modify(Refusals::connected_anew);
                self.link.send_modify(|link| {
                    *link = Link { since: Some(Instant::now()), generation: link.generation + 1 };
                });
                tracing::debug!("connected to NATS");
                &self.events.connected
            }
            Event::Disconnected => {
                self.link.send_modify(|link| link.since = None);
                tracing::warn!("connection to NATS lost; trying to get it back");
                &self.events.disconnected
            }
            Event::SlowConsumer(_) => {
                tracing::warn!("a subscriber is too slow: messages were dropped");
                &self.events.slow_consumer
            }
            Event::LameDuckMode => &self.events.lame_duck,
            Event::ServerError(error) => {
                let refusal = match error {
                    async_nats::ServerError::Other(text) => refusal_in(text),
                    async_nats::ServerError::AuthorizationViolation | async_nats::ServerError::SlowConsumer(_) => None,
                };
                match refusal {
                    Some(refusal) => self.refusals.send_modify(|log| log.note(refusal)),
                    None => tracing::warn!(%error, "nats-server reports an error"),
                }
                &self.events.server_error
            }
            Event::ClientError(error) => {
                tracing::debug!(%error, "NATS client error");
                &self.events.client_error
            }
            Event::Closed => {
                self.link.send_modify(|link| link.since = None);
                self.closed.send_replace(true);
                return;
            }
            Event::Draining => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    // The first attempt at once would come from a whole fleet at once.
    let attempt = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    jittered(Duration::from_millis(20), Duration::from_secs(4), attempt)
}

/// Learns the smallest limit of the servers of a cluster, once there is a connection.
async fn learn_limits(of: Weak<Inner>) {
    let Some(mut link) = of.upgrade().map(|inner| inner.link.clone()) else { return };
    if link.wait_for(|link| link.since.is_some()).await.is_err() {
        return;
    }
    // This handle is for as long as servers are asked alone.
    let Some(bus) = of.upgrade().map(|inner| Bus { inner }).filter(Bus::is_clustered) else { return };
    for (address, greeting) in bus.greetings().await {
        match greeting {
            Ok(greeting) => {
                bus.inner.max_payload_bytes.fetch_min(greeting.max_payload_bytes, Ordering::Relaxed);
            }
            Err(problem) => tracing::debug!(address, problem, "a server of the cluster says nothing"),
        }
    }
}

impl Bus {
    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn tellings(&self) -> &Tellings {
        &self.inner.tellings
    }

    pub(crate) fn jetstream(&self) -> &async_nats::jetstream::Context {
        &self.inner.jetstream
    }

    pub(crate) fn refusal_log(&self) -> watch::Receiver<Refusals> {
        self.inner.refusals.clone()
    }

    pub(crate) fn inbox_prefix(&self) -> &str {
        &self.inner.inbox_prefix
    }

    /// The subject of an operation of JetStream's interface: `STREAM.INFO.s`.
    pub(crate) fn api_subject(&self, operation: &str) -> String {
        format!("{}.{operation}", self.inner.api_prefix)
    }

    /// How a key's subject is written to. Another domain's buckets are behind its interface; the subject of what is
    /// stored is the same.
    pub(crate) fn key_subject(&self, subject: String) -> String {
        if self.inner.options.domain.is_some() { self.api_subject(&subject) } else { subject }
    }

    /// The role whose credentials these are.
    pub fn role(&self) -> Option<UserRole> {
        self.inner.options.role
    }

    /// On how many servers streams are to be kept; none where nobody said.
    pub(crate) fn replicas(&self) -> Option<usize> {
        Some(self.inner.options.replicas).filter(|replicas| *replicas > 0)
    }

    /// Whether whoever answers may be missing for a while though the connection stands: a cluster elects a leader, or
    /// JetStream is behind the link of a leaf node.
    pub fn is_apart(&self) -> bool {
        self.is_behind_link() || self.is_clustered()
    }

    /// Whether the server belongs to a cluster.
    fn is_clustered(&self) -> bool {
        self.inner.client.server_info().cluster.is_some()
    }

    /// What every server says that this connection may be made to next: those that were named and those that the
    /// cluster tells of, by address; or why it says nothing.
    pub async fn greetings(&self) -> BTreeMap<String, Result<Greeting, String>> {
        let named = options::servers(&self.inner.options.urls).map(|(servers, _)| servers).unwrap_or_default();
        greetings(named.into_iter().chain(self.inner.client.server_info().connect_urls)).await
    }

    /// Domain of the JetStream of the connected server itself.
    pub fn server_domain(&self) -> Option<String> {
        self.inner.client.server_info().domain.filter(|domain| !domain.is_empty())
    }

    /// Whether JetStream may be behind a link that can be cut.
    pub(crate) fn is_behind_link(&self) -> bool {
        self.inner.options.domain.is_some()
    }

    /// How long a cluster may take to elect a leader.
    pub fn election_patience(&self) -> Duration {
        match self.inner.options.election_patience {
            Duration::ZERO => ELECTION_PATIENCE,
            patience => patience,
        }
    }

    /// Another connection to the same servers, for traffic that must not stand in the way of this one's.
    pub async fn another(&self, name: &str) -> Result<Self, BusError> {
        connect(ConnectOptions { name: name.to_owned(), ..self.inner.options.clone() }).await
    }

    /// The namespace that all subjects come from.
    pub fn namespace(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// What happened to the connection so far.
    pub fn events(&self) -> &Events {
        &self.inner.events
    }

    /// Whether there is a connection now, as a channel that can be waited on.
    pub fn link(&self) -> watch::Receiver<Link> {
        let mut link = self.inner.link.clone();
        // A clone would take everything since the connection was made for news.
        link.mark_unchanged();
        link
    }

    /// How long the present connection has lasted; zero while there is none.
    pub fn connected_for(&self) -> Duration {
        self.inner.link.borrow().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether there is a connection, and others have had `patience` to make theirs anew, where it was lost before.
    pub fn is_settled(&self, patience: Duration) -> bool {
        let link = *self.inner.link.borrow();
        link.since.is_some_and(|since| link.generation <= 1 || since.elapsed() > patience)
    }

    /// Waits until there is a connection.
    pub async fn connected(&self) {
        let mut link = self.link();
        // The sender lives in the client's callback: an error means that the client has gone.
        let _ = link.wait_for(|link| link.since.is_some()).await;
    }

    /// Waits until the connection has been closed for good.
    pub async fn closed(&self) {
        let mut closed = self.inner.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The limit of headers and payload of one message, in bytes: the smallest of the servers of a cluster, as far as
    /// it is known, for the next may have to take what was made for this one.
    pub fn max_payload_bytes(&self) -> usize {
        let now = self.inner.client.max_payload();
        self.inner.max_payload_bytes.fetch_min(now, Ordering::Relaxed).min(now)
    }

    /// Version of the connected server: "2.15.1".
    pub fn server_version(&self) -> String {
        self.inner.client.server_info().version
    }

    /// Asks the server to tell how a message goes through it, where that is wanted.
    fn with_hops(&self, subject: &str, headers: Option<async_nats::HeaderMap>) -> Option<async_nats::HeaderMap> {
        let mut headers = headers?;
        if self.inner.options.trace_hops {
            crate::hops::ask(&mut headers, &self.inner.namespace, subject);
        }
        Some(headers)
    }
}
