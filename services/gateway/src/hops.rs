//! The way of sampled messages through nats-server as spans: what the servers' own message tracing tells, under the
//! span of whoever sent the message.
//!
//! Processes that were told to (`--trace-hops`) ask for it with each message whose trace is sampled. Servers have
//! clocks of their own: how long things took is theirs, and their beginning is laid where the message was sent. What
//! cannot be read is nothing of ours, and is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::Bus;
use nuncius_schemas::subjects::{HEADER_SENT_UNIX_NS, HEADER_TRACEPARENT, Signal};
use nuncius_telemetry::parse_traceparent;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode};
use prost::Message as _;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Of several gateways one makes spans of an event.
const QUEUE_GROUP: &str = "gateway";
/// Longest event that is read, in bytes: one that went to thousands of subscribers is longer.
const EVENT_MAX_BYTES: usize = 256 * 1024;
/// Most deliveries of one message that become spans.
const DELIVERIES_MAX: usize = 32;
/// Spans that go out together at most, and how long the first of them waits for others.
const BATCH_SPANS_MAX: usize = 256;
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// What a server tells of one message.
#[derive(Debug, Deserialize)]
struct Event {
    server: Server,
    request: Request,
    events: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
struct Server {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    ver: String,
}

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    header: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    msgsize: i64,
}

/// One thing that happened to it: `in`, `js`, `eg`, and what is not of interest here.
#[derive(Debug, Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    ts: String,
    #[serde(default)]
    subj: Option<String>,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Spans that wait to go out, by server.
#[derive(Debug, Default)]
struct Batch {
    servers: BTreeMap<String, (Server, Vec<Span>)>,
    spans: usize,
}

/// Makes spans of what servers tell, until `shutdown`.
pub(crate) async fn run(bus: Bus, shutdown: CancellationToken) {
    let subject = bus.namespace().hops();
    let mut events = match bus.queue_subscribe(&subject, QUEUE_GROUP).await {
        Ok(events) => events,
        Err(error) => return warn!(%error, "broker hops are not traced"),
    };
    let mut batch = Batch::default();
    let mut due: Option<Instant> = None;
    loop {
        let waited = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { break };
                match read(&event.payload) {
                    Ok(Some((server, spans))) => batch.add(server, spans),
                    Ok(None) => {}
                    Err(problem) => debug!(problem, "an event of message tracing cannot be read"),
                }
                if batch.spans > 0 {
                    due.get_or_insert_with(|| Instant::now() + BATCH_WAIT);
                }
                if batch.spans < BATCH_SPANS_MAX {
                    continue;
                }
            }
            () = waited => {}
            () = shutdown.cancelled() => break,
        }
        due = None;
        publish(&bus, std::mem::take(&mut batch)).await;
    }
    if batch.spans > 0 {
        publish(&bus, batch).await;
    }
}

async fn publish(bus: &Bus, batch: Batch) {
    let bytes = Bytes::from(batch.into_request().encode_to_vec());
    if let Err(error) = bus.publish_otlp(Signal::Traces, bytes).await {
        debug!(%error, "spans of broker hops are lost");
    }
}

/// The spans of an event; `None` where its message is of no sampled trace.
fn read(payload: &[u8]) -> Result<Option<(Server, Vec<Span>)>, String> {
    if payload.len() > EVENT_MAX_BYTES {
        return Err(format!("{} bytes, over the limit of {EVENT_MAX_BYTES}", payload.len()));
    }
    let event: Event = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let Some((trace_id, parent, true)) = event.request.header(HEADER_TRACEPARENT).and_then(parse_traceparent) else {
        return Ok(None);
    };
    let mut times_ns = Vec::with_capacity(event.events.len());
    for step in &event.events {
        let at = OffsetDateTime::parse(&step.ts, &Rfc3339).map_err(|error| format!("ts `{}`: {error}", step.ts))?;
        times_ns.push(u64::try_from(at.unix_timestamp_nanos()).map_err(|_| "a time before 1970".to_owned())?);
    }
    let Some(entered_ns) = times_ns.first().copied() else { return Ok(None) };
    let sent_ns = event.request.header(HEADER_SENT_UNIX_NS).and_then(|text| text.parse().ok()).unwrap_or(entered_ns);
    // On the sender's clock, whatever the server's says.
    let aligned = |at_ns: u64| sent_ns.saturating_add(at_ns.saturating_sub(entered_ns));
    let last_ns = times_ns.iter().copied().max().unwrap_or(entered_ns);
    let made = Made { trace_id, sent_ns };
    let subject = event.events.iter().find_map(|step| step.subj.clone()).unwrap_or_default();
    let mut attributes = vec![
        text("messaging.system", "nats"),
        text("messaging.destination.name", &subject),
        text("nats.server.name", &event.server.name),
        number("messaging.message.envelope.size", event.request.msgsize),
        number("nats.clock_offset_ns", signed(entered_ns) - signed(sent_ns)),
    ];
    attributes.extend(event.request.header("Nats-Trace-Hop").map(|hop| text("nats.hop", hop)));
    let problem = event.events.iter().find(|step| step.kind == "in").and_then(|step| step.error.as_deref());
    let ingress = made.span("nats ingress", parent, aligned(last_ns), attributes, problem);
    let parent = id_of(&ingress);
    let mut spans = vec![ingress];
    for (step, at_ns) in event.events.iter().zip(times_ns).filter(|(step, _)| step.kind != "in") {
        if spans.len() > DELIVERIES_MAX {
            break;
        }
        let (name, wanted) = match step.kind.as_str() {
            "js" => ("nats store", [("nats.stream", &step.stream), ("nats.subject", &step.subj)]),
            "eg" => ("nats deliver", [("nats.subscription", &step.sub), ("nats.queue", &step.queue)]),
            _ => continue,
        };
        let mut attributes = vec![text("messaging.system", "nats"), text("nats.server.name", &event.server.name)];
        attributes.extend(wanted.into_iter().filter_map(|(key, value)| Some(text(key, value.as_deref()?))));
        // Of another server, or a leaf, that it goes on to.
        attributes.extend(step.name.as_deref().map(|name| text("nats.peer.name", name)));
        spans.push(made.span(name, parent, aligned(at_ns), attributes, step.error.as_deref()));
    }
    Ok(Some((event.server, spans)))
}

