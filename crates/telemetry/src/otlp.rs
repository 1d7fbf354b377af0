//! Sending messages of OTLP to a receiver: a collector, Jaeger, or whatever else speaks it.
//!
//! One request is one connection: a receiver that was half open, moved or restarted is forgotten with it, and at a few
//! requests a second nobody feels the difference. Both protocols go over the HTTP library that the tree has anyway:
//! a whole gRPC library would be many times the code, for calls of one kind.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use nuncius_schemas::redact::redact_url;
use nuncius_schemas::subjects::Signal;

mod answer;
mod dial;
mod grpc;
mod http1;

use dial::Dialer;

/// How long a receiver may take, where nobody said: the default of OpenTelemetry's specification.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A way to speak OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `http/protobuf`, usually on port 4318.
    #[default]
    Http,
    /// `grpc`, usually on port 4317.
    Grpc,
}

impl Protocol {
    /// The name in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Http, Self::Grpc]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "only http/protobuf and grpc are spoken".to_owned())
    }
}

/// Where messages of one signal go, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What is sent there.
    pub signal: Signal,
    /// Complete, with the path, which gRPC does not heed.
    pub url: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Sent with every request; may hold tokens.
    pub headers: Vec<(String, String)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether messages are compressed.
    pub gzip: bool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("signal", &self.signal)
            .field("url", &redact_url(&self.url))
            .field("protocol", &self.protocol)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// At the address that a receiver has for all signals.
    pub fn of_base(base: &str, signal: Signal, protocol: Protocol) -> Self {
        let url = format!("{}/v1/{}", base.trim_end_matches('/'), signal.name());
        Self { signal, url, protocol, headers: Vec::new(), timeout: DEFAULT_TIMEOUT, gzip: false }
    }
}

/// What a receiver said to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, but for what it counts as rejected: to be sent again to nobody.
    Taken {
        /// Spans, data points or log records that it did not want.
        rejected: u64,
        /// Its words about them.
        message: String,
    },
    /// Not now: to be sent again, unchanged.
    Later {
        /// When, if it said so.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Never: to be dropped.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Sends messages to the one endpoint that it was made for.
#[derive(Debug)]
pub struct Sender {
    signal: Signal,
    dialer: Dialer,
    protocol: Protocol,
    headers: HeaderMap,
    timeout: Duration,
    gzip: bool,
}

impl Sender {
    /// For `endpoint`; opens no connection.
    ///
    /// # Errors
    /// For people: the address is none, a header cannot be sent, the system has no authorities to trust.
    pub fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (key, value) in &endpoint.headers {
            let pair = (HeaderName::try_from(key.as_str()), HeaderValue::try_from(value.as_str()));
            let (Ok(name), Ok(mut value)) = pair else {
                return Err(format!("the header `{key}` is not one that can be sent"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            signal: endpoint.signal,
            dialer: Dialer::new(&endpoint.url, endpoint.protocol)?,
            protocol: endpoint.protocol,
            headers,
            timeout: endpoint.timeout,
            gzip: endpoint.gzip,
        })
    }

    /// Sends a message, the bytes of an `Export…ServiceRequest`; ends within `patience` and the endpoint's timeout.
    pub async fn send(&self, message: &Bytes, patience: Duration) -> Answer {
        let patience = patience.min(self.timeout);
        let sent = async {
            match self.protocol {
                Protocol::Http => http1::send(self, message).await,
                Protocol::Grpc => grpc::send(self, message, patience).await,
            }
        };
        match tokio::time::timeout(patience, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Later { after: None, reason: told(error.as_ref()) },
            Err(_) => Answer::Later { after: None, reason: format!("no answer within {patience:?}") },
        }
    }
}

impl Sender {
    /// Adds what every request says beside its protocol's own; the receiver's headers come last, and win.
    fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(header::USER_AGENT, HeaderValue::from_static(answer::USER_AGENT));
        if let Some(authorization) = &self.dialer.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers.extend(self.headers.clone());
    }
}

type SendError = Box<dyn std::error::Error + Send + Sync>;

/// Drives a connection until there is an answer.
async fn answered<E: Into<SendError>>(
    connection: impl Future<Output = Result<(), E>>,
    answer: impl Future<Output = Result<Answer, SendError>>,
) -> Result<Answer, SendError> {
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(Into::into)?;
            answer.await
        }
    }
}

/// An error with its causes: those of the HTTP library say nothing by themselves.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The message as gzip.
fn compressed(message: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}
