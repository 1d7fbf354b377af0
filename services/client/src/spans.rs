//! The spans of a node's part in a run: the load that it offers, and under it the requests that are traced.
//!
//! What they are called and what they say of a step is made once, before the first of them: at a high ratio there are
//! very many. Names and attributes follow OpenTelemetry's semantic conventions for HTTP and messaging.

use std::sync::{Arc, OnceLock};

use nuncius_bus::clock::unix_ns;
use nuncius_engine::sink::{Row, SlowRow};
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::redact::redact_url;
use nuncius_schemas::spec::{AmqpPublish, EngineKind, ExperimentSpec, Group, Method, Step};
use nuncius_schemas::subjects::Namespace;
use nuncius_telemetry::{Operation, SpanKind, SpanRecord, Value, messaging, record_span, traceparent};

/// What the spans of one step have in common.
struct StepSpan {
    name: String,
    kind: SpanKind,
    attributes: Vec<(&'static str, Value)>,
    has_http_status: bool,
}

/// The spans of one attempt on this node.
pub(crate) struct RunSpans {
    experiment: Arc<str>,
    node: String,
    trace_id: u128,
    /// Of the load that the node offers.
    span_id: u64,
    /// Span of the start on this node, 0 for none, once it is known.
    parent_span_id: Arc<OnceLock<u64>>,
    /// Wall clock of the run's instant zero, nanoseconds since the Unix epoch, once it is known.
    start_unix_ns: Arc<OnceLock<u64>>,
    /// By group and step.
    steps: Vec<Vec<StepSpan>>,
}

impl RunSpans {
    /// `None` where no span leaves this process.
    pub(crate) fn new(
        (experiment, node): (&str, &str),
        trace_id: u128,
        spec: &ExperimentSpec,
        namespace: &Namespace,
        parent_span_id: Arc<OnceLock<u64>>,
        start_unix_ns: Arc<OnceLock<u64>>,
    ) -> Option<Self> {
        if !nuncius_telemetry::is_recording() {
            return None;
        }
        let experiment: Arc<str> = Arc::from(experiment);
        let steps = spec.groups.iter().map(|group| steps_of(group, namespace)).collect::<Vec<Vec<StepSpan>>>();
        let span_id = fastrand::u64(1..);
        Some(Self { experiment, node: node.to_owned(), trace_id, span_id, parent_span_id, start_unix_ns, steps })
    }

    /// What the node's messages about the run carry: whoever works on many of them links to it.
    pub(crate) fn traceparent(&self) -> String {
        traceparent(self.trace_id, self.span_id, true)
    }

    /// Tells a request whose `traceparent` was sampled.
    pub(crate) fn request(&self, row: &Row) {
        if row.trace_id != 0 && row.done_ns != 0 {
            self.tell(row, None);
        }
    }

    /// Tells one that was among the slowest, unless it was told for being sampled.
    pub(crate) fn slow(&self, slow: &SlowRow) {
        if !slow.is_sampled {
            self.tell(&slow.row, Some("slowest"));
        }
    }

    fn tell(&self, row: &Row, sampling: Option<&'static str>) {
        let Some(start_unix_ns) = self.start_unix_ns.get() else { return };
        let steps = self.steps.get(usize::from(row.group));
        let Some(step) = steps.and_then(|steps| steps.get(usize::from(row.step))) else { return };
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let begun_ns = if row.sent_ns == 0 { row.planned_ns } else { row.sent_ns };
        let mut attributes = Vec::with_capacity(step.attributes.len() + 8);
        attributes.extend_from_slice(&step.attributes);
        attributes.push(("nuncius.experiment.id", Value::String(Arc::clone(&self.experiment).into())));
        attributes.push(("nuncius.index", number(row.index).into()));
        attributes.push(("nuncius.planned_ns", number(row.planned_ns).into()));
        // Before it was sent: the generator's own delay, and the wait for a connection.
        attributes.push(("nuncius.waited_ns", number(begun_ns.saturating_sub(row.planned_ns)).into()));
        if step.has_http_status && row.status >= 0 {
            attributes.push(("http.response.status_code", i64::from(row.status).into()));
        }
        if let Some(sampling) = sampling {
            attributes.push(("nuncius.sampling", sampling.into()));
        }
        let error = row.failure.map(|failure| match failure {
            FailureKind::Status => {
                attributes.push(("error.type", row.status.to_string().into()));
                format!("status {}", row.status)
            }
            other => {
                attributes.push(("error.type", other.name().into()));
                other.name().to_owned()
            }
        });
        record_span(SpanRecord {
            parent_span_id: if row.received_from == 0 { self.span_id } else { row.received_from },
            attributes,
            error,
            ..SpanRecord::new(
                row.trace_id,
                row.span_id,
                step.name.clone(),
                step.kind,
                start_unix_ns + begun_ns,
                start_unix_ns + row.done_ns,
            )
        });
    }

