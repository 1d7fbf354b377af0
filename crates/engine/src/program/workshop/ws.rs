//! Steps over WebSocket: from what is written to what is done.

use nuncius_scenario::json_template::JsonTemplate;
use nuncius_schemas::flow::{HttpStep, HttpVerb, WsAction, WsMessage, WsStep};

use crate::error::PlanError;
use crate::program::http::Workshop;
use crate::program::message::{MessagePlan, WsDoes, WsPlan};

impl Workshop<'_> {
    /// A step over WebSocket. `at` is the path of the step with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn ws(&mut self, number: u16, at: &str, step: &WsStep) -> Result<WsPlan, PlanError> {
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
