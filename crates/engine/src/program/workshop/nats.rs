//! Steps over NATS: from what is written to what is done.

use std::sync::Arc;

use bytes::Bytes;
use nuncius_scenario::json_template::JsonTemplate;
use nuncius_schemas::flow::{NatsAction, NatsStep};

use crate::error::PlanError;
use crate::program::http::Workshop;
use crate::program::nats::{NatsDoes, NatsMessage, NatsPlan, NatsServer, PayloadPlan};
use crate::program::text::Text;

impl Workshop<'_> {
    /// A step over NATS. `at` is the path of the step with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn nats(&mut self, number: u16, at: &str, step: &NatsStep) -> Result<NatsPlan, PlanError> {
        let action = step.action(at).map_err(|error| self.refuse(&error.field, error.problem))?;
        let track: Option<Arc<str>> = step.track.as_deref().map(Arc::from);
        let messages = step.messages.unwrap_or(1);
        let channel = self.channels.number(step.subscription());
        let mut server = 0;
        if !matches!(action, NatsAction::Wait(_)) {
            server = self.nats_server(at, step)?;
        }
        let does = match action {
            NatsAction::Publish(subject) => NatsDoes::Publish {
                message: self.nats_message(at, ("publish", subject), step)?,
                is_acknowledged: step.jetstream,
                track,
            },
            NatsAction::Request(subject) => NatsDoes::Request(self.nats_message(at, ("request", subject), step)?),
            NatsAction::Subscribe(subject) => NatsDoes::Subscribe {
                channel,
                subject: self.text(&format!("{at}.subscribe"), subject)?,
                queue: step.queue.as_ref().map(|queue| self.text(&format!("{at}.queue"), queue)).transpose()?,
                track,
            },
            NatsAction::Wait(wait) => {
                NatsDoes::Wait { channel, wait: self.checks(&format!("{at}.wait"), wait)?.into(), messages }
            }
            NatsAction::Consume(consume) => NatsDoes::Consume {
                stream: consume.stream.as_str().into(),
                consumer: consume.consumer.as_str().into(),
                messages,
                track,
            },
        };
        Ok(NatsPlan {
            step: number,
            server,
            timeout_ns: step.timeout.unwrap_or(self.group.timeout).0.max(1),
            does,
            taking: self.taking(at, &step.capture, &step.checks, step.on_check_failure)?,
        })
    }

    fn nats_message(
        &mut self,
        at: &str,
        (field, subject): (&str, &str),
        step: &NatsStep,
    ) -> Result<NatsMessage, PlanError> {
        let subject = self.text(&format!("{at}.{field}"), subject)?;
        let mut headers = Vec::with_capacity(step.headers.len());
        for (name, value) in &step.headers {
            headers.push((name.as_str().into(), self.text(&format!("{at}.headers.{name}"), value)?));
        }
        let payload = match (&step.body, &step.json) {
            (None, None) => PayloadPlan::Constant(Bytes::new()),
            (Some(body), _) => match self.text(&format!("{at}.body"), body)? {
                Text::Constant(text) => PayloadPlan::Constant(Bytes::copy_from_slice(text.as_bytes())),
                made @ Text::Made(_) => PayloadPlan::Text(made),
            },
            (None, Some(value)) => {
                let template = JsonTemplate::parse(value, self.names);
                let template = template.map_err(|error| self.of_template(&format!("{at}.json"), &error))?;
                match template.constant() {
                    Some(constant) => PayloadPlan::Constant(Bytes::from(constant.to_string())),
                    None => PayloadPlan::Json(template),
                }
            }
        };
        Ok(NatsMessage { subject, headers: headers.into(), payload })
    }

    /// The number of the server of a step: its own, or the group's target. May block on DNS.
    fn nats_server(&mut self, at: &str, step: &NatsStep) -> Result<u16, PlanError> {
        let (field, url) = match &step.server {
            Some(url) => (format!("{at}.server"), url.as_str()),
            None => ("target".to_owned(), self.group.target.as_str()),
        };
        let known = self.nats_servers.urls.iter().position(|known| known == url);
        let index = match known {
            Some(index) => index,
            None => {
                let server = self.new_nats_server(&field, url)?;
                self.nats_servers.urls.push(url.to_owned());
                self.nats_servers.servers.push(server);
                self.nats_servers.servers.len() - 1
            }
        };
        // There are at most as many as steps.
        Ok(u16::try_from(index).unwrap_or(u16::MAX))
    }

    fn new_nats_server(&self, field: &str, url: &str) -> Result<NatsServer, PlanError> {
        if !url.starts_with("nats://") && !url.starts_with("tls://") {
            return Err(self.refuse(field, "no server of NATS (nats://): give the step a `server`"));
        }
        let (target, upstream) = self.targets.resolver().reach(&format!("{}.{field}", self.path), url)?;
        let addresses = upstream.now().used().flat_map(|host| host.candidates()).collect();
        let (login, token) = match target.credentials.as_deref() {
            None => (None, None),
            Some(credentials) => match credentials.split_once(':') {
                Some((user, password)) => (Some((decoded(user), decoded(password))), None),
                None => (None, Some(decoded(credentials))),
            },
        };
        let tls = match target.secure {
            false => None,
            true => {
                let tls = self.targets.resolver().tls_of(&target.host, None);
                let tls = tls.map_err(|problem| self.refuse("tls", problem))?;
                Some((target.host, tls.config))
            }
        };
        Ok(NatsServer { addresses, login, token, tls })
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
