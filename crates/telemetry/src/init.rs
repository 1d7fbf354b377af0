//! Setting up a process, and ending it without losing spans.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, registry};

use crate::TelemetryError;
use crate::export::{self, QueueProcessor, SpanQueue};
use crate::record;
use crate::settings::{Environment, ExportSettings, resource_attributes};

/// How long dropping the guard may take.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// Libraries whose spans would be about the export itself, or about every message.
const SILENT_IN_TRACES: [&str; 5] = ["hyper", "hyper_util", "rustls", "opentelemetry", "async_nats"];

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What a process says about itself, and where it may read the rest.
pub struct TelemetryOptions<'a> {
    /// `service.name`, unless the environment says otherwise.
    pub service_name: String,
    /// What log lines look like.
    pub log_format: LogFormat,
    /// Whether lines for people are coloured.
    pub colour: bool,
    /// As in `info,nuncius_engine=debug`; `None` takes `NUNCIUS_LOG`, then `RUST_LOG`, then `info`.
    pub log_filter: Option<String>,
    /// Further attributes of the resource: `host.name`, `service.version`, `service.instance.id`.
    pub resource: Vec<(String, String)>,
    /// The environment: `&|name| std::env::var(name).ok()` in a program.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// The guard of a process's telemetry: keep it until the end, then call [`Telemetry::flush_and_shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    exporting: Option<Exporting>,
}

#[derive(Debug)]
struct Exporting {
    provider: SdkTracerProvider,
    queue: Arc<SpanQueue>,
}

/// Sets up logs on standard error and, when the environment names an endpoint, spans over OTLP. To be called once, from
/// anywhere, with or without a runtime. No connection is opened here: an endpoint that is away is no error.
///
/// # Errors
/// [`TelemetryError::Variable`] or [`TelemetryError::Filter`] for text that cannot be understood,
/// [`TelemetryError::AlreadyInstalled`] the second time.
pub fn init(options: TelemetryOptions<'_>) -> Result<Telemetry, TelemetryError> {
    let (telemetry, dispatch) = prepare(options)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::AlreadyInstalled)?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    if let Some(exporting) = &telemetry.exporting {
        global::set_tracer_provider(exporting.provider.clone());
        record::install(Arc::clone(&exporting.queue));
    }
    Ok(telemetry)
}

/// Everything but what is global to the process.
fn prepare(options: TelemetryOptions<'_>) -> Result<(Telemetry, tracing::Dispatch), TelemetryError> {
    let environment = options.environment;
    let logs = logs(options.log_format, options.colour, options.log_filter, environment)?;
    let Some(settings) = ExportSettings::read(environment)? else {
        let subscriber = registry().with(logs);
        return Ok((Telemetry { exporting: None }, tracing::Dispatch::new(subscriber)));
    };
    let attributes = resource_attributes(&options.service_name, &options.resource, environment)?;
    let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
    let resource = Resource::builder_empty().with_attributes(attributes).build();
    let queue = export::start(settings, resource.clone())?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(QueueProcessor(Arc::clone(&queue)))
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(record::SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(
            Targets::new()
                .with_default(LevelFilter::INFO)
                .with_targets(SILENT_IN_TRACES.map(|target| (target, LevelFilter::OFF))),
        );
    let subscriber = registry().with(logs).with(spans);
    Ok((Telemetry { exporting: Some(Exporting { provider, queue }) }, tracing::Dispatch::new(subscriber)))
}

fn logs(
    format: LogFormat,
    colour: bool,
    filter: Option<String>,
    environment: Environment<'_>,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError> {
    let from_environment =
        || ["NUNCIUS_LOG", "RUST_LOG"].iter().find_map(|name| environment(name).filter(|v| !v.is_empty()));
    let filter = filter.or_else(from_environment).unwrap_or_else(|| "info".to_owned());
    let parsed = EnvFilter::try_new(&filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.clone(), problem: error.to_string() })?;
    // A log that cannot be written is told to nobody: there is no other place, and a closed one must end nothing.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    Ok(match format {
        LogFormat::Human => lines.with_ansi(colour).with_filter(parsed).boxed(),
        LogFormat::Json => lines.json().with_filter(parsed).boxed(),
    })
}

impl Telemetry {
    /// True when spans leave this process.
    pub fn is_exporting(&self) -> bool {
        self.exporting.is_some()
    }

    /// Spans lost since the start: beyond the limit of the queue, refused, or not delivered.
    pub fn dropped_spans(&self) -> u64 {
        self.exporting.as_ref().map_or(0, |exporting| exporting.queue.dropped())
    }

    /// Sends what is queued and ends the exporting thread, in `deadline` at most.
    ///
    /// It blocks its caller, and nothing else: the exporter lives on a thread and a runtime of its own. So it may be
    /// called from async code, also on a runtime with a single thread, as the last thing that a program does. Where
    /// other tasks of that thread must go on meanwhile (a receiver in the same runtime, say), call it by
    /// `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// [`TelemetryError::Deadline`] when spans are unsent then, [`TelemetryError::Lost`] when some were lost before.
    pub fn flush_and_shutdown(mut self, deadline: Duration) -> Result<(), TelemetryError> {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> Result<(), TelemetryError> {
        let Some(Exporting { provider, queue }) = self.exporting.take() else { return Ok(()) };
        // From here on `tracing` makes no spans; what it made is in the queue.
        let _ = provider.shutdown();
        let outcome = queue.stop(deadline);
        if outcome.unsent > 0 {
            return Err(TelemetryError::Deadline { deadline, unsent: outcome.unsent });
        }
        if outcome.dropped > 0 {
            let reason = outcome.failure.unwrap_or_else(|| "more spans at once than the queue holds".to_owned());
            return Err(TelemetryError::Lost { dropped: outcome.dropped, reason });
        }
        Ok(())
    }
}

impl Drop for Telemetry {
    /// Best effort, for paths that end early: two seconds, and a line in the log.
    fn drop(&mut self) {
        if let Err(error) = self.end(DROP_DEADLINE) {
            tracing::warn!(%error, "telemetry ended with a loss");
        }
    }
}

#[cfg(test)]
mod tests;
