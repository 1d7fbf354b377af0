//! The thread that exports: building the exporter there, and driving it.

use std::sync::{Arc, mpsc};

use opentelemetry::Context;
use opentelemetry_otlp::{Compression, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanExporter;

use super::client::Client;
use super::{SpanQueue, carry};
use crate::TelemetryError;
use crate::settings::ExportSettings;

/// The name of the thread, as seen in `top -H`.
pub(crate) const THREAD_NAME: &str = "nuncius-otlp";

/// Starts the thread and waits until its exporter is built, which opens no connection.
///
/// # Errors
/// [`TelemetryError::Exporter`] when the exporter refuses the settings, [`TelemetryError::Thread`] when there is no
/// thread.
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
            export(&of_thread, &settings, &resource, &built);
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

/// Builds the exporter, says how that went, and sends until the queue has ended.
fn export(queue: &SpanQueue, settings: &ExportSettings, resource: &Resource, built: &Built) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(built.send(Err(error.to_string()))),
    };
    let mut exporter = match exporter(settings) {
        Ok(exporter) => exporter,
        Err(problem) => return drop(built.send(Err(problem))),
    };
    exporter.set_resource(resource);
    let _ = built.send(Ok(()));
    carry(queue, &exporter, settings.timeout, |exporter, batch, patience| {
        runtime.block_on(async {
            tokio::time::timeout(patience, exporter.export(batch)).await.unwrap_or(Err(OTelSdkError::Timeout(patience)))
        })
    });
}

fn exporter(settings: &ExportSettings) -> Result<OtlpExporter, String> {
    let client = Client::new(&settings.endpoint)?;
    for (key, value) in &settings.headers {
        let is_good = http::HeaderName::try_from(key).is_ok() && http::HeaderValue::try_from(value).is_ok();
        if !is_good {
            return Err(format!("the header `{key}` is not one that can be sent"));
        }
    }
    let builder = OtlpExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(settings.endpoint.clone())
        .with_timeout(settings.timeout)
        .with_headers(settings.headers.iter().cloned().collect());
    let builder = if settings.gzip { builder.with_compression(Compression::Gzip) } else { builder };
    builder.build().map_err(|error| error.to_string())
}
