//! A step over NATS: publishes, asks, subscribes, waits for a message, or consumes from a stream of JetStream.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::capture::Capture;
use super::check::Check;
use super::http::OnCheckFailure;
use super::received::{self, Knows, Received};
use super::rule::{self, Reading, SpecError, refuse};
use super::template::has_template;
use super::value::visit_value;
use crate::names::check_token;
use crate::spec::check::at_most;
use crate::spec::limits::ENTRIES_MAX;
use crate::spec::text::{TextKind, Visit, maybe, one};
use crate::spec::validate::headers::check_headers;
use crate::units::HumanDuration;

/// Name of a subscription that has none of its own.
pub const NATS_DEFAULT_NAME: &str = "nats";
/// Longest subject, in bytes.
const SUBJECT_MAX_BYTES: usize = 1_024;
/// Most messages that one step waits for.
pub(crate) const MESSAGES_MAX: u32 = 1_000_000;

/// A step over NATS: one of `publish`, `request`, `subscribe`, `consume` and `wait`, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsStep {
    /// The server: `nats://host:4222`, or `tls://host:4222`; the group's target when absent. Not a server of Nuncius
    /// itself, unless it is the one that is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Publishes a message to a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Sends a request to a subject and waits for its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Subscribes to a subject, wildcards and all. The subscription lives until the iteration ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<String>,
    /// Takes messages from a stream of JetStream and acknowledges each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consume: Option<NatsConsume>,
    /// Waits for messages of a subscription of which all of this holds; any, where nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Vec<Check>>,
    /// Beside `publish` and `request`: the payload, a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Beside `publish` and `request`: the payload, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Beside `publish` and `request`: headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Beside `publish`: waits until a stream of JetStream has acknowledged it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub jetstream: bool,
    /// Beside `subscribe`: the queue group, whose members share the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Beside `subscribe`: name of the subscription, for steps that say `on`; `nats` when absent.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Beside `wait`: which subscription; `nats` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Beside `wait` and `consume`: how many messages; 1 when absent. `capture` and `checks` see the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// Beside `publish`, `subscribe` and `consume`: messages are numbered under this name when they are published, and
    /// counted by their numbers when they are received: which were lost, came twice, or behind later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// Longest wait; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What is taken from the message that was waited for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// What is asked of it; counted apart from failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
}

/// Where messages of a stream are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsConsume {
    /// The stream.
    pub stream: String,
    /// Its consumer, which is there: all who take from it share its messages.
    pub consumer: String,
}

