//! A step over WebSocket (RFC 6455): opens a connection, sends a message, waits for one, or closes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::capture::Capture;
use super::check::Check;
use super::http::{OnCheckFailure, check_fields};
use super::received::{self, Knows, Received};
use super::rule::{self, Reading, SpecError, refuse};
use super::value::{Texts, visit_value};
use crate::spec::check::at_most;
use crate::spec::limits::ENTRIES_MAX;
use crate::spec::text::{TextKind, Visit, maybe, one};
use crate::spec::validate::headers::check_headers;
use crate::units::HumanDuration;

/// Name of a connection that has none of its own.
pub const WS_DEFAULT_NAME: &str = "ws";
/// Code of a close that says nothing else: normal closure (RFC 6455, 7.4.1).
pub const WS_CLOSE_NORMAL: u16 = 1_000;
/// Most subprotocols that are offered.
const SUBPROTOCOLS_MAX: usize = 16;

/// A step over WebSocket: one of `connect`, `send`, `json`, `binary`, `wait` and `close`, and what belongs to it. A
/// connection lives until it is closed, or until the iteration ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WsStep {
    /// Opens a connection: path and query at the target, or a whole URL (ws://, wss://).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Beside `connect`: name of the connection, for steps that say `on`; `ws` when absent.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Beside `connect`: parameters that are put into the query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Texts>,
    /// Beside `connect`: headers, beside the group's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Beside `connect`: subprotocols that are offered, the most wanted first. The step fails where the server chooses
    /// none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subprotocols: Vec<String>,
    /// Sends a message: a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Sends a message: JSON, as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Sends a message: bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// Waits for a message of which all of this holds; any, where nothing is asked. Others are counted and passed over.
    /// Beside what is sent: the step takes from the sending to that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Vec<Check>>,
    /// Closes the connection with this code (RFC 6455, 7.4) and waits until the peer has closed it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<u16>,
    /// Which connection; `ws` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Longest wait; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What is taken from the message that was waited for, or from the answer that opened the connection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// What is asked of it; counted apart from failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
}

/// What a step over WebSocket does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WsAction<'a> {
    /// Opens a connection to a path or URL.
    Connect(&'a str),
    /// Sends a message, and waits for one where `wait` says so.
    Send(WsMessage<'a>),
    /// Waits for a message.
    Wait,
    /// Closes the connection with a code.
    Close(u16),
}

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WsMessage<'a> {
    /// A text.
    Text(&'a str),
    /// JSON, as a text.
    Json(&'a Value),
    /// Bytes in base64.
    Binary(&'a str),
}

impl WsStep {
    /// What it does. `path` is that of the step with its verb.
    ///
    /// # Errors
    /// It does nothing, or two things.
    pub fn action(&self, path: &str) -> Result<WsAction<'_>, SpecError> {
        let (_, action) = self.named_action(path)?;
        Ok(action)
    }

    fn named_action(&self, path: &str) -> Result<(&'static str, WsAction<'_>), SpecError> {
        let message = [
            self.send.as_ref().map(|text| ("send", WsAction::Send(WsMessage::Text(text)))),
            self.json.as_ref().map(|value| ("json", WsAction::Send(WsMessage::Json(value)))),
            self.binary.as_ref().map(|text| ("binary", WsAction::Send(WsMessage::Binary(text)))),
        ];
        let has_message = message.iter().any(Option::is_some);
        let found = [
            self.connect.as_ref().map(|url| ("connect", WsAction::Connect(url))),
            self.wait.as_ref().filter(|_| !has_message).map(|_| ("wait", WsAction::Wait)),
            self.close.map(|code| ("close", WsAction::Close(code))),
        ];
        let all = "`connect`, `send`, `json`, `binary`, `wait` or `close`";
        received::only_action(path, message.into_iter().chain(found), all)
    }

    /// Name of its connection.
    pub fn connection(&self) -> &str {
        self.name.as_deref().or(self.on.as_deref()).unwrap_or(WS_DEFAULT_NAME)
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
        if !matches!(action, WsAction::Connect(_)) {
            let others = [
                ("as", self.name.is_some()),
                ("query", !self.query.is_empty()),
                ("headers", !self.headers.is_empty()),
                ("subprotocols", !self.subprotocols.is_empty()),
            ];
            received::refuse_others(path, name, others)?;
        }
        for (field, connection) in [("as", &self.name), ("on", &self.on)] {
            if let Some(connection) = connection {
                rule::check_variable_name(&format!("{path}.{field}"), connection)?;
            }
        }
        match action {
            WsAction::Connect(url) => {
                let others = [("on", self.on.is_some()), ("wait", self.wait.is_some())];
                received::refuse_others(path, name, others)?;
                rule::check_socket_url(&format!("{path}.connect"), url, reading)?;
                check_fields(&format!("{path}.query"), &self.query)?;
                at_most(&format!("{path}.headers"), self.headers.len(), ENTRIES_MAX)?;
                check_headers(&format!("{path}.headers"), self.headers.iter())?;
                check_subprotocols(&format!("{path}.subprotocols"), &self.subprotocols)?;
                received.check(path, ".wait", Knows::Answer)
            }
            WsAction::Send(_) => {
                if self.wait.is_none()
                    && let Some(field) = received.first_field()
                {
                    return refuse(format!("{path}.{field}"), "nothing is received: add `wait`");
                }
                received.check(path, ".wait", Knows::Body)
            }
            WsAction::Wait => received.check(path, ".wait", Knows::Body),
            WsAction::Close(code) => {
                if let Some(field) = received.first_field() {
                    return refuse(format!("{path}.{field}"), "means nothing beside `close`");
                }
                received::check_timeout(path, self.timeout)?;
                check_close_code(&format!("{path}.close"), code)
            }
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            connect,
            name,
            query,
            headers,
            subprotocols,
            send,
            json,
            binary,
            wait,
            close: _,
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
        for (index, subprotocol) in subprotocols.iter_mut().enumerate() {
            one(format!("{path}.subprotocols[{index}]"), TextKind::Name, subprotocol, visit)?;
        }
        maybe(format!("{path}.send"), TextKind::Body, send, visit)?;
        if let Some(value) = json {
            visit_value(&format!("{path}.json"), "json", value, visit)?;
        }
        maybe(format!("{path}.binary"), TextKind::Body, binary, visit)?;
        maybe(format!("{path}.on"), TextKind::Name, on, visit)?;
        received::visit_texts((path, ".wait"), wait.as_mut(), capture, checks, visit)
    }
}

fn check_subprotocols(path: &str, subprotocols: &[String]) -> Result<(), SpecError> {
    at_most(path, subprotocols.len(), SUBPROTOCOLS_MAX)?;
    for (index, name) in subprotocols.iter().enumerate() {
        rule::check_header_name(&format!("{path}[{index}]"), name)?;
        if subprotocols.iter().take(index).any(|earlier| earlier == name) {
            return refuse(format!("{path}[{index}]"), "is there twice, which no server takes (RFC 6455, 4.1)");
        }
    }
    Ok(())
}

/// The codes that an endpoint may send (RFC 6455, 7.4).
fn check_close_code(path: &str, code: u16) -> Result<(), SpecError> {
    match code {
        1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999 => Ok(()),
        _ => refuse(path, "no code that may be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999"),
    }
}
