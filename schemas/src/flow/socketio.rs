//! A step over Socket.IO: connects, emits an event, waits for one, or disconnects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::capture::Capture;
use super::check::Check;
use super::http::{FIELDS_MAX, OnCheckFailure, check_fields};
use super::received::{self, Knows, Received};
use super::rule::{self, Reading, SpecError, refuse};
use super::value::{Texts, visit_value};
use crate::spec::check::at_most;
use crate::spec::limits::{ENTRIES_MAX, VALUE_MAX_BYTES};
use crate::spec::text::{TextKind, Visit, maybe, one};
use crate::spec::validate::headers::check_headers;
use crate::units::HumanDuration;

/// Name of a connection that has none of its own.
pub const SOCKETIO_DEFAULT_NAME: &str = "socketio";
/// Where servers are unless told otherwise.
pub const SOCKETIO_DEFAULT_PATH: &str = "/socket.io/";
/// The namespace that there always is.
pub const DEFAULT_NAMESPACE: &str = "/";
/// Longest name of a namespace, in bytes.
const NAMESPACE_MAX_BYTES: usize = 256;

/// A step over Socket.IO: one of `connect`, `emit`, `wait` and `disconnect`, and what belongs to it. A connection lives
/// until it is closed, or until the iteration ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocketIoStep {
    /// Connects: path at the target, or a whole URL; `/socket.io/` is where servers usually are. A connection that
    /// there is already, under the same name, joins another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Beside `connect`: name of the connection, for steps that say `on`; `socketio` when absent.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Beside `connect`: parameters that are put into the query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Texts>,
    /// Beside `connect`: headers, beside the group's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Beside `connect`: what proves who connects, of protocol 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Value>,
    /// Beside `connect`: the transports, tried in this order; WebSocket alone when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<SocketIoTransport>,
    /// Beside `connect`: the protocol of Socket.IO; 5 when absent.
    #[serde(default, skip_serializing_if = "SocketIoProtocol::is_default")]
    pub protocol: SocketIoProtocol,
    /// Emits an event of this name; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emit: Option<String>,
    /// Beside `emit`: its arguments, JSON with templates. One that is `{binary: …}` alone is sent as bytes, from
    /// base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    /// Beside `emit`: waits for the acknowledgement; `capture` and `checks` see the list of its arguments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ack: bool,
    /// Waits for an event. Beside `emit`: the step takes from the sending to that event. `capture` and `checks` see the
    /// list of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<SocketIoEvent>,
    /// Leaves the namespace; where it was the last one, the connection is closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disconnect: bool,
    /// Which namespace; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which connection; `socketio` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Longest wait; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What is taken from the arguments of what was waited for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// What is asked of them; counted apart from failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
}

/// An event that is waited for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocketIoEvent {
    /// Its name.
    pub event: String,
    /// What holds for the list of its arguments; others are counted and passed over.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Check>,
}

/// How Engine.IO carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SocketIoTransport {
    /// WebSocket.
    Websocket,
    /// HTTP long-polling.
    Polling,
}

/// A protocol of Socket.IO, with the protocol of Engine.IO below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8", extend("enum" = [4, 5]))]
pub enum SocketIoProtocol {
    /// Protocol 4 on Engine.IO 3: servers of version 1 and 2.
    V4,
    /// Protocol 5 on Engine.IO 4: servers of version 3 and 4.
    #[default]
    V5,
}

impl SocketIoProtocol {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<u8> for SocketIoProtocol {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            4 => Ok(Self::V4),
            5 => Ok(Self::V5),
            _ => Err(format!("{number}: give 5 (servers of version 3 and 4) or 4 (of version 1 and 2)")),
        }
    }
}

impl From<SocketIoProtocol> for u8 {
    fn from(protocol: SocketIoProtocol) -> Self {
        match protocol {
            SocketIoProtocol::V4 => 4,
            SocketIoProtocol::V5 => 5,
        }
    }
}