/// What a step over NATS does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NatsAction<'a> {
    /// Publishes to a subject.
    Publish(&'a str),
    /// Asks a subject.
    Request(&'a str),
    /// Subscribes to a subject.
    Subscribe(&'a str),
    /// Takes from a stream.
    Consume(&'a NatsConsume),
    /// Waits for messages of a subscription.
    Wait(&'a [Check]),
}

impl NatsStep {
    /// What it does. `path` is that of the step with its verb.
    ///
    /// # Errors
    /// It does nothing, or two things.
    pub fn action(&self, path: &str) -> Result<NatsAction<'_>, SpecError> {
        let (_, action) = self.named_action(path)?;
        Ok(action)
    }

    fn named_action(&self, path: &str) -> Result<(&'static str, NatsAction<'_>), SpecError> {
        let found = [
            self.publish.as_ref().map(|subject| ("publish", NatsAction::Publish(subject))),
            self.request.as_ref().map(|subject| ("request", NatsAction::Request(subject))),
            self.subscribe.as_ref().map(|subject| ("subscribe", NatsAction::Subscribe(subject))),
            self.consume.as_ref().map(|consume| ("consume", NatsAction::Consume(consume))),
            self.wait.as_ref().map(|wait| ("wait", NatsAction::Wait(wait))),
        ];
        received::only_action(path, found, "`publish`, `request`, `subscribe`, `consume` or `wait`")
    }

    /// Name of its subscription.
    pub fn subscription(&self) -> &str {
        self.name.as_deref().or(self.on.as_deref()).unwrap_or(NATS_DEFAULT_NAME)
    }

    pub(crate) fn check(&self, path: &str, reading: Reading) -> Result<(), SpecError> {
        let (name, action) = self.named_action(path)?;
        let received = Received {
            wait: self.wait.as_deref(),
            timeout: self.timeout,
            capture: &self.capture,
            checks: &self.checks,
            on_check_failure: self.on_check_failure,
        };
        self.check_others(path, name, action)?;
        if let Some(server) = &self.server {
            check_server(&format!("{path}.server"), server, reading)?;
        }
        for (field, subscription) in [("as", &self.name), ("on", &self.on)] {
            if let Some(subscription) = subscription {
                rule::check_variable_name(&format!("{path}.{field}"), subscription)?;
            }
        }
        if let Some(track) = &self.track {
            check_track(path, track)?;
        }
        if self.messages.is_some_and(|messages| messages == 0 || messages > MESSAGES_MAX) {
            return refuse(format!("{path}.messages"), format!("give 1 to {MESSAGES_MAX}"));
        }
        match action {
            NatsAction::Publish(subject) | NatsAction::Request(subject) => {
                check_subject(&format!("{path}.{name}"), subject, false, reading)?;
                if self.body.is_some() && self.json.is_some() {
                    return refuse(format!("{path}.json"), "a message has one payload, and `body` is one already");
                }
                at_most(&format!("{path}.headers"), self.headers.len(), ENTRIES_MAX)?;
                check_headers(&format!("{path}.headers"), self.headers.iter())?;
            }
            NatsAction::Subscribe(subject) => {
                check_subject(&format!("{path}.subscribe"), subject, true, reading)?;
                if let Some(queue) = &self.queue {
                    check_subject(&format!("{path}.queue"), queue, false, reading)?;
                }
            }
            NatsAction::Consume(NatsConsume { stream, consumer }) => {
                for (field, name) in [("stream", stream), ("consumer", consumer)] {
                    if reading.knows(name) {
                        check_token(field, name)
                            .or_else(|error| refuse(format!("{path}.consume.{field}"), error.to_string()))?;
                    }
                }
            }
            NatsAction::Wait(_) => {}
        }
        let receives = match action {
            NatsAction::Request(_) | NatsAction::Consume(_) | NatsAction::Wait(_) => true,
            NatsAction::Publish(_) | NatsAction::Subscribe(_) => false,
        };
        if !receives && let Some(field) = received.first_field() {
            return refuse(format!("{path}.{field}"), format!("`{name}` receives nothing"));
        }
        received.check(path, ".wait", Knows::HeadersAndBody)
    }

    /// Fields that belong to another action.
    fn check_others(&self, path: &str, name: &str, action: NatsAction<'_>) -> Result<(), SpecError> {
        let of_message =
            [("body", self.body.is_some()), ("json", self.json.is_some()), ("headers", !self.headers.is_empty())];
        let of_subscribe = [("queue", self.queue.is_some()), ("as", self.name.is_some())];
        let jetstream = ("jetstream", self.jetstream);
        let on = ("on", self.on.is_some());
        let messages = ("messages", self.messages.is_some());
        let track = ("track", self.track.is_some());
        let others: Vec<(&'static str, bool)> = match action {
            NatsAction::Publish(_) => of_subscribe.into_iter().chain([on, messages]).collect(),
            NatsAction::Request(_) => of_subscribe.into_iter().chain([jetstream, on, messages, track]).collect(),
            NatsAction::Subscribe(_) => of_message.into_iter().chain([jetstream, on, messages]).collect(),
            NatsAction::Consume(_) => of_message.into_iter().chain(of_subscribe).chain([jetstream, on]).collect(),
            NatsAction::Wait(_) => {
                let server = ("server", self.server.is_some());
                of_message.into_iter().chain(of_subscribe).chain([jetstream, server, track]).collect()
            }
        };
        received::refuse_others(path, name, others)
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            server,
            publish,
            request,
            subscribe,
            consume,
            wait,
            body,
            json,
            headers,
            jetstream: _,
            queue,
            name,
            on,
            messages: _,
            track,
            timeout: _,
            capture,
            checks,
            on_check_failure: _,
        } = self;
        maybe(format!("{path}.server"), TextKind::Url, server, visit)?;
        maybe(format!("{path}.publish"), TextKind::Place, publish, visit)?;
        maybe(format!("{path}.request"), TextKind::Place, request, visit)?;
        maybe(format!("{path}.subscribe"), TextKind::Place, subscribe, visit)?;
        if let Some(NatsConsume { stream, consumer }) = consume {
            one(format!("{path}.consume.stream"), TextKind::Place, stream, visit)?;
            one(format!("{path}.consume.consumer"), TextKind::Place, consumer, visit)?;
        }
        maybe(format!("{path}.body"), TextKind::Body, body, visit)?;
        if let Some(value) = json {
            visit_value(&format!("{path}.json"), "json", value, visit)?;
        }
        for (name, value) in headers {
            one(format!("{path}.headers.{name}"), TextKind::Header(name), value, visit)?;
        }
        maybe(format!("{path}.queue"), TextKind::Place, queue, visit)?;
        maybe(format!("{path}.as"), TextKind::Name, name, visit)?;
        maybe(format!("{path}.on"), TextKind::Name, on, visit)?;
        maybe(format!("{path}.track"), TextKind::Name, track, visit)?;
        received::visit_texts((path, ".wait"), wait.as_mut(), capture, checks, visit)
    }
}

/// The name that published messages are numbered under.
pub(crate) fn check_track(path: &str, track: &str) -> Result<(), SpecError> {
    check_token("track", track).or_else(|error| refuse(format!("{path}.track"), error.to_string()))
}

fn check_server(field: &str, server: &str, reading: Reading) -> Result<(), SpecError> {
    if has_template(server) {
        return refuse(field, "templates are not filled in here: connections are the same for all");
    }
    let is_nats = server.starts_with("nats://") || server.starts_with("tls://");
    match reading.knows(server) && !is_nats {
        true => refuse(field, "no server of NATS: write nats://host:4222, or tls://host:4222"),
        false => Ok(()),
    }
}

/// A subject, or a template that is one.
fn check_subject(field: &str, subject: &str, has_wildcards: bool, reading: Reading) -> Result<(), SpecError> {
    if subject.len() > SUBJECT_MAX_BYTES {
        return refuse(field, format!("longer than {SUBJECT_MAX_BYTES} bytes"));
    }
    if !reading.knows(subject) || has_template(subject) {
        return Ok(());
    }
    let mut tokens = subject.split('.').peekable();
    let mut is_right = !subject.is_empty();
    while let Some(token) = tokens.next() {
        let is_wildcard = token == "*" || token == ">" && tokens.peek().is_none();
        is_right &= !token.is_empty() && !token.chars().any(|sign| sign.is_whitespace() || sign.is_control());
        is_right &= !token.contains(['*', '>']) || has_wildcards && is_wildcard;
    }
    match is_right {
        true => Ok(()),
        false if has_wildcards => {
            refuse(field, "no subject: tokens without spaces between dots; `*` is one token, `>` all that follow")
        }
        false => refuse(field, "no subject to publish to: tokens without spaces, `*` and `>` between dots"),
    }
}
