//! The spans of a node's part in a run: the load that it offers, and under it the requests that are traced.
//!
//! What they are called and what they say of a step is made once, before the first of them: at a high ratio there are
//! very many. Names and attributes follow OpenTelemetry's semantic conventions for HTTP and messaging.

use std::sync::{Arc, OnceLock};

use nuncius_clock::unix_ns;
use nuncius_engine::sink::{Row, SlowRow};
use nuncius_schemas::flow::{NatsAction, NatsStep, Op, SocketIoAction, WsAction};
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::redact::redact_url;
use nuncius_schemas::spec::{AmqpPublish, EngineKind, ExperimentSpec, Group, Method, Step};
use nuncius_schemas::subjects::Namespace;
use nuncius_schemas::target::Target;
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
    let steps = group.measured_steps();
    let step_of = |index: usize| steps.get(index).map_or(&ordinary, |measured| measured.step);
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let mut span = match group.engine {
                EngineKind::Http => session(group, namespace, step_of(index)),
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

/// A step of a session, whatever it speaks.
fn session(group: &Group, namespace: &Namespace, step: &Step) -> StepSpan {
    match &step.op {
        None if step.publish.is_some() || step.consume.is_some() => amqp(group, step),
        None => match &step.job {
            Some(job) => submission(namespace, job.queue.as_deref().unwrap_or_default()),
            None => http(group, step),
        },
        Some(Op::Ws(ws)) => {
            let (name, is_opening) = match ws.action("") {
                Ok(WsAction::Connect(_)) => ("open", true),
                Ok(WsAction::Send(_)) => ("send", false),
                Ok(WsAction::Close(_)) => ("close", false),
                Ok(WsAction::Wait) | Err(_) => ("receive", false),
            };
            socket(group, ("websocket", name), is_opening, ws.connect.as_deref())
        }
        Some(Op::SocketIo(io)) => {
            let (name, is_opening) = match io.action("") {
                Ok(SocketIoAction::Connect(_)) => ("connect", true),
                Ok(SocketIoAction::Emit(_)) => ("emit", false),
                Ok(SocketIoAction::Disconnect) => ("disconnect", false),
                Ok(SocketIoAction::Wait(_)) | Err(_) => ("receive", false),
            };
            let mut span = socket(group, ("socketio", name), is_opening, io.connect.as_deref());
            span.attributes.push(("nuncius.socketio.namespace", io.namespace().to_owned().into()));
            let event = io.emit.as_ref().or(io.wait.as_ref().map(|event| &event.event));
            if let Some(event) = event {
                span.name = format!("{} {event}", span.name);
                span.attributes.push(("nuncius.socketio.event", event.clone().into()));
            }
            span
        }
        Some(Op::Nats(nats)) => nats_step(group, nats),
        Some(
            Op::Http(..)
            | Op::Think(_)
            | Op::Set(_)
            | Op::Loop(_)
            | Op::If(_)
            | Op::Parallel(_)
            | Op::Call(_)
            | Op::Log(_),
        ) => http(group, step),
    }
}

/// A step on a connection that a step opens, at a path or URL.
fn socket(group: &Group, (protocol, name): (&str, &str), is_opening: bool, url: Option<&str>) -> StepSpan {
    let is_whole = url.is_some_and(|url| url.contains("://"));
    let mut attributes = server_of(url.filter(|_| is_whole).unwrap_or(&group.target));
    attributes.push(("network.protocol.name", protocol.to_owned().into()));
    StepSpan { name: format!("{protocol} {name}"), kind: SpanKind::Client, attributes, has_http_status: is_opening }
}

fn nats_step(group: &Group, step: &NatsStep) -> StepSpan {
    let server = step.server.as_deref().unwrap_or(&group.target);
    let (name, operation, kind, destination) = match step.action("") {
        Ok(NatsAction::Publish(subject)) => ("publish", Operation::Send, SpanKind::Producer, subject.to_owned()),
        Ok(NatsAction::Request(subject)) => ("request", Operation::Send, SpanKind::Client, subject.to_owned()),
        Ok(NatsAction::Subscribe(subject)) => ("subscribe", Operation::Receive, SpanKind::Client, subject.to_owned()),
        Ok(NatsAction::Consume(from)) => {
            ("consume", Operation::Receive, SpanKind::Consumer, format!("{}.{}", from.stream, from.consumer))
        }
        Ok(NatsAction::Wait(_)) | Err(_) => {
            ("receive", Operation::Receive, SpanKind::Consumer, step.subscription().to_owned())
        }
    };
    let mut attributes = messaging("nats", name, operation, destination.clone(), None);
    attributes.extend(server_of(server));
    StepSpan { name: format!("{name} {destination}"), kind, attributes, has_http_status: false }
}

fn http(group: &Group, step: &Step) -> StepSpan {
    let Some((verb, request)) = step.request() else {
        // What a function of the script asks for is known when it asks.
        let attributes = server_of(&group.target);
        return StepSpan { name: "call".to_owned(), kind: SpanKind::Client, attributes, has_http_status: true };
    };
    let is_whole = request.url.contains("://");
    let target = if is_whole { request.url.as_str() } else { group.target.as_str() };
    let (_, base) = parts_of(target);
    let path = match request.url.is_empty() || is_whole {
        false => format!("{}{}", base.trim_end_matches('/'), request.url),
        true if base.is_empty() => "/".to_owned(),
        true => base.to_owned(),
    };
    let template = path.split(['?', '#']).next().unwrap_or_default().to_owned();
    let method = request.method.as_ref();
    let name = verb.method().or(method.map(Method::name)).unwrap_or("GET");
    http_span(target, name, method.is_some_and(Method::is_custom), template)
}

fn http_span(target: &str, method: &str, is_custom: bool, template: String) -> StepSpan {
    let mut attributes = server_of(target);
    let name = if is_custom {
        attributes.push(("http.request.method", "_OTHER".into()));
        attributes.push(("http.request.method_original", method.to_owned().into()));
        "HTTP"
    } else {
        attributes.push(("http.request.method", method.to_owned().into()));
        method
    };
    let (origin, _) = parts_of(target);
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
    let own = step.publish.as_ref().map(|publish| publish.broker.as_deref());
    let own = own.or(step.consume.as_ref().map(|consume| consume.broker.as_deref())).flatten();
    attributes.extend(server_of(own.unwrap_or(&group.target)));
    StepSpan { name: format!("{name} {destination}"), kind, attributes, has_http_status: false }
}

/// From the submission of a job to its record: the span of the virtual user, which waits for that.
fn queue(group: &Group, namespace: &Namespace) -> StepSpan {
    submission(namespace, group.target.trim_start_matches("queue://"))
}

fn submission(namespace: &Namespace, queue: &str) -> StepSpan {
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
        http_span(&group.target, "POST", false, format!("{base}/accounts/{{account}}/applications/{{app}}/servo"))
    };
    span.attributes.push(("nuncius.servo.event", event.to_owned().into()));
    span
}

