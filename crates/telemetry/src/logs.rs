//! Events of `tracing` as log records of OTLP, with the trace and the experiment that they belong to.
//!
//! The bridge of OpenTelemetry's own would not see the experiment of an enclosing span, and hides what it drops.

use std::fmt::Debug;
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::export::ExportQueue;
use crate::open::unix_ns;

/// The attribute that names an experiment, on spans and on log records.
const EXPERIMENT: &str = "nuncius.experiment.id";
/// The field that names it in most lines.
const EXPERIMENT_SHORT: &str = "experiment";

/// Hands every event that it is shown to the queue.
pub(crate) struct LogLayer(pub(crate) Arc<ExportQueue>);

/// The experiment that a span belongs to.
struct OfExperiment(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut ExperimentOnly(&mut fields));
        remember(fields, id, &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut ExperimentOnly(&mut fields));
        remember(fields, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let experiment = fields.experiment.or_else(|| {
            let spans = context.event_scope(event)?;
            spans.into_iter().find_map(|span| span.extensions().get::<OfExperiment>().map(|of| of.0.clone()))
        });
        let mut attributes = fields.attributes;
        attributes.extend(experiment.map(|id| pair(EXPERIMENT, Value::StringValue(id))));
        let time_unix_nano = unix_ns();
        let (severity, severity_text) = severity(event.metadata().level());
        let mut record = LogRecord {
            time_unix_nano,
            observed_time_unix_nano: time_unix_nano,
            severity_number: severity.into(),
            severity_text: severity_text.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(fields.body)) }),
            attributes,
            ..LogRecord::default()
        };
        Context::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            if span.is_valid() {
                record.trace_id = span.trace_id().to_bytes().to_vec();
                record.span_id = span.span_id().to_bytes().to_vec();
                record.flags = u32::from(span.trace_flags().to_u8());
            }
        });
        self.0.push_record(event.metadata().target(), record);
    }
}

fn remember<S: Subscriber + for<'a> LookupSpan<'a>>(fields: Fields, id: &Id, context: &LayerContext<'_, S>) {
    if let (Some(experiment), Some(span)) = (fields.experiment, context.span(id)) {
        span.extensions_mut().replace(OfExperiment(experiment));
    }
}

const fn severity(level: &Level) -> (SeverityNumber, &'static str) {
    match *level {
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What the fields of an event say.
#[derive(Default)]
struct Fields {
    body: String,
    experiment: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::StringValue(text)) => self.body = text,
            (EXPERIMENT | EXPERIMENT_SHORT, Value::StringValue(id)) => self.experiment = Some(id),
            (name, value) => self.attributes.push(pair(name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, Value::StringValue(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::StringValue(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::BoolValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, Value::IntValue(value)),
            // OTLP has no number for it.
            Err(_) => self.put(field, Value::StringValue(value.to_string())),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::DoubleValue(value));
    }
}

/// Of the fields of a span, the experiment: nothing else is copied.
struct ExperimentOnly<'a>(&'a mut Fields);

impl Visit for ExperimentOnly<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if [EXPERIMENT, EXPERIMENT_SHORT].contains(&field.name()) {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if [EXPERIMENT, EXPERIMENT_SHORT].contains(&field.name()) {
            self.0.record_str(field, value);
        }
    }
}
