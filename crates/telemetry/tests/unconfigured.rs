//! A process without an endpoint in its environment. Alone in its file: what is global can be set once.

use nuncius_telemetry::{
    LogFormat, SpanKind, SpanRecord, TelemetryError, TelemetryOptions, current_traceparent, init, is_recording,
    record_span,
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
fn nothing_configured_starts_no_thread_and_recording_does_nothing() {
    let before = threads();
    let telemetry = init(options(&|_| None)).unwrap();
    assert_eq!(threads(), before);
    assert!(!telemetry.is_exporting() && !is_recording());
    record_span(SpanRecord::new(1, 2, "work", SpanKind::Internal, 0, 1));
    tracing::info_span!("work").in_scope(|| assert_eq!(current_traceparent(), None));
    assert_eq!(telemetry.dropped_spans(), 0);
    assert!(matches!(init(options(&|_| None)), Err(TelemetryError::AlreadyInstalled)));
    telemetry.flush_and_shutdown(std::time::Duration::ZERO).unwrap();
}
