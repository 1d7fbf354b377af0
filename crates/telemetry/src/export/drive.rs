//! The thread that exports: building the exporter there, and driving it.

use std::future::Future;
use std::pin::pin;
use std::str::FromStr;
use std::sync::{Arc, mpsc};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::{
    Compression, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanExporter;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use super::{SpanQueue, carry};
use crate::TelemetryError;
use crate::settings::{ExportSettings, Protocol};

/// The name of the thread, as seen in `top -H`.
pub(crate) const THREAD_NAME: &str = "nuncius-otlp";

/// Starts the thread and waits until its exporter is built, which opens no connection.
///
/// # Errors
/// [`TelemetryError::Exporter`] when the exporter refuses the settings, [`TelemetryError::Thread`] when there is no thread.
pub(crate) fn start(settings: ExportSettings, resource: Resource) -> Result<Arc<SpanQueue>, TelemetryError> {
    let queue = Arc::new(SpanQueue::default());
    let (built, outcome) = mpsc::sync_channel(1);
    let endpoint = settings.endpoint.clone();
    let of_thread = Arc::clone(&queue);
    std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || {
            // What the exporter's own libraries do must not become spans in turn.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            match settings.protocol {
                Protocol::Grpc => over_grpc(&of_thread, &settings, &resource, &built),
                Protocol::HttpProtobuf => over_http(&of_thread, &settings, &resource, &built),
            }
            of_thread.finish();
        })
        .map_err(TelemetryError::Thread)?;
    match outcome.recv() {
        Ok(Ok(())) => Ok(queue),
        Ok(Err(problem)) => Err(TelemetryError::Exporter { endpoint, problem }),
        Err(_) => Err(TelemetryError::Exporter { endpoint, problem: "its thread ended".to_owned() }),
    }
}

type Built = mpsc::SyncSender<Result<(), String>>;

fn over_grpc(queue: &SpanQueue, settings: &ExportSettings, resource: &Resource, built: &Built) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(built.send(Err(error.to_string()))),
    };
    let exporter = {
        let _entered = runtime.enter();
        let mut metadata = MetadataMap::new();
        for (key, value) in &settings.headers {
            match (AsciiMetadataKey::from_str(&key.to_ascii_lowercase()), AsciiMetadataValue::from_str(value)) {
                (Ok(key), Ok(value)) => drop(metadata.insert(key, value)),
                _ => return drop(built.send(Err(format!("the header `{key}` is not one that can be sent")))),
            }
        }
        let builder = OtlpExporter::builder()
            .with_tonic()
            .with_endpoint(settings.endpoint.clone())
            .with_timeout(settings.timeout)
            .with_metadata(metadata);
        if settings.gzip { builder.with_compression(Compression::Gzip).build() } else { builder.build() }
    };
    let Some(exporter) = ready(exporter.map_err(|error| error.to_string()), resource, built) else { return };
    carry(queue, &exporter, settings.timeout, |exporter, batch, patience| {
        runtime.block_on(async {
            tokio::time::timeout(patience, exporter.export(batch)).await.unwrap_or(Err(OTelSdkError::Timeout(patience)))
        })
    });
}

fn over_http(queue: &SpanQueue, settings: &ExportSettings, resource: &Resource, built: &Built) {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_endpoint(settings.endpoint.clone())
        .with_timeout(settings.timeout)
        .with_headers(settings.headers.iter().cloned().collect())
        .build();
    let Some(exporter) = ready(exporter.map_err(|error| error.to_string()), resource, built) else { return };
    // The client blocks this thread and keeps its own timeout; a deadline that ends earlier leaves the thread behind.
    carry(queue, &exporter, settings.timeout, |exporter, batch, _| block_on(exporter.export(batch)));
}

/// Reports how the building went and gives the exporter its resource.
fn ready(exporter: Result<OtlpExporter, String>, resource: &Resource, built: &Built) -> Option<OtlpExporter> {
    match exporter {
        Ok(mut exporter) => {
            exporter.set_resource(resource);
            let _ = built.send(Ok(()));
            Some(exporter)
        }
        Err(problem) => {
            let _ = built.send(Err(problem));
            None
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future on this thread without a runtime: the blocking HTTP client refuses to work inside one.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(1)),
        }
    }
}
