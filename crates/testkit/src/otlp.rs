//! A receiver of OTLP, as Jaeger or a collector would be: over HTTP with protobuf, and over gRPC. It can be had slow,
//! refusing, silent, or away for a time.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsServiceServer;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod grpc;
mod http;
mod plain;

use grpc::Calls;

pub use plain::{spans_in, spans_message};

/// One received span, in plain types. Ids are lower-case hex; an absent parent is the empty string; attribute values
/// are as text; times are unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, or empty for a root.
    pub parent_span_id: String,
    /// The span's name.
    pub name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Attributes of the span.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// Start, unix nanoseconds.
    pub start_ns: u64,
    /// End, unix nanoseconds.
    pub end_ns: u64,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Trace ids and span ids this span links to.
    pub links: Vec<(String, String)>,
}

/// One received log record, in plain types, as [`Span`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What it says.
    pub body: String,
    /// `INFO`, `WARN`, …
    pub severity: String,
    /// The part of the program that it comes from.
    pub target: String,
    /// 32 hex digits, or empty.
    pub trace_id: String,
    /// 16 hex digits, or empty.
    pub span_id: String,
    /// Attributes of the record.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, String>,
}

/// How a receiver behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    #[default]
    Takes,
    /// Takes everything, so long after it was asked.
    Slow(Duration),
    /// Answers with this status of HTTP, or with that which gRPC has in its place, and asks for so long a pause.
    Answers {
        /// As 503.
        status: u16,
        /// `Retry-After`, or `RetryInfo`.
        retry_after: Option<Duration>,
    },
    /// Takes everything, and says that it did not want so many of the items.
    Rejects(i64),
    /// Accepts connections, and says nothing for ever.
    Silent,
}

/// What has been received, and how it behaves meanwhile.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) spans: watch::Sender<Vec<Span>>,
    pub(crate) logs: watch::Sender<Vec<LogLine>>,
    pub(crate) metrics: watch::Sender<Vec<ResourceMetrics>>,
    pub(crate) manner: watch::Sender<Manner>,
}

/// Listens on a free port of 127.0.0.1 until dropped, or away.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    received: Arc<Received>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl OtlpReceiver {
    /// Binds and starts to listen, for HTTP/1.1 and for gRPC on the same port; gzip is accepted.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn start() -> io::Result<Self> {
        let received = Received {
            spans: watch::Sender::default(),
            logs: watch::Sender::default(),
            metrics: watch::Sender::default(),
            manner: watch::Sender::default(),
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let receiver = Self { address, received: Arc::new(received), listening: Mutex::default() };
        receiver.listen(listener);
        Ok(receiver)
    }

    fn listen(&self, listener: tokio::net::TcpListener) {
        let received = Arc::clone(&self.received);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            // A receiver that ends early shows as spans that never come.
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&received)));
            }
        });
        if let Ok(mut listening) = self.listening.lock()
            && let Some(before) = listening.replace(task)
        {
            before.abort();
        }
    }

    /// Ends listening and all connections; nobody answers any more.
    pub async fn go_away(&self) {
        let task = self.listening.lock().ok().and_then(|mut listening| listening.take());
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listens again, at the same port.
    ///
    /// # Errors
    /// Somebody else has it now.
    pub async fn come_back(&self) -> io::Result<()> {
        self.listen(tokio::net::TcpListener::bind(self.address).await?);
        Ok(())
    }

    /// From now on it behaves otherwise.
    pub fn behave(&self, manner: Manner) {
        self.received.manner.send_replace(manner);
    }

    /// `http://127.0.0.1:<port>`, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.received.spans.borrow().clone()
    }

    /// All log records so far, in order of arrival.
    pub fn logs(&self) -> Vec<LogLine> {
        self.received.logs.borrow().clone()
    }

    /// All metrics so far, in order of arrival.
    pub fn metrics(&self) -> Vec<ResourceMetrics> {
        self.received.metrics.borrow().clone()
    }

    /// Waits until `predicate` holds for all spans so far; the spans, or `None` once `deadline` (from now) has passed.
    pub async fn wait_for(&self, predicate: impl Fn(&[Span]) -> bool, deadline: Duration) -> Option<Vec<Span>> {
        wait(&self.received.spans, predicate, deadline).await
    }

    /// The same of log records.
    pub async fn wait_for_logs(
        &self,
        predicate: impl Fn(&[LogLine]) -> bool,
        deadline: Duration,
    ) -> Option<Vec<LogLine>> {
        wait(&self.received.logs, predicate, deadline).await
    }

    /// The same of metrics.
    pub async fn wait_for_metrics(
        &self,
        predicate: impl Fn(&[ResourceMetrics]) -> bool,
        deadline: Duration,
    ) -> Option<Vec<ResourceMetrics>> {
        wait(&self.received.metrics, predicate, deadline).await
    }
}

async fn wait<T: Clone>(
    all: &watch::Sender<Vec<T>>,
    predicate: impl Fn(&[T]) -> bool,
    deadline: Duration,
) -> Option<Vec<T>> {
    let mut all = all.subscribe();
    let found = tokio::time::timeout(deadline, all.wait_for(|all| predicate(all))).await;
    found.ok()?.ok().map(|all| all.clone())
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        if let Ok(mut listening) = self.listening.lock()
            && let Some(task) = listening.take()
        {
            task.abort();
        }
    }
}

/// Serves one connection: what begins as HTTP/2 does is gRPC.
async fn serve(stream: tokio::net::TcpStream, received: Arc<Received>) {
    let mut first = [0; 3];
    // No other method of HTTP begins so.
    let is_http2 = loop {
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => return,
            Ok(length) if length < first.len() => tokio::time::sleep(Duration::from_millis(1)).await,
            Ok(_) => break &first == b"PRI",
        }
    };
    let stream = TokioIo::new(stream);
    if is_http2 {
        let calls = Calls(received);
        let gzip = tonic::codec::CompressionEncoding::Gzip;
        let traces = TraceServiceServer::new(calls.clone()).accept_compressed(gzip);
        let metrics = MetricsServiceServer::new(calls.clone()).accept_compressed(gzip);
        let logs = LogsServiceServer::new(calls).accept_compressed(gzip);
        let service = TowerToHyperService::new(grpc::Services { traces, metrics, logs });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let service = hyper::service::service_fn(move |request| http::answer(request, Arc::clone(&received)));
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    }
}
