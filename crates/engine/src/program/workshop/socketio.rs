//! Steps over Socket.IO: from what is written to what is done.

use nuncius_scenario::json_template::JsonTemplate;
use nuncius_schemas::flow::{
    HttpStep, HttpVerb, SocketIoAction, SocketIoEvent, SocketIoProtocol, SocketIoStep, SocketIoTransport,
};
use nuncius_socketio::Version;
use serde_json::Value;

use crate::error::PlanError;
use crate::program::http::Workshop;
use crate::program::socketio::{ArgumentPlan, ConnectPlan, EventPlan, SocketIoDoes, SocketIoPlan, Waits};

/// Member of an argument that is bytes.
const BINARY: &str = "binary";

impl Workshop<'_> {
    /// A step over Socket.IO. `at` is the path of the step with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn socketio(
        &mut self,
        number: u16,
        at: &str,
        step: &SocketIoStep,
    ) -> Result<SocketIoPlan, PlanError> {
        let action = step.action(at).map_err(|error| self.refuse(&error.field, error.problem))?;
        let timeout = step.timeout.unwrap_or(self.group.timeout);
        let does = match action {
            SocketIoAction::Connect(url) => {
                let request = HttpStep {
                    url: url.to_owned(),
                    query: step.query.clone(),
                    headers: step.headers.clone(),
                    timeout: Some(timeout),
                    ..HttpStep::default()
                };
                let transports = match step.transports.as_slice() {
                    [] => [SocketIoTransport::Websocket].into(),
                    some => some.into(),
                };
                let version = match step.protocol {
                    SocketIoProtocol::V4 => Version::Eio3,
                    SocketIoProtocol::V5 => Version::Eio4,
                };
                let request = self.request(number, (at, "connect"), HttpVerb::Get, &request)?;
                let auth = step.auth.as_ref().map(|auth| self.json(&format!("{at}.auth"), auth)).transpose()?;
                SocketIoDoes::Connect(Box::new(ConnectPlan { request, transports, version, auth }))
            }
            SocketIoAction::Emit(event) => {
                let mut arguments = Vec::with_capacity(step.args.len());
                for (index, value) in step.args.iter().enumerate() {
                    arguments.push(self.argument(&format!("{at}.args[{index}]"), value)?);
                }
                let waits = match &step.wait {
                    Some(event) => Waits::Event(self.event(at, event)?),
                    None if step.ack => Waits::Acknowledgement,
                    None => Waits::Nothing,
                };
                let event = self.text(&format!("{at}.emit"), event)?;
                SocketIoDoes::Emit { event, arguments: arguments.into(), waits }
            }
            SocketIoAction::Wait(event) => SocketIoDoes::Wait(self.event(at, event)?),
            SocketIoAction::Disconnect => SocketIoDoes::Disconnect,
        };
        Ok(SocketIoPlan {
            step: number,
            channel: self.channels.number(step.connection()),
            namespace: step.namespace().into(),
            timeout_ns: timeout.0.max(1),
            does,
            taking: self.taking(at, &step.capture, &step.checks, step.on_check_failure)?,
        })
    }

    fn event(&mut self, at: &str, event: &SocketIoEvent) -> Result<EventPlan, PlanError> {
        let conditions = self.checks(&format!("{at}.wait.where"), &event.conditions)?.into();
        Ok(EventPlan { name: event.event.as_str().into(), conditions })
    }

    fn argument(&mut self, field: &str, value: &Value) -> Result<ArgumentPlan, PlanError> {
        let binary = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get(BINARY));
        match binary.and_then(Value::as_str) {
            Some(text) => Ok(ArgumentPlan::Binary(self.text(field, text)?)),
            None => Ok(ArgumentPlan::Json(self.json(field, value)?)),
        }
    }

    fn json(&mut self, field: &str, value: &Value) -> Result<JsonTemplate, PlanError> {
        let template = JsonTemplate::parse(value, self.names);
        template.map_err(|error| self.of_template(field, &error))
    }
}
