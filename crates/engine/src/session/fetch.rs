//! Requests that a script makes: exchanges of the step whose function it is.

use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_script::{Answer, RequestView};

use super::follow::Following;
use super::state::{Ready, Session};
use super::views;
use crate::failure::Failure;
use crate::http::received::Wanted;
use crate::plan::request::USER_AGENT;

/// How a script's requests are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetching {
    /// The step that they count at.
    pub(super) step: u16,
    pub(super) timeout_ns: u64,
    pub(super) redirects: u32,
    /// When the step was planned, where the first of them is to count from then.
    pub(super) ready: Option<Ready>,
}

impl Session<'_> {
    /// The step that a request of a script counts at. What is done once has steps of its own: there it is the caller.
    fn step_of(&self, request: &RequestView, caller: u16) -> Option<u16> {
        match &request.step {
            Some(name) if !self.program.is_once => self.shared.plan.steps.named(name),
            Some(_) | None => Some(caller),
        }
    }

    /// Makes a request of a script.
    pub(super) async fn fetch(&self, request: RequestView, fetching: Fetching) -> Answer {
        let Fetching { step: caller, timeout_ns, redirects, ready } = fetching;
        let Some(step) = self.step_of(&request, caller) else {
            let named = request.step.unwrap_or_default();
            return Answer::Failed(format!("fetch: there is no step {named:?} in this group"));
        };
        let ready = ready.filter(|_| !self.user.has_sent.get()).unwrap_or_else(|| Some(monotonic_ns()));
        let exchange = self.open(step, ready);
        let mut buffers = self.shared.take_buffers();
        let fetched = async {
            let refused = |text: String| Failure::new(FailureKind::Script, format!("fetch: {text}"));
            let (destination, path) = self.destination(&request.url).map_err(refused)?;
            views::make(&mut buffers.outgoing, &request, &path);
            if !buffers.outgoing.has_field("user-agent") {
                buffers.outgoing.add("User-Agent", USER_AGENT);
            }
            buffers.outgoing.check().map_err(|error| refused(error.to_string()))?;
            let wanted = Wanted { fields: true, body: true, body_max_bytes: self.program.body_max_bytes };
            let following = Following { step, timeout_ns, redirects, wanted };
            self.follow(exchange, destination, following, &mut buffers).await
        };
        let answer = match fetched.await {
            Ok(answered) => {
                let status = buffers.received.status();
                // As a step has it that says nothing else.
                if (200..400).contains(&status) {
                    self.in_flight().succeeded(exchange, status, answered.at_ns);
                } else {
                    let text = || format!("status {status}");
                    self.in_flight().failed(exchange, FailureKind::Status, status, answered.at_ns, text);
                }
                let url = self.url_of(answered.target, &buffers.outgoing);
                Answer::Response(views::response(&buffers.received, url))
            }
            Err(failure) => {
                let text = match &failure {
                    Failure::Failed(_, text) => text.clone(),
                    Failure::Unmade(fault) => fault.advice().to_owned(),
                };
                self.in_flight().ended(exchange, failure, monotonic_ns());
                Answer::Failed(text)
            }
        };
        self.shared.give_back(buffers);
        answer
    }
}
