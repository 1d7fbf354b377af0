//! A process that is told to make no telemetry. Alone in its file: what is global can be set once.

use bytes::Bytes;
use nuncius_telemetry::{
    LogFormat, Losses, Signal, SpanKind, SpanRecord, TelemetryError, TelemetryOptions, current_traceparent, init,
    is_recording, is_wanted, out_box, record_span, send,
};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn options(environment: &dyn Fn(&str) -> Option<String>) -> TelemetryOptions<'_> {
    TelemetryOptions {
        service_name: "nuncius-test".to_owned(),
        log_format: LogFormat::Human,
        colour: false,
        log_filter: None,
        resource: Vec::new(),
        environment,
    }
}

#[test]
fn a_process_that_is_told_so_starts_no_thread_and_recording_does_nothing() {
    let disabled = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
    let before = threads();
    let telemetry = init(options(&disabled)).unwrap();
    assert_eq!(threads(), before);
    assert!(!telemetry.is_exporting() && !is_recording() && out_box().is_none());
    assert!(Signal::ALL.into_iter().all(|signal| !is_wanted(signal) && !send(signal, Bytes::new())));
    record_span(SpanRecord::new(1, 2, "work", SpanKind::Internal, 0, 1));
    tracing::info_span!("work").in_scope(|| assert_eq!(current_traceparent(), None));
    assert_eq!(telemetry.losses(), Losses::default());
    assert!(matches!(init(options(&disabled)), Err(TelemetryError::AlreadyInstalled)));
    telemetry.flush_and_shutdown(std::time::Duration::ZERO).unwrap();
}
