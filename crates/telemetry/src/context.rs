//! Trace contexts as text: W3C `traceparent`, version 00.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The `traceparent` of these ids.
pub fn traceparent(trace_id: u128, span_id: u64, sampled: bool) -> String {
    format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(sampled))
}

/// Trace id, span id and whether it is sampled; `None` for what is no `traceparent`. Of later versions the part that is
/// known is read, as the recommendation demands.
pub fn parse_traceparent(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.trim().splitn(5, '-');
    let version = hexadecimal(parts.next()?, 2)?;
    let trace_id = hexadecimal(parts.next()?, 32)?;
    let span_id = u64::try_from(hexadecimal(parts.next()?, 16)?).ok()?;
    let flags = hexadecimal(parts.next()?, 2)?;
    let whole = parts.next().is_none();
    if version == 0xff || (version == 0 && !whole) || trace_id == 0 || span_id == 0 {
        return None;
    }
    Some((trace_id, span_id, flags & 1 == 1))
}

/// Lower case only, as the recommendation has it.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u128::from_str_radix(text, 16).ok() } else { None }
}

/// The remote context that a `traceparent` stands for; an empty one when it stands for none.
pub fn context_from_traceparent(text: &str) -> Context {
    let Some((trace_id, span_id, sampled)) = parse_traceparent(text) else {
        return Context::new();
    };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(span_id),
        TraceFlags::default().with_sampled(sampled),
        true,
        TraceState::NONE,
    ))
}

/// Makes `span` a child of what a message's `traceparent` names. To be called before the span is entered; without an
/// exporter, or with a text that is no `traceparent`, nothing happens.
pub fn set_parent(span: &tracing::Span, traceparent: &str) {
    if parse_traceparent(traceparent).is_some() {
        // Refused for a span without the exporter's layer (nothing to do) or one already entered (the caller's mistake,
        // which costs a link in a trace and nothing else).
        let _ = span.set_parent(context_from_traceparent(traceparent));
    }
}

/// Trace id and span id of a span; `None` when it is not exported.
pub fn ids_of(span: &tracing::Span) -> Option<(u128, u64)> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    let ids = (u128::from_be_bytes(span.trace_id().to_bytes()), u64::from_be_bytes(span.span_id().to_bytes()));
    span.is_valid().then_some(ids)
}

/// The same of a span that is sampled: others are exported by nobody, and nothing may be their child.
pub fn sampled_ids_of(span: &tracing::Span) -> Option<(u128, u64)> {
    let context = span.context();
    let is_sampled = context.span().span_context().is_sampled();
    is_sampled.then(|| ids_of(span)).flatten()
}

/// The `traceparent` of the current `tracing` span, to put into a message; `None` when it has none.
pub fn current_traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    let ids = (u128::from_be_bytes(span.trace_id().to_bytes()), u64::from_be_bytes(span.span_id().to_bytes()));
    span.is_valid().then(|| traceparent(ids.0, ids.1, span.is_sampled()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_was_written() {
        let text = traceparent(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, true);
        assert_eq!(text, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let ids = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, true);
        assert_eq!(parse_traceparent(&text), Some(ids));
        assert_eq!(parse_traceparent(&traceparent(1, 2, false)), Some((1, 2, false)));
        let context = context_from_traceparent(&text);
        assert!(context.span().span_context().is_remote() && context.span().span_context().is_sampled());
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{span}"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-+{}-{span}-01", "1".repeat(31)),
            format!("00-{trace}-{span}-é1"),
        ] {
            assert_eq!(parse_traceparent(&text), None, "{text}");
            assert!(!context_from_traceparent(&text).span().span_context().is_valid());
        }
        assert!(parse_traceparent(&format!("01-{trace}-{span}-01-more")).is_some());
    }

    #[test]
    fn without_an_exporter_there_is_no_current_traceparent() {
        assert_eq!(current_traceparent(), None);
    }
}