    /// Tells the whole, once nothing more of it comes.
    pub(crate) fn end(&self, stopped: Option<&str>) {
        let Some(start_unix_ns) = self.start_unix_ns.get() else { return };
        record_span(SpanRecord {
            parent_span_id: self.parent_span_id.get().copied().unwrap_or(0),
            attributes: vec![
                ("nuncius.experiment.id", Value::String(Arc::clone(&self.experiment).into())),
                ("nuncius.node", self.node.clone().into()),
            ],
            error: stopped.map(str::to_owned),
            ..SpanRecord::new(
                self.trace_id,
                self.span_id,
                "offer load",
                SpanKind::Internal,
                *start_unix_ns,
                unix_ns().max(*start_unix_ns),
            )
        });
    }
}

fn steps_of(group: &Group, namespace: &Namespace) -> Vec<StepSpan> {
    let names = group.step_names();
    let ordinary = Step::default();
    let step_of = |index: usize| group.steps.get(index).unwrap_or(&ordinary);
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let mut span = match group.engine {
                EngineKind::Http => http(group, step_of(index)),
                EngineKind::Amqp => amqp(group, step_of(index)),
                EngineKind::Queue => queue(group, namespace),
                EngineKind::Servo => servo(group, namespace, name),
            };
            span.attributes.push(("nuncius.group", Value::from(group.name.clone())));
            span.attributes.push(("nuncius.step", Value::from(name.clone())));
            // Shared by all spans of the step instead of copied for each.
            for (_, value) in &mut span.attributes {
                if let Value::String(text) = value {
                    *value = Value::String(Arc::<str>::from(text.as_str()).into());
                }
            }
            span
        })
        .collect()
}

fn http(group: &Group, step: &Step) -> StepSpan {
    let (_, base) = parts_of(&group.target);
    let path = match &step.path {
        Some(path) => format!("{}{path}", base.trim_end_matches('/')),
        None if base.is_empty() => "/".to_owned(),
        None => base.to_owned(),
    };
    let template = path.split(['?', '#']).next().unwrap_or_default().to_owned();
    let method = step.method.as_ref();
    http_span(group, method.map_or("GET", Method::name), method.is_some_and(Method::is_custom), template)
}

fn http_span(group: &Group, method: &str, is_custom: bool, template: String) -> StepSpan {
    let mut attributes = server_of(&group.target);
    let name = if is_custom {
        attributes.push(("http.request.method", "_OTHER".into()));
        attributes.push(("http.request.method_original", method.to_owned().into()));
        "HTTP"
    } else {
        attributes.push(("http.request.method", method.to_owned().into()));
        method
    };
    let (origin, _) = parts_of(&group.target);
    attributes.push(("url.full", redact_url(&format!("{origin}{template}")).into()));
    attributes.push(("url.template", template.clone().into()));
    StepSpan { name: format!("{name} {template}"), kind: SpanKind::Client, attributes, has_http_status: true }
}

fn amqp(group: &Group, step: &Step) -> StepSpan {
    let (name, operation, kind) = match &step.publish {
        Some(_) => ("publish", Operation::Send, SpanKind::Producer),
        None => ("deliver", Operation::Process, SpanKind::Consumer),
    };
    let destination = match (&step.publish, &step.consume) {
        (Some(AmqpPublish { exchange, routing_key, .. }), _) if exchange.is_empty() => routing_key.clone(),
        (Some(AmqpPublish { exchange, routing_key, .. }), _) if routing_key.is_empty() => exchange.clone(),
        (Some(AmqpPublish { exchange, routing_key, .. }), _) => format!("{exchange}:{routing_key}"),
        (None, Some(consume)) => consume.queue.clone(),
        (None, None) => String::new(),
    };
    let mut attributes = messaging("rabbitmq", name, operation, destination.clone(), None);
    if let Some(publish) = step.publish.as_ref().filter(|publish| !publish.routing_key.is_empty()) {
        attributes.push(("messaging.rabbitmq.destination.routing_key", publish.routing_key.clone().into()));
    }
    attributes.extend(server_of(&group.target));
    StepSpan { name: format!("{name} {destination}"), kind, attributes, has_http_status: false }
}

/// From the submission of a job to its record: the span of the virtual user, which waits for that.
fn queue(group: &Group, namespace: &Namespace) -> StepSpan {
    let queue = group.target.trim_start_matches("queue://");
    let destination = format!("{}.job.{queue}", namespace.as_str());
    let mut attributes = messaging("nats", "send", Operation::Send, destination.clone(), None);
    attributes.push(("nuncius.queue", queue.to_owned().into()));
    StepSpan { name: format!("send {destination}"), kind: SpanKind::Producer, attributes, has_http_status: false }
}

