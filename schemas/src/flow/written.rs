//! A step as it is written: a map whose keys are looked at one by one, so that each is refused with its place.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::form::text_or_map;
use super::http::{HttpStep, HttpVerb};
use super::job::JobStep;
use super::nats::NatsStep;
use super::socketio::SocketIoStep;
use super::step::{If, Loop, Op, Parallel, Step};
use super::think::Think;
use super::ws::WsStep;
use crate::spec::amqp::{AmqpConsume, AmqpPublish};
use crate::spec::expect::Expect;
use crate::spec::method::Method;

/// Every key, verbs first.
const KEYS: [&str; 28] = [
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "request",
    "ws",
    "socketio",
    "nats",
    "publish",
    "consume",
    "job",
    "think",
    "set",
    "loop",
    "if",
    "parallel",
    "call",
    "log",
    "name",
    "probability",
    "method",
    "path",
    "headers",
    "body",
    "expect",
];

/// What other programs call a verb.
const MEANT: [(&str, &str); 18] = [
    ("sleep", "think"),
    ("pause", "think"),
    ("wait", "think"),
    ("del", "delete"),
    ("repeat", "loop"),
    ("for", "loop"),
    ("foreach", "loop"),
    ("while", "loop"),
    ("batch", "parallel"),
    ("group", "loop"),
    ("function", "call"),
    ("script", "call"),
    ("print", "log"),
    ("let", "set"),
    ("assign", "set"),
    ("websocket", "ws"),
    ("socket", "ws"),
    ("emit", "socketio"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Known {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
    Options,
    Request,
    Ws,
    Socketio,
    Nats,
    Publish,
    Consume,
    Job,
    Think,
    Set,
    Loop,
    If,
    Parallel,
    Call,
    Log,
    Name,
    Probability,
    Method,
    Path,
    Headers,
    Body,
    Expect,
}

/// A key of a step; any other is refused where it stands.
struct Key(Known);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the verb of a step, or what belongs to it")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                if KEYS.contains(&key) {
                    let known = serde::de::value::StrDeserializer::<E>::new(key);
                    return Known::deserialize(known).map(Key);
                }
                match MEANT.iter().find(|(other, _)| key.eq_ignore_ascii_case(other)) {
                    Some((other, meant)) => Err(E::custom(format!("unknown field `{other}`; did you mean `{meant}`?"))),
                    None => Err(E::unknown_field(key, &KEYS)),
                }
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// A request as it is read: its path or URL alone, or a map.
struct ReadRequest(Box<HttpStep>);

impl<'de> Deserialize<'de> for ReadRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let short = |url: &str| Ok(Self(Box::new(HttpStep::of_url(url))));
        let long = |request: Box<HttpStep>| Ok(Self(request));
        text_or_map(deserializer, "a path, a URL, or a map with `url`", short, long)
    }
}

/// `if`: a template that guards the step, or a block of steps.
enum ReadIf {
    Guard(String),
    Block(If),
}

impl<'de> Deserialize<'de> for ReadIf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let guard = |text: &str| Ok(Self::Guard(text.to_owned()));
        let wanted = "a template such as \"{{ status == 200 }}\", or {condition: …, then: […]}";
        text_or_map(deserializer, wanted, guard, |block| Ok(Self::Block(block)))
    }
}

/// Reads the value of a verb, of which a step has one.
fn verb<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    step: &mut Step,
    name: &'static str,
    op: impl FnOnce(T) -> Op,
) -> Result<(), A::Error> {
    let value = map.next_value()?;
    set_op(step, name, op(value))
}

fn set_op<E: Error>(step: &mut Step, name: &'static str, op: Op) -> Result<(), E> {
    match step.op.replace(op) {
        None => Ok(()),
        Some(first) => Err(two_verbs(first.verb(), name)),
    }
}