impl Request {
    /// Servers may write names of headers in their own case.
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.header.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.and_then(|(_, values)| values.first()).map(String::as_str)
    }
}

/// What all spans of an event have in common.
struct Made {
    trace_id: u128,
    sent_ns: u64,
}

impl Made {
    fn span(&self, name: &str, parent: u64, end_ns: u64, attributes: Vec<KeyValue>, problem: Option<&str>) -> Span {
        Span {
            trace_id: self.trace_id.to_be_bytes().to_vec(),
            span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
            parent_span_id: parent.to_be_bytes().to_vec(),
            // Sampled.
            flags: 1,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.sent_ns,
            end_time_unix_nano: end_ns,
            attributes,
            status: problem.map(|problem| Status { message: problem.to_owned(), code: StatusCode::Error.into() }),
            ..Span::default()
        }
    }
}

fn id_of(span: &Span) -> u64 {
    let bytes: Result<[u8; 8], _> = span.span_id.as_slice().try_into();
    bytes.map_or(0, u64::from_be_bytes)
}

impl Batch {
    fn add(&mut self, server: Server, spans: Vec<Span>) {
        self.spans += spans.len();
        self.servers.entry(server.id.clone()).or_insert_with(|| (server, Vec::new())).1.extend(spans);
    }

    fn into_request(self) -> ExportTraceServiceRequest {
        let of_server = |(server, spans): (Server, Vec<Span>)| {
            let mut attributes = vec![
                text("service.name", "nats-server"),
                text("service.instance.id", &server.id),
                text("service.version", &server.ver),
                text("nats.server.name", &server.name),
            ];
            attributes.extend(server.cluster.as_deref().map(|cluster| text("nats.cluster", cluster)));
            let scope = InstrumentationScope { name: "nuncius".to_owned(), ..InstrumentationScope::default() };
            ResourceSpans {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }
        };
        ExportTraceServiceRequest { resource_spans: self.servers.into_values().map(of_server).collect() }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nats-server 2.15.1 tells it.
    const STORED: &str = r#"{"server":{"name":"probe","host":"127.0.0.1","id":"NCDDY","ver":"2.15.1",
        "feature_flags":{"js_ack_fc_v2":false},"jetstream":true,"flags":7,"seq":22,"time":"2026-11-29T07:32:18.545673952Z"},
        "request":{"header":{"Nats-Trace-Dest":["nuncius.hop"],"Nuncius-Sent-Unix-Ns":["1000000"],
        "traceparent":["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]},"msgsize":128},
        "events":[{"type":"in","ts":"2026-11-29T07:32:18.545418472Z","kind":0,"cid":6,"acc":"A","subj":"x.js"},
        {"type":"js","ts":"2026-11-29T07:32:18.545527915Z","stream":"S","subject":"x.js"}]}"#;

    #[test]
    fn a_stored_message_has_its_ingress_and_its_store_where_it_was_sent() {
        let (server, spans) = read(STORED.as_bytes()).unwrap().unwrap();
        assert_eq!((server.name.as_str(), server.ver.as_str()), ("probe", "2.15.1"));
        let told: Vec<(&str, u64, u64)> =
            spans.iter().map(|span| (span.name.as_str(), span.start_time_unix_nano, span.end_time_unix_nano)).collect();
        assert_eq!(told, [("nats ingress", 1_000_000, 1_109_443), ("nats store", 1_000_000, 1_109_443)]);
        assert_eq!(spans[0].parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert_eq!(spans[1].parent_span_id, spans[0].span_id);
        assert!(spans.iter().all(|span| span.trace_id == 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()));
        assert!(spans[1].attributes.contains(&text("nats.stream", "S")));
        let mut batch = Batch::default();
        batch.add(server, spans);
        let request = batch.into_request();
        let resource = request.resource_spans[0].resource.as_ref().unwrap();
        assert!(resource.attributes.contains(&text("service.name", "nats-server")));
    }

    #[test]
    fn what_is_of_no_sampled_trace_makes_no_spans_and_nonsense_harms_nobody() {
        assert!(read(STORED.replace("331-01", "331-00").as_bytes()).unwrap().is_none());
        assert!(read(STORED.replace("traceparent", "other").as_bytes()).unwrap().is_none());
        assert!(read(br#"{"server":{},"request":{},"events":[]}"#).unwrap().is_none());
        for nonsense in ["", "{}", "[]", &STORED.replace("2026-11-29T07:32:18.545527915Z", "yesterday")] {
            assert!(read(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
        let many = r#"{"type":"eg","ts":"2026-11-29T07:32:18.545527915Z","sub":"x"},"#.repeat(1_000);
        let many = STORED.replace(r#"{"type":"js""#, &format!(r#"{many}{{"type":"js""#));
        assert_eq!(read(many.as_bytes()).unwrap().unwrap().1.len(), DELIVERIES_MAX + 1);
    }
}