/// Origin and path of a URL, without its query.
fn parts_of(target: &str) -> (&str, &str) {
    // A variable may stand for the scheme as well.
    let parts = Target::parse(target).unwrap_or_else(|| Target::with_scheme("", target));
    let Target { path, query, fragment, .. } = parts;
    let origin = target.get(..target.len() - path.len() - query.len() - fragment.len()).unwrap_or_default();
    (origin, path)
}

/// `server.address` and `server.port` of a URL; the name of a service where its host is one.
fn server_of(target: &str) -> Vec<(&'static str, Value)> {
    let Some(target) = Target::parse(target) else { return Vec::new() };
    // What a variable stands for is not known here.
    let Ok(host) = target.host() else { return Vec::new() };
    let mut attributes = vec![("server.address", Value::from(host.name.to_owned()))];
    let port = host.port.or(target.default_port());
    attributes.extend(port.map(|port| ("server.port", Value::from(i64::from(port)))));
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
    fn spans_of_a_scenario_are_those_of_its_measured_steps() {
        let made = spans(
            r#""target": "http://shop/api/", "script": "a.js", "steps": [
                {"think": "1s"}, {"loop": {"count": 2, "steps": [{"post": "/cart/{{ id }}?token=secret"}]}},
                {"get": "http://other:81/x"}, {"get": ""}, {"call": "f"}]"#,
        );
        let names: Vec<&str> = made.iter().map(|span| span.0.as_str()).collect();
        assert_eq!(names, ["POST /api/cart/{{ id }}", "GET /x", "GET /api/", "call"]);
        assert!(made[0].2.contains(&"nuncius.step=post-1".to_owned()));
        assert!(made[1].2.contains(&"server.address=other".to_owned()));
        assert!(!format!("{made:?}").contains("secret"));
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