/// What a step over Socket.IO does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SocketIoAction<'a> {
    /// Connects to a path or URL.
    Connect(&'a str),
    /// Emits an event, and waits for what `ack` or `wait` says.
    Emit(&'a str),
    /// Waits for an event.
    Wait(&'a SocketIoEvent),
    /// Leaves the namespace.
    Disconnect,
}

impl SocketIoStep {
    /// What it does. `path` is that of the step with its verb.
    ///
    /// # Errors
    /// It does nothing, or two things.
    pub fn action(&self, path: &str) -> Result<SocketIoAction<'_>, SpecError> {
        let (_, action) = self.named_action(path)?;
        Ok(action)
    }

    fn named_action(&self, path: &str) -> Result<(&'static str, SocketIoAction<'_>), SpecError> {
        let found = [
            self.connect.as_ref().map(|url| ("connect", SocketIoAction::Connect(url))),
            self.emit.as_ref().map(|event| ("emit", SocketIoAction::Emit(event))),
            self.wait.as_ref().filter(|_| self.emit.is_none()).map(|event| ("wait", SocketIoAction::Wait(event))),
            self.disconnect.then_some(("disconnect", SocketIoAction::Disconnect)),
        ];
        received::only_action(path, found, "`connect`, `emit`, `wait` or `disconnect`")
    }

    /// Name of its connection.
    pub fn connection(&self) -> &str {
        self.name.as_deref().or(self.on.as_deref()).unwrap_or(SOCKETIO_DEFAULT_NAME)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    pub(crate) fn check(&self, path: &str, reading: Reading) -> Result<(), SpecError> {
        let (name, action) = self.named_action(path)?;
        let received = Received {
            wait: self.wait.as_ref().map(|event| event.conditions.as_slice()),
            timeout: self.timeout,
            capture: &self.capture,
            checks: &self.checks,
            on_check_failure: self.on_check_failure,
        };
        self.check_others(path, name, action)?;
        for (field, connection) in [("as", &self.name), ("on", &self.on)] {
            if let Some(connection) = connection {
                rule::check_variable_name(&format!("{path}.{field}"), connection)?;
            }
        }
        let namespace = self.namespace();
        let is_plain = |text: &str| !text.chars().any(|sign| sign.is_control() || sign == ',' || sign == '?');
        if !namespace.starts_with('/') || namespace.len() > NAMESPACE_MAX_BYTES || !is_plain(namespace) {
            let problem = format!(
                "a namespace begins with /, holds neither `,` nor `?`, and has at most {NAMESPACE_MAX_BYTES} bytes"
            );
            return refuse(format!("{path}.namespace"), problem);
        }
        if let Some(event) = &self.wait {
            check_event(&format!("{path}.wait.event"), &event.event)?;
        }
        match action {
            SocketIoAction::Connect(url) => {
                rule::check_socket_url(&format!("{path}.connect"), url, reading)?;
                check_fields(&format!("{path}.query"), &self.query)?;
                at_most(&format!("{path}.headers"), self.headers.len(), ENTRIES_MAX)?;
                check_headers(&format!("{path}.headers"), self.headers.iter())?;
                if self.auth.is_some() && self.protocol == SocketIoProtocol::V4 {
                    return refuse(format!("{path}.auth"), "is of protocol 5: write it into `query`");
                }
                let is_twice = |(index, transport)| self.transports.iter().take(index).any(|other| other == transport);
                if let Some(index) = self.transports.iter().enumerate().position(is_twice) {
                    return refuse(format!("{path}.transports[{index}]"), "is there twice");
                }
            }
            SocketIoAction::Emit(event) => {
                check_event(&format!("{path}.emit"), event)?;
                at_most(&format!("{path}.args"), self.args.len(), FIELDS_MAX)?;
                if self.ack && self.wait.is_some() {
                    let problem = "an emit waits for its acknowledgement or for an event: give one of them";
                    return refuse(format!("{path}.wait"), problem);
                }
            }
            SocketIoAction::Wait(_) | SocketIoAction::Disconnect => {}
        }
        let receives = self.wait.is_some() || self.ack;
        if !receives && let Some(field) = received.first_field() {
            return refuse(format!("{path}.{field}"), "nothing is received: add `ack: true` or `wait`");
        }
        received.check(path, ".wait.where", Knows::Body)
    }

    /// Fields that belong to another action.
    fn check_others(&self, path: &str, name: &str, action: SocketIoAction<'_>) -> Result<(), SpecError> {
        let of_connect = [
            ("as", self.name.is_some()),
            ("query", !self.query.is_empty()),
            ("headers", !self.headers.is_empty()),
            ("auth", self.auth.is_some()),
            ("transports", !self.transports.is_empty()),
            ("protocol", !self.protocol.is_default()),
        ];
        let of_emit = [("args", !self.args.is_empty()), ("ack", self.ack)];
        match action {
            SocketIoAction::Connect(_) => {
                received::refuse_others(path, name, of_emit)?;
                received::refuse_others(path, name, [("on", self.on.is_some()), ("wait", self.wait.is_some())])
            }
            SocketIoAction::Emit(_) => received::refuse_others(path, name, of_connect),
            SocketIoAction::Wait(_) => received::refuse_others(path, name, of_connect.into_iter().chain(of_emit)),
            SocketIoAction::Disconnect => {
                received::refuse_others(path, name, of_connect.into_iter().chain(of_emit))?;
                received::refuse_others(path, name, [("wait", self.wait.is_some())])
            }
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            connect,
            name,
            query,
            headers,
            auth,
            transports: _,
            protocol: _,
            emit,
            args,
            ack: _,
            wait,
            disconnect: _,
            namespace,
            on,
            timeout: _,
            capture,
            checks,
            on_check_failure: _,
        } = self;
        maybe(format!("{path}.connect"), TextKind::Url, connect, visit)?;
        maybe(format!("{path}.as"), TextKind::Name, name, visit)?;
        for (name, texts) in query {
            texts.visit_texts(&format!("{path}.query.{name}"), name, visit)?;
        }
        for (name, value) in headers {
            one(format!("{path}.headers.{name}"), TextKind::Header(name), value, visit)?;
        }
        if let Some(value) = auth {
            visit_value(&format!("{path}.auth"), "auth", value, visit)?;
        }
        maybe(format!("{path}.emit"), TextKind::Template, emit, visit)?;
        for (index, value) in args.iter_mut().enumerate() {
            visit_value(&format!("{path}.args[{index}]"), "args", value, visit)?;
        }
        maybe(format!("{path}.namespace"), TextKind::Name, namespace, visit)?;
        maybe(format!("{path}.on"), TextKind::Name, on, visit)?;
        let conditions = match wait {
            Some(SocketIoEvent { event, conditions }) => {
                one(format!("{path}.wait.event"), TextKind::Name, event, visit)?;
                Some(conditions)
            }
            None => None,
        };
        received::visit_texts((path, ".wait.where"), conditions, capture, checks, visit)
    }
}

fn check_event(field: &str, event: &str) -> Result<(), SpecError> {
    match event.is_empty() || event.len() > VALUE_MAX_BYTES || event.contains('\0') {
        true => refuse(field, format!("empty, longer than {VALUE_MAX_BYTES} bytes, or holds a NUL byte")),
        false => Ok(()),
    }
}
