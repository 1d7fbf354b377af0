//! Setting up a process, and ending it without losing spans.

use std::sync::Arc;
use std::time::Duration;

use nuncius_schemas::subjects::Signal;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, registry};

use crate::export::{self, ExportQueue, QueueProcessor};
use crate::logs::LogLayer;
use crate::out_box::OutBox;
use crate::process::{self, Process};
use crate::settings::{Destination, Environment, Settings, resource_attributes};
use crate::{Losses, TelemetryError, record};

/// How long dropping the guard may take.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// Libraries whose spans would be about the export itself, or about every message.
const SILENT_IN_TRACES: [&str; 6] = ["hyper", "hyper_util", "h2", "rustls", "opentelemetry", "async_nats"];
/// Whose lines would be about the export itself: each would make another. They stay on standard error.
const SILENT_IN_LOGS: [&str; 8] = [
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "opentelemetry",
    "nuncius_telemetry",
    "nuncius_bus::otlp",
    "nuncius_gateway::export",
];

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
    /// Where spans are made.
    provider: Option<SdkTracerProvider>,
    queue: Arc<ExportQueue>,
    /// Whether something is sent from here, so that a loss at the end is known.
    has_receiver: bool,
}

/// Sets up logs on standard error, and spans, metrics and log records on their way out: to the bus, by the out-box, or
/// to the receiver that the environment names. To be called once, from anywhere, with or without a runtime. No
/// connection is opened here: a receiver that is away is no error.
///
/// # Errors
/// [`TelemetryError::Variable`] or [`TelemetryError::Filter`] for text that cannot be understood,
/// [`TelemetryError::AlreadyInstalled`] the second time.
pub fn init(options: TelemetryOptions<'_>) -> Result<Telemetry, TelemetryError> {
    let (telemetry, dispatch, process) = prepare(options)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::AlreadyInstalled)?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    if let Some(exporting) = &telemetry.exporting
        && let Some(provider) = &exporting.provider
    {
        global::set_tracer_provider(provider.clone());
        record::install(Arc::clone(&exporting.queue));
    }
    if let Some(process) = process {
        process::install(process);
    }
    Ok(telemetry)
}

/// Everything but what is global to the process.
fn prepare(options: TelemetryOptions<'_>) -> Result<(Telemetry, tracing::Dispatch, Option<Process>), TelemetryError> {
    let environment = options.environment;
    let lines = logs(options.log_format, options.colour, options.log_filter.clone(), environment)?;
    let settings = Settings::read(environment)?;
    let leaves = |signal: Signal| settings.of(signal) != &Destination::Nowhere;
    if !Signal::ALL.into_iter().any(leaves) {
        return Ok((Telemetry { exporting: None }, tracing::Dispatch::new(registry().with(lines)), None));
    }
    let attributes = resource_attributes(&options.service_name, &options.resource, environment)?;
    let out_box = Arc::new(OutBox::new(settings.limits.out_box));
    let queue = export::start(&settings, &attributes, &out_box)?;
    let provider = leaves(Signal::Traces)
        .then(|| SdkTracerProvider::builder().with_span_processor(QueueProcessor(Arc::clone(&queue))).build());
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(record::SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(silencing(LevelFilter::INFO, &SILENT_IN_TRACES))
    });
    let records = if leaves(Signal::Logs) {
        let filter = filter(options.log_filter, environment)?;
        let filter = filter.and(silencing(LevelFilter::TRACE, &SILENT_IN_LOGS));
        Some(LogLayer(Arc::clone(&queue)).with_filter(filter))
    } else {
        None
    };
    // Spans come before log records, which name the span that they are in.
    let subscriber = registry().with(lines).with(spans).with(records);
    let has_receiver = Signal::ALL.into_iter().any(|signal| matches!(settings.of(signal), Destination::Endpoint(_)));
    let exporting = Exporting { provider, queue: Arc::clone(&queue), has_receiver };
    let process = Process { settings, queue, out_box, resource: attributes };
    Ok((Telemetry { exporting: Some(exporting) }, tracing::Dispatch::new(subscriber), Some(process)))
}

fn silencing(level: LevelFilter, targets: &[&'static str]) -> Targets {
    let off = targets.iter().map(|target| (*target, LevelFilter::OFF));
    Targets::new().with_default(level).with_targets(off)
}

/// What is logged.
fn filter(filter: Option<String>, environment: Environment<'_>) -> Result<EnvFilter, TelemetryError> {
    let from_environment =
        || ["NUNCIUS_LOG", "RUST_LOG"].iter().find_map(|name| environment(name).filter(|v| !v.is_empty()));
    let filter = filter.or_else(from_environment).unwrap_or_else(|| "info".to_owned());
    EnvFilter::try_new(&filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.clone(), problem: error.to_string() })
}

fn logs(
    format: LogFormat,
    colour: bool,
    wanted: Option<String>,
    environment: Environment<'_>,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError> {
    let parsed = filter(wanted, environment)?;
    // A log that cannot be written is told to nobody: there is no other place, and a closed one must end nothing.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    Ok(match format {
        LogFormat::Human => lines.with_ansi(colour).with_filter(parsed).boxed(),
        LogFormat::Json => lines.json().with_filter(parsed).boxed(),
    })
}

impl Telemetry {
    /// True when something leaves this process.
    pub fn is_exporting(&self) -> bool {
        self.exporting.is_some()
    }

    /// What was lost since the start.
    pub fn losses(&self) -> Losses {
        self.exporting.as_ref().map_or_else(Losses::default, |exporting| exporting.queue.losses())
    }

    /// Sends what is queued and ends the exporting thread, in `deadline` at most.
    ///
    /// It blocks its caller, and nothing else: the exporter lives on a thread and a runtime of its own. So it may be
    /// called from async code, also on a runtime with a single thread, as the last thing that a program does. Where
    /// other tasks of that thread must go on meanwhile (a receiver in the same runtime, say), call it by
    /// `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// Where a receiver is sent to from here: [`TelemetryError::Deadline`] when something is unsent then,
    /// [`TelemetryError::Lost`] when something was lost before. Whether anybody carries the out-box away is not known
    /// here, and no error.
    pub fn flush_and_shutdown(mut self, deadline: Duration) -> Result<(), TelemetryError> {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> Result<(), TelemetryError> {
        let Some(Exporting { provider, queue, has_receiver }) = self.exporting.take() else { return Ok(()) };
        // From here on `tracing` makes no spans; what it made is in the queue.
        if let Some(provider) = provider {
            let _ = provider.shutdown();
        }
        let outcome = queue.stop(deadline);
        if !has_receiver {
            return Ok(());
        }
        if outcome.unsent > 0 {
            return Err(TelemetryError::Deadline { deadline, unsent: outcome.unsent });
        }
        let Losses { spans, log_records, metric_messages } = outcome.losses;
        if outcome.losses != Losses::default() {
            let reason = outcome.failure.unwrap_or_else(|| "more at once than the queue holds".to_owned());
            return Err(TelemetryError::Lost { spans, log_records, metric_messages, reason });
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