fn two_verbs<E: Error>(first: &str, second: &str) -> E {
    E::custom(format!("`{first}` and `{second}` are two verbs, and a step has one: write each as a step of its own"))
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step: a map with one verb, as in {get: /items}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let mut step = Step::default();
        let http = |map: &mut A, step: &mut Step, method: HttpVerb| {
            verb(map, step, method.name(), |ReadRequest(request)| Op::Http(method, request))
        };
        while let Some(Key(key)) = map.next_key()? {
            match key {
                Known::Get => http(&mut map, &mut step, HttpVerb::Get)?,
                Known::Post => http(&mut map, &mut step, HttpVerb::Post)?,
                Known::Put => http(&mut map, &mut step, HttpVerb::Put)?,
                Known::Patch => http(&mut map, &mut step, HttpVerb::Patch)?,
                Known::Delete => http(&mut map, &mut step, HttpVerb::Delete)?,
                Known::Head => http(&mut map, &mut step, HttpVerb::Head)?,
                Known::Options => http(&mut map, &mut step, HttpVerb::Options)?,
                Known::Request => http(&mut map, &mut step, HttpVerb::Request)?,
                Known::Ws => verb(&mut map, &mut step, "ws", Op::Ws)?,
                Known::Socketio => verb(&mut map, &mut step, "socketio", Op::SocketIo)?,
                Known::Nats => verb(&mut map, &mut step, "nats", Op::Nats)?,
                Known::Think => verb(&mut map, &mut step, "think", Op::Think)?,
                Known::Set => verb(&mut map, &mut step, "set", Op::Set)?,
                Known::Loop => verb(&mut map, &mut step, "loop", Op::Loop)?,
                Known::Parallel => verb(&mut map, &mut step, "parallel", Op::Parallel)?,
                Known::Call => verb(&mut map, &mut step, "call", Op::Call)?,
                Known::Log => verb(&mut map, &mut step, "log", Op::Log)?,
                Known::If => match map.next_value()? {
                    Some(ReadIf::Guard(condition)) => step.condition = Some(condition),
                    Some(ReadIf::Block(block)) => set_op(&mut step, "if", Op::If(block))?,
                    None => {}
                },
                Known::Publish => step.publish = map.next_value()?,
                Known::Consume => step.consume = map.next_value()?,
                Known::Job => step.job = map.next_value()?,
                Known::Name => step.name = map.next_value()?,
                Known::Probability => step.probability = map.next_value()?,
                Known::Method => step.method = map.next_value()?,
                Known::Path => step.path = map.next_value()?,
                Known::Headers => step.headers = map.next_value()?,
                Known::Body => step.body = map.next_value()?,
                Known::Expect => step.expect = map.next_value()?,
            }
        }
        let olds =
            [("publish", step.publish.is_some()), ("consume", step.consume.is_some()), ("job", step.job.is_some())];
        let old = olds.into_iter().find(|(_, is_there)| *is_there);
        match (&step.op, old) {
            (Some(op), Some((old, _))) => Err(two_verbs(op.verb(), old)),
            (Some(_) | None, _) => Ok(step),
        }
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

/// One action of an iteration: one verb and what may stand beside it, or a request as version 1 has it.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "Step", deny_unknown_fields)]
struct Written<'a> {
    /// Name in the report, at most 64 characters; made from the position when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Beside a verb: a template; where it is false the step is passed over. As a verb: steps that are taken where a
    /// condition holds, and others where it does not.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<WrittenIf<'a>>,
    /// Share of the times, 0 to 1, that the step is taken; always when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// Version 1: method, GET when absent; one that is not registered as `{custom: NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a Method>,
    /// Version 1: path and query, joined to the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// Version 1: headers, beside the group's.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a std::collections::BTreeMap<String, String>>,
    /// Version 1: body.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// Version 1: what counts as success; 200 to 399 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<&'a Expect>,
    /// AMQP: publish a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<&'a AmqpPublish>,
    /// AMQP: consume a queue for the whole run, measuring from planned publish to receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    consume: Option<&'a AmqpConsume>,
    /// Queue: submit a job and wait for its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a JobStep>,
    /// A GET request.
    #[serde(skip_serializing_if = "Option::is_none")]
    get: Option<WrittenRequest<'a>>,
    /// A POST request.
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<WrittenRequest<'a>>,
    /// A PUT request.
    #[serde(skip_serializing_if = "Option::is_none")]
    put: Option<WrittenRequest<'a>>,
    /// A PATCH request.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<WrittenRequest<'a>>,
    /// A DELETE request.
    #[serde(skip_serializing_if = "Option::is_none")]
    delete: Option<WrittenRequest<'a>>,
    /// A HEAD request.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<WrittenRequest<'a>>,
    /// An OPTIONS request.
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<WrittenRequest<'a>>,
    /// A request of the method among its fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<WrittenRequest<'a>>,
    /// A connection over WebSocket that is opened, used or closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    ws: Option<&'a WsStep>,
    /// Socket.IO: a connection, an event that is emitted, or one that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    socketio: Option<&'a SocketIoStep>,
    /// NATS: a message that is published, a request, or messages that are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<&'a NatsStep>,
    /// A pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<&'a Think>,
    /// Variables that are set. All values are worked out before the first is set: their order means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<&'a std::collections::BTreeMap<String, Value>>,
    /// Steps that are taken again and again.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    repeat: Option<&'a Loop>,
    /// Steps that are taken at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel: Option<&'a Parallel>,
    /// A function of the script that is called. The requests that it makes are counted under the step's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    /// A line for the log of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
}

