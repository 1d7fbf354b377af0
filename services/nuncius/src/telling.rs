//! The metrics of this process: told for as long as it runs, by whichever way its telemetry leaves.

use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_metrics::names::process as names;
use nuncius_metrics::otlp::Sender;
use nuncius_metrics::{Families, Pace, Reporting, publish, report};
use nuncius_schemas::codec::MESSAGE_MAX_BYTES;
use nuncius_telemetry::Signal;

use crate::{environment, way_out};

/// OpenTelemetry's variable for how often metrics are told, in milliseconds.
const INTERVAL_VARIABLE: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// Tells, until it is dropped.
pub(crate) struct Telling {
    _reporting: Reporting,
    task: tokio::task::AbortHandle,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to tell, unless nobody wants to hear it. Commands that are over within a period have told nothing.
pub(crate) fn begin(service: &'static str) -> Option<Telling> {
    if !nuncius_telemetry::is_wanted(Signal::Metrics) {
        return None;
    }
    let start_unix_ns = nuncius_bus::clock::unix_ns();
    let epoch = nuncius_bus::registry::process_epoch().to_string();
    let reporting = report(Pace::Steady, move |families| {
        // The gateway knows which node this process is.
        let node = "";
        families.info(&names::PROCESS_INFO, &[node, service, env!("CARGO_PKG_VERSION"), &epoch]);
        families.number(&names::PROCESS_START_TIME_SECONDS, &[node], start_unix_ns as f64 / 1e9);
        nuncius_metrics::process::add_own(families, node);
        add_telemetry(families, node);
        way_out::with_bus(|bus| add_bus(families, node, bus));
    });
    let resource = nuncius_telemetry::resource().to_vec();
    let sender = Sender { resource, start_unix_ns, message_max_bytes: MESSAGE_MAX_BYTES };
    let told = publish::run(sender, period(), |message| nuncius_telemetry::send(Signal::Metrics, message));
    Some(Telling { _reporting: reporting, task: tokio::spawn(told).abort_handle() })
}

fn period() -> Duration {
    let told = environment::variable(INTERVAL_VARIABLE).and_then(|text| text.trim().parse().ok());
    told.filter(|milliseconds| *milliseconds > 0).map_or(publish::PERIOD, Duration::from_millis)
}

fn add_telemetry(families: &mut Families, node: &str) {
    let losses = nuncius_telemetry::losses();
    for signal in Signal::ALL {
        let lost = match signal {
            Signal::Traces => losses.spans,
            Signal::Metrics => losses.metric_messages,
            Signal::Logs => losses.log_records,
        };
        families.count(&names::TELEMETRY_DROPPED, &[node, signal.name()], lost);
        families.count(&names::TELEMETRY_PUBLISHED, &[node, signal.name()], way_out::published(signal));
    }
}

fn add_bus(families: &mut Families, node: &str, bus: &Bus) {
    use std::sync::atomic::Ordering::Relaxed;
    let events = bus.events();
    families.count(&names::BUS_CONNECTED, &[node], u64::from(!bus.connected_for().is_zero()));
    families.count(&names::BUS_DISCONNECTS, &[node], events.disconnected.load(Relaxed));
    families.count(&names::BUS_SLOW_CONSUMER_MESSAGES, &[node], events.slow_consumer.load(Relaxed));
}