fn servo(group: &Group, namespace: &Namespace, event: &str) -> StepSpan {
    let account = group.servo.as_ref().map(|servo| servo.account.clone()).unwrap_or_default();
    let mut span = if group.target.starts_with("nats://") {
        let template = format!("{}.oco.{{account}}.{{app}}.servo", namespace.as_str());
        let destination = format!("{}.oco.{account}.{{app}}.servo", namespace.as_str());
        let attributes = messaging("nats", "request", Operation::Send, destination, Some(template.clone()));
        StepSpan { name: format!("request {template}"), kind: SpanKind::Client, attributes, has_http_status: false }
    } else {
        let base = parts_of(&group.target).1.trim_end_matches('/');
        http_span(group, "POST", false, format!("{base}/accounts/{{account}}/applications/{{app}}/servo"))
    };
    span.attributes.push(("nuncius.servo.event", event.to_owned().into()));
    span
}

/// Origin and path of a URL, without its query.
fn parts_of(target: &str) -> (&str, &str) {
    let authority = target.find("://").map_or(0, |scheme| scheme + 3);
    let after = target.get(authority..).unwrap_or_default();
    let end = after.find(['/', '?', '#']).map_or(target.len(), |at| authority + at);
    let (origin, rest) = target.split_at(end);
    (origin, rest.split(['?', '#']).next().unwrap_or_default())
}

/// `server.address` and `server.port` of a URL; the name of a service where its host is one.
fn server_of(target: &str) -> Vec<(&'static str, Value)> {
    let Some((scheme, rest)) = target.split_once("://") else { return Vec::new() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
        _ => (authority, None),
    };
    let default_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "amqp" => Some(5_672),
        "amqps" => Some(5_671),
        _ => None,
    };
    let mut attributes = vec![("server.address", Value::from(host.trim_matches(['[', ']']).to_owned()))];
    attributes.extend(port.or(default_port).map(|port| ("server.port", Value::from(i64::from(port)))));
    attributes
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::codec;

    use super::*;

    fn spans(group: &str) -> Vec<(String, SpanKind, Vec<String>)> {
        let spec: ExperimentSpec =
            codec::decode(format!("{{\"groups\": [{{{group}, \"rate\": \"1/s\", \"duration\": \"1s\"}}]}}").as_bytes())
                .unwrap();
        let namespace = Namespace::new("lab").unwrap();
        let texts = |span: StepSpan| span.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        steps_of(&spec.groups[0], &namespace)
            .into_iter()
            .map(|span| (span.name.clone(), span.kind, texts(span)))
            .collect()
    }

    #[test]
    fn spans_of_http_steps_are_named_by_method_and_path_and_show_no_secret() {
        let made = spans(
            r#""target": "http://shop:8080/api/", "steps": [
                {"path": "/cart?token=secret"}, {"name": "odd", "method": {"custom": "BREW"}, "path": "/pot"}]"#,
        );
        assert_eq!((made[0].0.as_str(), made[0].1), ("GET /api/cart", SpanKind::Client));
        for wanted in [
            "server.address=shop",
            "server.port=8080",
            "http.request.method=GET",
            "url.full=http://shop:8080/api/cart",
            "url.template=/api/cart",
            "nuncius.group=main",
            "nuncius.step=step-1",
        ] {
            assert!(made[0].2.iter().any(|attribute| attribute == wanted), "{wanted}: {made:?}");
        }
        assert!(!format!("{made:?}").contains("secret"));
        assert_eq!(made[1].0, "HTTP /api/pot");
        assert!(made[1].2.contains(&"http.request.method_original=BREW".to_owned()));
        assert_eq!(spans(r#""target": "https://[::1]""#)[0].0, "GET /");
        assert!(spans(r#""target": "https://[::1]""#)[0].2.contains(&"server.address=::1".to_owned()));
        assert!(spans(r#""target": "https://[::1]""#)[0].2.contains(&"server.port=443".to_owned()));
    }

    #[test]
    fn what_is_asked_for_is_no_part_of_a_path() {
        let made = spans(r#""target": "http://shop?next=/token""#);
        assert_eq!(made[0].0, "GET /");
        assert!(!format!("{made:?}").contains("token"), "{made:?}");
    }

    #[test]
    fn spans_of_messages_are_named_by_operation_and_destination() {
        let made = spans(
            r#""engine": "amqp", "target": "amqp://me:word@broker/%2f", "steps": [
                {"publish": {"exchange": "e", "routing_key": "k"}}, {"publish": {"routing_key": "q"}},
                {"consume": {"queue": "q"}}]"#,
        );
        let names: Vec<&str> = made.iter().map(|span| span.0.as_str()).collect();
        assert_eq!(names, ["publish e:k", "publish q", "deliver q"]);
        assert!(made[0].2.contains(&"messaging.rabbitmq.destination.routing_key=k".to_owned()));
        assert!(made[0].2.contains(&"server.address=broker".to_owned()) && !format!("{made:?}").contains("word"));
        let made = spans(r#""engine": "queue", "target": "queue://gpu""#);
        assert_eq!((made[0].0.as_str(), made[0].1), ("send lab.job.gpu", SpanKind::Producer));
        assert!(made[0].2.contains(&"messaging.destination.name=lab.job.gpu".to_owned()));
    }
}
