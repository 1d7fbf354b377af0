//! Clients of servers of NATS that are tested: no part of the bus, and nothing of Nuncius goes over them. They fail
//! where the bus would try again, since what went wrong is what is measured.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::connection::State;
use async_nats::jetstream::{self, consumer::pull};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Headers;

/// Messages that a subscription holds until somebody takes them; more are dropped, and counted.
const SUBSCRIPTION_MAX: usize = 65_536;
/// Between two attempts to connect again.
const AGAIN: Duration = Duration::from_millis(100);

/// Why something came to nothing, without a word that the server has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No connection.
    #[error("no connection to the server")]
    Connect,
    /// Neither user and password nor token are taken.
    #[error("the server takes neither user and password nor token")]
    Access,
    /// No TLS session.
    #[error("no TLS session with the server")]
    Tls,
    /// The connection is down.
    #[error("the connection to the server is down")]
    Closed,
    /// Nobody answered in time.
    #[error("no answer within the timeout")]
    Timeout,
    /// Nobody listens.
    #[error("nobody listens on the subject")]
    NoResponders,
    /// No stream takes the subject.
    #[error("no stream takes the subject")]
    NoStream,
    /// There is no such stream or consumer.
    #[error("there is no such stream, or no such pull consumer of it")]
    NoConsumer,
    /// The server took it and refused it.
    #[error("the server refused the message: the stream is full, or its rules forbid it")]
    Refused,
    /// Larger than what the server takes.
    #[error("larger than what the server takes (max_payload)")]
    TooLarge,
    /// No subject, or a header that breaks the wire format.
    #[error("no subject to publish to, or a header that cannot be sent")]
    Invalid,
}

/// How a server is reached.
#[derive(Clone)]
pub struct TargetOptions {
    /// Its addresses, tried in this order. Others that it tells of are left alone.
    pub addresses: Vec<SocketAddr>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Token.
    pub token: Option<String>,
    /// Of TLS, with the name that the server must have.
    pub tls: Option<(String, Arc<rustls::ClientConfig>)>,
    /// What it is told of who connects.
    pub name: String,
    /// Longest wait for a connection.
    pub timeout: Duration,
}

/// A message.
#[derive(Debug, Clone)]
pub struct TargetMessage {
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

/// A connection.
#[derive(Debug, Clone)]
pub struct TargetClient {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    slow: Arc<AtomicU64>,
}

/// A subscription. It ends when it is dropped.
#[derive(Debug)]
pub struct TargetSubscription {
    subscriber: async_nats::Subscriber,
}

/// A pull consumer of a stream.
#[derive(Debug, Clone)]
pub struct TargetConsumer {
    consumer: jetstream::consumer::Consumer<pull::Config>,
}

/// A message of a stream, to be acknowledged.
#[expect(missing_debug_implementations, reason = "what acknowledges is the library's")]
pub struct TargetDelivery {
    /// The message.
    pub message: TargetMessage,
    acker: jetstream::message::Acker,
}

/// What a stream answers to a message: that it has it, and under which number, or why not.
#[derive(Deserialize)]
struct StreamAnswer {
    error: Option<IgnoredAny>,
    stream: Option<IgnoredAny>,
    seq: Option<IgnoredAny>,
}

/// Connects to a server.
///
/// # Errors
/// [`TargetError::Connect`], [`TargetError::Access`], [`TargetError::Tls`], [`TargetError::Timeout`].
pub async fn connect(options: TargetOptions) -> Result<TargetClient, TargetError> {
    let TargetOptions { addresses, login, token, tls, name, timeout } = options;
    let slow = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&slow);
    let mut connecting = ConnectOptions::new()
        .name(name)
        .connection_timeout(timeout)
        .ignore_discovered_servers()
        .retain_servers_order()
        .subscription_capacity(SUBSCRIPTION_MAX)
        .reconnect_delay_callback(|_| AGAIN)
        .event_callback(move |event| {
            if matches!(event, Event::SlowConsumer(_)) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            std::future::ready(())
        });
    if let Some((user, password)) = login {
        connecting = connecting.user_and_password(user, password);
    }
    if let Some(token) = token {
        connecting = connecting.token(token);
    }
    let server = |address: &SocketAddr, host: Option<&str>| {
        let scheme = if host.is_some() { "tls" } else { "nats" };
        let authority = host.map_or_else(|| address.to_string(), |host| format!("{host}:{}", address.port()));
        format!("{scheme}://{authority}").parse::<ServerAddr>().map_err(|_| TargetError::Connect)
    };
    let host = tls.as_ref().map(|(host, _)| host.clone());
    if let Some((_, config)) = tls {
        connecting = connecting.require_tls(true).tls_client_config(config.as_ref().clone());
    }
    let servers: Result<Vec<ServerAddr>, TargetError> =
        addresses.iter().map(|address| server(address, host.as_deref())).collect();
    let client = match tokio::time::timeout(timeout, connecting.connect(servers?)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            return Err(match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => TargetError::Access,
                ConnectErrorKind::Tls => TargetError::Tls,
                ConnectErrorKind::TimedOut => TargetError::Timeout,
                ConnectErrorKind::ServerParse
                | ConnectErrorKind::Dns
                | ConnectErrorKind::Io
                | ConnectErrorKind::MaxReconnects => TargetError::Connect,
            });
        }
        Err(_) => return Err(TargetError::Timeout),
    };
    let jetstream = jetstream::ContextBuilder::new().timeout(timeout).build(client.clone());
    Ok(TargetClient { client, jetstream, slow })
}

