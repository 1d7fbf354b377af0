//! Where messages go, and how they are spoken.

use std::time::Duration;

use nuncius_schemas::redact::redact_url;
use nuncius_schemas::subjects::Signal;

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
