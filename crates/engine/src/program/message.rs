//! Steps of messages, compiled: connections, what is sent on them, what is waited for.

use nuncius_scenario::json_template::JsonTemplate;
use nuncius_schemas::flow::{HttpStep, HttpVerb, WsAction, WsMessage, WsStep};

use super::action::{CheckPlan, HttpAction, Taking};
use super::http::Workshop;
use super::text::Text;
use crate::error::PlanError;

/// A step over WebSocket.
#[derive(Debug)]
pub(crate) struct WsPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of its connection's name in the program.
    pub(crate) channel: u16,
    pub(crate) timeout_ns: u64,
    pub(crate) does: WsDoes,
    pub(crate) taking: Taking,
}

/// What a step over WebSocket does.
#[derive(Debug)]
pub(crate) enum WsDoes {
    /// Opens a connection by a request, with these subprotocols, as the header has them.
    Connect(Box<HttpAction>, Option<Box<str>>),
    /// Sends a message; waits for one of which all of this holds, if it waits.
    Send(MessagePlan, Option<Box<[CheckPlan]>>),
    /// Waits for such a message.
    Wait(Box<[CheckPlan]>),
    Close(u16),
}

/// A message to send.
#[derive(Debug)]
pub(crate) enum MessagePlan {
    Text(Text),
    Json(JsonTemplate),
    /// In base64.
    Binary(Text),
}

/// Names of the connections that users have open, each once.
#[derive(Debug, Default)]
pub(crate) struct ChannelNames {
    names: Vec<String>,
}

impl ChannelNames {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> u16 {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        // There are at most as many as steps.
        u16::try_from(index).unwrap_or(u16::MAX)
    }
}

impl Workshop<'_> {
    /// A step over WebSocket. `at` is the path of the step with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn ws(&mut self, number: u16, at: &str, step: &WsStep) -> Result<WsPlan, PlanError> {
        let action = step.action(at).map_err(|error| self.refuse(&error.field, error.problem))?;
        let timeout = step.timeout.unwrap_or(self.group.timeout);
        let wait = step.wait.as_deref();
        let wait = wait.map(|wait| self.checks(&format!("{at}.wait"), wait)).transpose()?.map(Into::into);
        let does = match action {
            WsAction::Connect(url) => {
                let request = HttpStep {
                    url: url.to_owned(),
                    query: step.query.clone(),
                    headers: step.headers.clone(),
                    timeout: Some(timeout),
                    ..HttpStep::default()
                };
                let request = self.request(number, (at, "connect"), HttpVerb::Get, &request)?;
                let offered = Some(step.subprotocols.join(", ")).filter(|offered| !offered.is_empty());
                WsDoes::Connect(Box::new(request), offered.map(Into::into))
            }
            WsAction::Send(message) => {
                let message = match message {
                    WsMessage::Text(text) => MessagePlan::Text(self.text(&format!("{at}.send"), text)?),
                    WsMessage::Binary(text) => MessagePlan::Binary(self.text(&format!("{at}.binary"), text)?),
                    WsMessage::Json(value) => {
                        let template = JsonTemplate::parse(value, self.names);
                        MessagePlan::Json(template.map_err(|error| self.of_template(&format!("{at}.json"), &error))?)
                    }
                };
                WsDoes::Send(message, wait)
            }
            WsAction::Wait => WsDoes::Wait(wait.unwrap_or_default()),
            WsAction::Close(code) => WsDoes::Close(code),
        };
        Ok(WsPlan {
            step: number,
            channel: self.channels.number(step.connection()),
            timeout_ns: timeout.0.max(1),
            does,
            taking: self.taking(at, &step.capture, &step.checks, step.on_check_failure)?,
        })
    }
}