impl TargetClient {
    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often messages were dropped here because nobody took them in time, since somebody asked last.
    pub fn take_slow(&self) -> u64 {
        self.slow.swap(0, Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), TargetError> {
        if self.is_connected() { Ok(()) } else { Err(TargetError::Closed) }
    }

    /// Publishes a message; it is written to the connection when this returns.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::TooLarge`], [`TargetError::Invalid`].
    pub async fn publish(&self, subject: String, headers: &Headers, payload: Bytes) -> Result<(), TargetError> {
        self.check()?;
        let published = match headers.to_wire().map_err(|_| TargetError::Invalid)? {
            None => self.client.publish(subject, payload).await,
            Some(headers) => self.client.publish_with_headers(subject, headers, payload).await,
        };
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => TargetError::TooLarge,
            PublishErrorKind::InvalidSubject => TargetError::Invalid,
            PublishErrorKind::Send => TargetError::Closed,
        })?;
        self.client.flush().await.map_err(|_| TargetError::Closed)
    }

    /// Publishes a message, and waits until a stream has acknowledged it.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::NoStream`], [`TargetError::Refused`], [`TargetError::TooLarge`],
    /// [`TargetError::Timeout`], [`TargetError::Invalid`].
    pub async fn publish_acked(&self, subject: String, headers: &Headers, payload: Bytes) -> Result<(), TargetError> {
        // A request: less than the publishing of async-nats' JetStream context, which counts those under way and has
        // timeouts of its own. Whoever waits here has one.
        let answer = self.requested(subject, headers, payload, None).await.map_err(|error| match error {
            TargetError::NoResponders => TargetError::NoStream,
            other => other,
        })?;
        match serde_json::from_slice(&answer.payload) {
            Ok(StreamAnswer { error: None, stream: Some(_), seq: Some(_) }) => Ok(()),
            // Refused, or answered by somebody who is no stream.
            Ok(_) | Err(_) => Err(TargetError::Refused),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::NoResponders`], [`TargetError::Timeout`], [`TargetError::TooLarge`],
    /// [`TargetError::Invalid`].
    pub async fn request(
        &self,
        subject: String,
        headers: &Headers,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<TargetMessage, TargetError> {
        self.requested(subject, headers, payload, Some(timeout)).await.map(TargetMessage::of)
    }

    async fn requested(
        &self,
        subject: String,
        headers: &Headers,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> Result<async_nats::Message, TargetError> {
        self.check()?;
        let mut request = async_nats::Request::new().payload(payload).timeout(timeout);
        if let Some(headers) = headers.to_wire().map_err(|_| TargetError::Invalid)? {
            request = request.headers(headers);
        }
        self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => TargetError::Timeout,
            RequestErrorKind::NoResponders => TargetError::NoResponders,
            RequestErrorKind::InvalidSubject => TargetError::Invalid,
            RequestErrorKind::MaxPayloadExceeded => TargetError::TooLarge,
            RequestErrorKind::Other => TargetError::Closed,
        })
    }

    /// Subscribes; the server knows of it when this returns.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::Invalid`].
    pub async fn subscribe(&self, subject: String, queue: Option<String>) -> Result<TargetSubscription, TargetError> {
        self.check()?;
        let subscribed = match queue {
            None => self.client.subscribe(subject).await,
            Some(queue) => self.client.queue_subscribe(subject, queue).await,
        };
        let subscriber = subscribed.map_err(|_| TargetError::Invalid)?;
        self.client.flush().await.map_err(|_| TargetError::Closed)?;
        Ok(TargetSubscription { subscriber })
    }

    /// A pull consumer that there is.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::NoConsumer`].
    pub async fn consumer(&self, stream: &str, consumer: &str) -> Result<TargetConsumer, TargetError> {
        self.check()?;
        let found = self.jetstream.get_consumer_from_stream(consumer, stream).await;
        found.map(|consumer| TargetConsumer { consumer }).map_err(|_| TargetError::NoConsumer)
    }
}

impl TargetMessage {
    fn of(message: async_nats::Message) -> Self {
        Self { headers: Headers::from_wire(message.headers), payload: message.payload }
    }
}

impl TargetSubscription {
    /// The next message; none once the subscription has ended.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<TargetMessage>> {
        Pin::new(&mut self.subscriber).poll_next(context).map(|message| message.map(TargetMessage::of))
    }
}

impl TargetConsumer {
    /// Takes messages until there are `count`, or `patience` is over: that many, or fewer.
    ///
    /// # Errors
    /// [`TargetError::Closed`].
    pub async fn take(&self, count: usize, patience: Duration) -> Result<Vec<TargetDelivery>, TargetError> {
        let fetching = self.consumer.batch().max_messages(count).expires(patience).messages().await;
        let mut fetching = fetching.map_err(|_| TargetError::Closed)?;
        let mut taken = Vec::with_capacity(count.min(1_024));
        while taken.len() < count {
            match fetching.next().await {
                Some(Ok(message)) => {
                    let (message, acker) = message.split();
                    taken.push(TargetDelivery { message: TargetMessage::of(message), acker });
                }
                Some(Err(_)) => return Err(TargetError::Closed),
                None => break,
            }
        }
        Ok(taken)
    }
}

impl TargetDelivery {
    /// Says that it has been worked on.
    ///
    /// # Errors
    /// [`TargetError::Closed`].
    pub async fn acknowledge(&self) -> Result<(), TargetError> {
        self.acker.ack().await.map_err(|_| TargetError::Closed)
    }
}
