//! The page of metrics.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use nuncius_bus::Bus;
use nuncius_schemas::subjects::Signal;

use crate::export::counts::Counts;

/// What the page is made from.
#[derive(Debug, Clone)]
pub(crate) struct MetricsState {
    pub(crate) bus: Bus,
    /// What became of telemetry here.
    pub(crate) export: Arc<Counts>,
}

/// The paths of metrics.
pub(crate) fn router(state: MetricsState) -> Router {
    Router::new().route("/metrics", get(page)).with_state(state)
}

async fn page(State(state): State<MetricsState>) -> String {
    let mut text = String::new();
    for signal in Signal::ALL {
        let (counts, signal) = (state.export.of(signal), signal.name());
        for (name, count) in [
            ("nuncius_gateway_otlp_messages_total", &counts.received_messages),
            ("nuncius_gateway_exported_messages_total", &counts.exported_messages),
            ("nuncius_gateway_rejected_items_total", &counts.rejected_items),
            ("nuncius_gateway_export_errors_total", &counts.failed_requests),
            ("nuncius_gateway_spool_messages", &counts.waiting_messages),
            ("nuncius_gateway_spool_bytes", &counts.memory_bytes),
            ("nuncius_gateway_spool_directory_bytes", &counts.directory_bytes),
        ] {
            let _ = writeln!(text, "{name}{{signal=\"{signal}\"}} {}", count.get());
        }
        for (reason, count) in counts.dropped() {
            let name = "nuncius_gateway_dropped_messages_total";
            let _ = writeln!(text, "{name}{{signal=\"{signal}\",reason=\"{reason}\"}} {}", count.get());
        }
    }
    let forgotten = state.export.forgotten_messages.get();
    let _ = writeln!(text, "nuncius_gateway_dropped_messages_total{{signal=\"all\",reason=\"expired\"}} {forgotten}");
    text
}