struct WrittenRequest<'a>(&'a HttpStep);

impl Serialize for WrittenRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_short() { serializer.serialize_str(&self.0.url) } else { self.0.serialize(serializer) }
    }
}

impl JsonSchema for WrittenRequest<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Request".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A path at the target or a whole URL alone, or all of a request.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<HttpStep>()]
        })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenIf<'a> {
    Guard(&'a str),
    Block(&'a If),
}

impl JsonSchema for WrittenIf<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<If>()] })
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Written {
            name: self.name.as_deref(),
            condition: self.condition.as_deref().map(WrittenIf::Guard),
            probability: self.probability,
            method: self.method.as_ref(),
            path: self.path.as_deref(),
            headers: Some(&self.headers).filter(|headers| !headers.is_empty()),
            body: self.body.as_deref(),
            expect: self.expect.as_ref(),
            publish: self.publish.as_ref(),
            consume: self.consume.as_ref(),
            job: self.job.as_ref(),
            ..Written::default()
        };
        match &self.op {
            None => {}
            Some(Op::Http(verb, request)) => {
                let place = match verb {
                    HttpVerb::Get => &mut written.get,
                    HttpVerb::Post => &mut written.post,
                    HttpVerb::Put => &mut written.put,
                    HttpVerb::Patch => &mut written.patch,
                    HttpVerb::Delete => &mut written.delete,
                    HttpVerb::Head => &mut written.head,
                    HttpVerb::Options => &mut written.options,
                    HttpVerb::Request => &mut written.request,
                };
                *place = Some(WrittenRequest(request));
            }
            Some(Op::Ws(step)) => written.ws = Some(step),
            Some(Op::SocketIo(step)) => written.socketio = Some(step),
            Some(Op::Nats(step)) => written.nats = Some(step),
            Some(Op::Think(think)) => written.think = Some(think),
            Some(Op::Set(values)) => written.set = Some(values),
            Some(Op::Loop(one)) => written.repeat = Some(one),
            Some(Op::If(_)) if self.condition.is_some() => {
                return Err(serde::ser::Error::custom("a step with the verb `if` has no `if` beside it"));
            }
            Some(Op::If(block)) => written.condition = Some(WrittenIf::Block(block)),
            Some(Op::Parallel(parallel)) => written.parallel = Some(parallel),
            Some(Op::Call(function)) => written.call = Some(function),
            Some(Op::Log(text)) => written.log = Some(text),
        }
        written.serialize(serializer)
    }
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}
