//! What a message carries beside its body: enough for any node of the run to measure it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

const RUN: &str = "nuncius-run";
const PUBLISHER: &str = "nuncius-publisher";
const MESSAGE: &str = "nuncius-message";
const PLANNED: &str = "nuncius-planned-ns";
const PUBLISHED: &str = "nuncius-published-ns";
const TRACEPARENT: &str = "traceparent";

/// `delivery_mode` of a message that the broker writes to disk.
const PERSISTENT: u8 = 2;

/// Where a message comes from, and when. Instants in nanoseconds of run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) publisher: u64,
    /// Unique for its publisher.
    pub(super) message: u64,
    /// Planned instant of the iteration; absent in the closed model.
    pub(super) planned_ns: Option<u64>,
    /// When it was handed to the connection.
    pub(super) published_ns: u64,
}

/// The properties of a message of run `run`.
pub(super) fn properties(run: &str, stamp: &Stamp, persistent: bool, trace: Option<String>) -> BasicProperties {
    // AMQP knows signed integers only, as far as all brokers agree.
    let number = |value: u64| AMQPValue::LongLongInt(value.cast_signed());
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut headers = FieldTable::default();
    headers.insert(RUN.into(), text(run));
    headers.insert(PUBLISHER.into(), number(stamp.publisher));
    headers.insert(MESSAGE.into(), number(stamp.message));
    headers.insert(PUBLISHED.into(), number(stamp.published_ns));
    if let Some(planned_ns) = stamp.planned_ns {
        headers.insert(PLANNED.into(), number(planned_ns));
    }
    if let Some(trace) = trace {
        headers.insert(TRACEPARENT.into(), text(&trace));
    }
    let properties = BasicProperties::default().with_headers(headers);
    if persistent { properties.with_delivery_mode(PERSISTENT) } else { properties }
}

/// The stamp of a message of run `run`; `None` for any other message.
pub(super) fn read(run: &str, properties: &BasicProperties) -> Option<Stamp> {
    let headers = properties.headers().as_ref()?.inner();
    let AMQPValue::LongString(its_run) = headers.get(RUN)? else { return None };
    if its_run.as_bytes() != run.as_bytes() {
        return None;
    }
    let number = |name: &str| match headers.get(name) {
        Some(AMQPValue::LongLongInt(value)) => Some(value.cast_unsigned()),
        _ => None,
    };
    Some(Stamp {
        publisher: number(PUBLISHER)?,
        message: number(MESSAGE)?,
        planned_ns: number(PLANNED),
        published_ns: number(PUBLISHED)?,
    })
}

/// Trace and span of whoever published a message, where that is sampled.
pub(super) fn trace(properties: &BasicProperties) -> Option<(u128, u64)> {
    let AMQPValue::LongString(text) = properties.headers().as_ref()?.inner().get(TRACEPARENT)? else { return None };
    let text = std::str::from_utf8(text.as_bytes()).ok()?;
    let (trace_id, span_id, is_sampled) = nuncius_telemetry::parse_traceparent(text)?;
    is_sampled.then_some((trace_id, span_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_by_its_own_run_only() {
        let stamp = Stamp { publisher: u64::MAX, message: 7, planned_ns: Some(1_000), published_ns: 2_000 };
        let open = properties("run", &stamp, true, Some("00-…-01".to_owned()));
        assert_eq!(read("run", &open), Some(stamp));
        assert_eq!(read("another", &open), None);
        assert_eq!(*open.delivery_mode(), Some(2));
        assert_eq!(trace(&open), None, "that was none");
        let sampled = format!("00-{:032x}-{:016x}-01", 7, 8);
        assert_eq!(trace(&properties("run", &stamp, true, Some(sampled))), Some((7, 8)));
        let closed = Stamp { planned_ns: None, ..stamp };
        let transient = properties("run", &closed, false, None);
        assert_eq!(read("run", &transient), Some(closed));
        assert_eq!(*transient.delivery_mode(), None);
        assert_eq!(read("run", &BasicProperties::default()), None);
        let mut strange = FieldTable::default();
        strange.insert(RUN.into(), AMQPValue::LongString("run".into()));
        strange.insert(MESSAGE.into(), AMQPValue::Void);
        assert_eq!(read("run", &BasicProperties::default().with_headers(strange)), None);
    }
}
