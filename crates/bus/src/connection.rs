//! The connection: made once, kept for ever, watched.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_schemas::subjects::Namespace;
use tokio::sync::watch;

use crate::backoff::jittered;
use crate::message::{Message, Subscription};
use crate::{BusError, Headers};

const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests to JetStream's API may take.
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How one proves who one is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by user information in the URL.
    #[default]
    None,
    /// User and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// A `.creds` file with JWT and seed.
    File(PathBuf),
    /// An nkey seed.
    Nkey(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(redacted)",
            Self::Token(_) => "Token(redacted)",
            Self::File(_) => "File",
            Self::Nkey(_) => "Nkey(redacted)",
        })
    }
}

/// TLS towards the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Refuse to talk without it.
    pub require: bool,
    /// A PEM file with the authority that signed the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// PEM files with the client's certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// How to connect.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Servers, `nats://[user:password@|token@]host:port`; a value may list several with commas.
    pub urls: Vec<String>,
    /// What everything on the bus starts with.
    pub namespace: Namespace,
    /// How this connection is called in the server's `/connz`.
    pub name: String,
    /// Beats user information in a URL.
    pub credentials: Credentials,
    /// TLS.
    pub tls: Tls,
    /// Own prefix of reply subjects, where permissions ask for one; `_INBOX` otherwise.
    pub inbox_prefix: Option<String>,
    /// Whether the first connection is tried for ever too, instead of failing.
    pub retry_initial_connect: bool,
}

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
struct Inner {
    client: async_nats::Client,
    jetstream: async_nats::jetstream::Context,
    namespace: Namespace,
    events: Arc<Events>,
    link: watch::Receiver<Link>,
    closed: watch::Receiver<bool>,
    options: ConnectOptions,
}

/// Connects. Lost connections are made again for ever, with jittered back-off; the first is tried once unless
/// `retry_initial_connect` is set.
pub async fn connect(options: ConnectOptions) -> Result<Bus, BusError> {
    let (servers, from_url) = servers(&options.urls)?;
    let shown = servers.join(",");
    let credentials = if options.credentials == Credentials::None { from_url } else { options.credentials.clone() };
    let events = Arc::new(Events::default());
    let (link_sender, link) = watch::channel(Link { since: None, generation: 0 });
    let (closed_sender, closed) = watch::channel(false);
    let counted = Arc::clone(&events);
    let (link_sender, closed_sender) = (Arc::new(link_sender), Arc::new(closed_sender));
    let mut nats = async_nats::ConnectOptions::new()
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            note(&event, &counted, &link_sender, &closed_sender);
            std::future::ready(())
        });
    nats = match credentials {
        Credentials::None => nats,
        Credentials::Password { user, password } => nats.user_and_password(user, password),
        Credentials::Token(token) => nats.token(token),
        Credentials::Nkey(seed) => nats.nkey(seed),
        Credentials::File(path) => nats
            .credentials_file(&path)
            .await
            .map_err(|e| BusError::Options(format!("credentials file {}: {e}", path.display())))?,
    };
    nats = nats.require_tls(options.tls.require);
    if let Some(ca_file) = &options.tls.ca_file {
        nats = nats.add_root_certificates(ca_file.clone());
    }
    if let Some((certificate, key)) = &options.tls.client_certificate {
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(prefix) = &options.inbox_prefix {
        nats = nats.custom_inbox_prefix(prefix);
    }
    if options.retry_initial_connect {
        nats = nats.retry_on_initial_connect();
    }
    let failed = |reason: String| BusError::Connect { urls: shown.clone(), reason };
    let client = nats.connect(servers.clone()).await.map_err(|e| failed(e.to_string()))?;
    let mut jetstream = async_nats::jetstream::new(client.clone());
    jetstream.set_timeout(API_TIMEOUT);
    let namespace = options.namespace.clone();
    let wait = !options.retry_initial_connect;
    let bus = Bus { inner: Arc::new(Inner { client, jetstream, namespace, events, link, closed, options }) };
    if wait {
        // The event comes by a channel of its own: a returned bus shall already know that it is connected.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, bus.connected()).await;
    }
    Ok(bus)
}

