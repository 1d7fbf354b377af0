//! Asking the server to tell how a message goes through it, where its trace is sampled: its own message tracing, which
//! publishes what happened to a subject that the message names.
//!
//! A user who may not publish there loses the message, so that it is asked for by those alone who were told to.

use async_nats::HeaderMap;
use nuncius_schemas::subjects::{HEADER_SENT_UNIX_NS, HEADER_TRACE_DESTINATION, HEADER_TRACEPARENT, Namespace};

use crate::clock::unix_ns;

/// Adds what the server goes by to the headers of a sampled message.
pub(crate) fn ask(map: &mut HeaderMap, namespace: &Namespace, subject: &str) {
    let is_sampled = map.get(HEADER_TRACEPARENT).is_some_and(|traceparent| is_sampled(traceparent.as_str()));
    if is_sampled && namespace.is_traced(subject) {
        map.insert(HEADER_TRACE_DESTINATION, namespace.hops().as_str());
        // The clocks of servers are others: what they tell is laid where it was sent.
        map.insert(HEADER_SENT_UNIX_NS, unix_ns().to_string().as_str());
    }
}

/// Whether the flags of a `traceparent` say so.
fn is_sampled(traceparent: &str) -> bool {
    let flags = traceparent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sampled_messages_of_the_namespace_that_are_no_telemetry_are_asked_about() {
        let namespace = Namespace::new("lab").unwrap();
        let asked = |subject: &str, flags: &str| {
            let mut map = HeaderMap::new();
            map.insert(HEADER_TRACEPARENT, format!("00-{}-{}-{flags}", "1".repeat(32), "2".repeat(16)).as_str());
            ask(&mut map, &namespace, subject);
            map.get(HEADER_TRACE_DESTINATION).map(|destination| destination.as_str().to_owned())
        };
        assert_eq!(asked("lab.job.q.0.c", "01").as_deref(), Some("lab.hop"));
        assert_eq!(asked("lab.job.q.0.c", "00"), None);
        for quiet in
            ["lab.metric.e.n", "lab.trace.e.n", "lab.otlp.traces", "lab.sample.n", "_INBOX.x", "lab2.job.q.0.c"]
        {
            assert_eq!(asked(quiet, "01"), None, "{quiet}");
        }
        let mut map = HeaderMap::new();
        ask(&mut map, &namespace, "lab.job.q.0.c");
        assert!(map.is_empty());
    }
}