fn note(event: &async_nats::Event, events: &Events, link: &watch::Sender<Link>, closed: &watch::Sender<bool>) {
    use async_nats::Event;
    let counter = match event {
        Event::Connected => {
            link.send_modify(|link| {
                *link = Link { since: Some(Instant::now()), generation: link.generation + 1 };
            });
            tracing::debug!("connected to NATS");
            &events.connected
        }
        Event::Disconnected => {
            link.send_modify(|link| link.since = None);
            tracing::warn!("connection to NATS lost; trying to get it back");
            &events.disconnected
        }
        Event::SlowConsumer(_) => {
            tracing::warn!("a subscriber is too slow: messages were dropped");
            &events.slow_consumer
        }
        Event::LameDuckMode => &events.lame_duck,
        Event::ServerError(error) => {
            tracing::warn!(%error, "nats-server reports an error");
            &events.server_error
        }
        Event::ClientError(error) => {
            tracing::debug!(%error, "NATS client error");
            &events.client_error
        }
        Event::Closed => {
            link.send_modify(|link| link.since = None);
            closed.send_replace(true);
            return;
        }
        Event::Draining => return,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn reconnect_delay(attempts: usize) -> Duration {
    // The first attempt at once would come from a whole fleet at once.
    let attempt = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    jittered(Duration::from_millis(20), Duration::from_secs(4), attempt)
}

/// URLs without user information, and the credentials that were in the first that had some.
fn servers(urls: &[String]) -> Result<(Vec<String>, Credentials), BusError> {
    let mut servers = Vec::new();
    let mut credentials = Credentials::None;
    for url in urls.iter().flat_map(|urls| urls.split(',')).map(str::trim).filter(|url| !url.is_empty()) {
        let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
        let (info, host) = rest.rsplit_once('@').map_or((None, rest), |(info, host)| (Some(info), host));
        if let (Some(info), Credentials::None) = (info, &credentials) {
            credentials = match info.split_once(':') {
                Some((user, password)) => {
                    Credentials::Password { user: percent_decoded(user)?, password: percent_decoded(password)? }
                }
                None => Credentials::Token(percent_decoded(info)?),
            };
        }
        servers.push(format!("{scheme}://{host}"));
    }
    if servers.is_empty() {
        return Err(BusError::Options("no server: give a URL such as nats://127.0.0.1:4222".to_owned()));
    }
    Ok((servers, credentials))
}

fn percent_decoded(text: &str) -> Result<String, BusError> {
    let bad = || BusError::Options("user information in a NATS URL is not percent-encoded UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next()).ok_or_else(bad)?, digit(rest.next()).ok_or_else(bad)?);
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

impl Bus {
    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    pub(crate) fn jetstream(&self) -> &async_nats::jetstream::Context {
        &self.inner.jetstream
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

    /// Waits until there is a connection.
    pub async fn connected(&self) {
        let mut link = self.link();
        // The sender lives in the client's callback: an error means that the client has gone.
        let _ = link.wait_for(|link| link.since.is_some()).await;
    }

    /// The server's limit of headers and payload of one message, in bytes.
    pub fn max_payload_bytes(&self) -> usize {
        self.inner.client.max_payload()
    }

    /// Version of the connected server: "2.15.1".
    pub fn server_version(&self) -> String {
        self.inner.client.server_info().version
    }

    /// Publishes without any acknowledgement: may be lost, and while disconnected is queued (at most 2,048).
    pub async fn publish(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<(), BusError> {
        let size_bytes = payload.len();
        let client = self.client();
        let sent = match headers.to_wire()? {
            None => client.publish(subject.to_owned(), payload).await,
            Some(map) => client.publish_with_headers(subject.to_owned(), map, payload).await,
        };
        sent.map_err(|e| self.publish_error(&e, subject, headers, size_bytes))
    }

    /// Asks and waits for one answer.
    pub async fn request(
        &self,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        let size_bytes = payload.len();
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        if let Some(map) = headers.to_wire()? {
            request = request.headers(map);
        }
        let answer = self.client().send_request(subject.to_owned(), request).await.map_err(|e| {
            use async_nats::RequestErrorKind as Kind;
            match e.kind() {
                Kind::TimedOut => BusError::Timeout { what: subject.to_owned(), after: timeout },
                Kind::NoResponders => BusError::NoResponders { subject: subject.to_owned() },
                Kind::MaxPayloadExceeded => self.too_large(subject, headers, size_bytes),
                Kind::InvalidSubject => invalid(subject, &e),
                Kind::Other => self.lost(subject, &e),
            }
        })?;
        Ok(Message::new(self.clone(), answer))
    }

    /// Everything published on `subject` (wildcards allowed) from now on.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        let subscriber = self.client().subscribe(subject.to_owned()).await.map_err(|e| invalid(subject, &e))?;
        Ok(Subscription::new(self.clone(), subscriber))
    }

    /// The same, each message going to one member of `queue` only.
    pub async fn queue_subscribe(&self, subject: &str, queue: &str) -> Result<Subscription, BusError> {
        let subscribed = self.client().queue_subscribe(subject.to_owned(), queue.to_owned()).await;
        Ok(Subscription::new(self.clone(), subscribed.map_err(|e| invalid(subject, &e))?))
    }

    /// A fresh subject for answers.
    pub fn new_inbox(&self) -> String {
        self.client().new_inbox()
    }

    /// Asks the server for an answer and waits for it: says that it is there and heeds this connection.
    pub async fn round_trip(&self) -> Result<(), BusError> {
        self.request("$JS.API.INFO", &Headers::new(), Bytes::new(), API_TIMEOUT).await.map(drop)
    }

    /// Waits until everything published so far has been written to the server.
    pub async fn flush(&self) -> Result<(), BusError> {
        self.client().flush().await.map_err(|e| self.lost("flush", &e))
    }

    /// Ends all subscriptions, writes what is left, closes; waits (at most 10 s) until that is done.
    pub async fn drain_and_close(&self) -> Result<(), BusError> {
        let mut closed = self.inner.closed.clone();
        if *closed.borrow() {
            return Ok(());
        }
        self.client().drain().await.map_err(|_| BusError::Closed)?;
        match tokio::time::timeout(DRAIN_LIMIT, closed.wait_for(|closed| *closed)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(BusError::Timeout { what: "draining the connection".to_owned(), after: DRAIN_LIMIT }),
        }
    }

    pub(crate) fn publish_error(
        &self,
        error: &async_nats::PublishError,
        subject: &str,
        headers: &Headers,
        size_bytes: usize,
    ) -> BusError {
        use async_nats::client::PublishErrorKind as Kind;
        match error.kind() {
            Kind::MaxPayloadExceeded => self.too_large(subject, headers, size_bytes),
            Kind::InvalidSubject => invalid(subject, error),
            Kind::Send => BusError::Closed,
        }
    }

    fn too_large(&self, subject: &str, headers: &Headers, payload_bytes: usize) -> BusError {
        // "NATS/1.0\r\n", "name: value\r\n" each, "\r\n".
        let lines: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let head = if headers.is_empty() { 0 } else { 12 + lines };
        BusError::PayloadTooLarge {
            subject: subject.to_owned(),
            size_bytes: head + payload_bytes,
            limit_bytes: self.max_payload_bytes(),
        }
    }

    fn lost(&self, what: &str, error: &impl std::fmt::Display) -> BusError {
        if *self.inner.closed.borrow() { BusError::Closed } else { BusError::jetstream(what, error) }
    }
}

fn invalid(subject: &str, error: &impl std::fmt::Display) -> BusError {
    BusError::InvalidSubject { subject: subject.chars().take(256).collect(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out_of_urls() {
        let (urls, credentials) = servers(&["nats://u%40x:p%3aw@h:1,tls://h:2".to_owned()]).unwrap();
        assert_eq!(urls, ["nats://h:1", "tls://h:2"]);
        assert_eq!(credentials, Credentials::Password { user: "u@x".into(), password: "p:w".into() });
        assert!(!format!("{credentials:?}").contains("p:w"));
        assert_eq!(servers(&["secret@h".to_owned()]).unwrap().1, Credentials::Token("secret".into()));
        assert!(servers(&[]).is_err());
    }
}
