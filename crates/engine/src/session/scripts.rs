//! Functions of the script: hooks around requests, and calls of their own. What they compute is the generator's time;
//! what they fetch goes through the session's own client, under the node's rules.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use nuncius_clock::{monotonic_ns, unix_ms};
use nuncius_scenario::draw::Draws;
use nuncius_schemas::metric::FailureKind;
use nuncius_script::{Answer, Call, Finished, FunctionId, RequestView, Runtime, Wanted, drive};
use serde_json::{Map, Value};

use super::fetch::Fetching;
use super::state::{Ready, Session, Stop};
use super::views::{make, response, view};
use crate::failure::Failure;
use crate::http::outgoing::Outgoing;
use crate::http::received::Received;
use crate::in_flight::ExchangeId;
use crate::program::action::CallPlan;
use crate::program::render::{Destination, split_url};

/// Most redirects that a script's request follows.
const REDIRECTS_MAX: u32 = 20;

impl Session<'_> {
    fn runtime(&self) -> Result<&RefCell<Runtime>, Failure> {
        self.shared.script.as_ref().ok_or_else(|| Failure::new(FailureKind::Script, "there is no script"))
    }

    /// The variables by name, as a script sees them.
    pub(super) fn variables(&self) -> Map<String, Value> {
        let mut all = self.user.unnamed.borrow().clone();
        let memory = self.user.memory.borrow();
        self.with_facts(|facts| {
            let scope = memory.scope(self.program, facts);
            for (slot, name) in (0u16..).zip(self.program.names.iter()) {
                if let Some(value) = scope.variable(slot) {
                    all.insert(name.to_owned(), value.clone());
                }
            }
        });
        all
    }

    /// The variables as a script has left them. What it has not touched may have been changed meanwhile by another
    /// branch, and stays as that has it.
    fn keep_variables(&self, before: &Map<String, Value>, after: Map<String, Value>) {
        let mut memory = self.user.memory.borrow_mut();
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            match self.program.names.get(name) {
                Some(slot) => memory.set(slot, None),
                None => drop(self.user.unnamed.borrow_mut().remove(name)),
            }
        }
        for (name, value) in after {
            if before.get(&name) == Some(&value) {
                continue;
            }
            match self.program.names.get(&name) {
                Some(slot) => memory.set(slot, Some(value)),
                None => drop(self.user.unnamed.borrow_mut().insert(name, value)),
            }
        }
    }

    /// Calls a function and does what it asks for; whether it had to wait for that.
    async fn script(
        &self,
        function: FunctionId,
        call: Call,
        fetching: Fetching,
        waits: impl FnOnce(),
    ) -> Result<(Box<Finished>, bool), Failure> {
        let runtime = self.runtime()?;
        let before = call.variables.clone();
        let answer = |wanted: Wanted| async move {
            match wanted {
                Wanted::Fetch(request) => self.fetch(request, fetching).await,
                Wanted::Timer { after_ns } => {
                    self.shared.sleepers.until(monotonic_ns().saturating_add(after_ns)).await;
                    Answer::Elapsed
                }
            }
        };
        let mut running = pin!(drive::run(runtime, function, call, answer));
        // What it does without waiting is done when it was polled once.
        let mut waits = Some(waits);
        let mut finished = poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(finished) => Poll::Ready(finished),
            Poll::Pending => {
                if let Some(waits) = waits.take() {
                    waits();
                }
                Poll::Pending
            }
        })
        .await;
        for line in &finished.lines {
            self.shared.log.line(self.program.group, self.iteration.index, &line.text);
        }
        self.keep_variables(&before, std::mem::take(&mut finished.variables));
        self.meter(&finished)?;
        match &finished.result {
            Ok(_) => Ok((finished, waits.is_none())),
            Err(error) => Err(Failure::new(FailureKind::Script, error.to_string())),
        }
    }

    /// What the script has measured.
    ///
    /// # Errors
    /// The group has no such meter: what is not declared before the start nobody could add up.
    fn meter(&self, finished: &Finished) -> Result<(), Failure> {
        for meter in &finished.meters {
            let Some(index) = self.shared.plan.meter(&meter.name) else {
                let text = format!("meter `{}`: the group does not declare it among its `meters`", meter.name);
                return Err(Failure::new(FailureKind::Script, text));
            };
            // Finite; what is below 0 is no count.
            let value = meter.value.max(0.0) as u64;
            if !self.in_flight().is_warm_up(self.iteration) {
                self.in_flight().record(|recorder| recorder.meter(index, value));
            }
        }
        Ok(())
    }

    fn new_call(&self, seed: u64) -> Call {
        Call {
            variables: self.variables(),
            request: None,
            response: None,
            iteration: self.iteration.index,
            user: self.user_number,
            now_unix_ms: unix_ms(),
            seed,
        }
    }

    /// Does a step that calls a function; its requests are the step's exchanges.
    pub(super) async fn call(&self, plan: &CallPlan, mut draws: Draws, ready: Ready) -> Result<Ready, Stop> {
        let fetching = Fetching {
            step: plan.step,
            timeout_ns: plan.timeout_ns,
            redirects: plan.redirects.max(REDIRECTS_MAX),
            ready: if self.user.has_sent.get() { None } else { Some(ready) },
        };
        let called = Box::pin(self.script(plan.function, self.new_call(draws.bits()), fetching, || {})).await;
        match called {
            Ok((_, true)) => Ok(Some(monotonic_ns())),
            Ok((_, false)) => Ok(ready),
            Err(failure) => Err(self.fail_at(plan.step, Some(monotonic_ns()), failure)),
        }
    }

    /// Runs the hook before a request, which may change it. The exchange is opened when the hook is over, since its
    /// time is lag; or else when it waits for somebody else.
    pub(super) async fn before(
        &self,
        function: FunctionId,
        step: u16,
        (opened, ready): (Option<ExchangeId>, Ready),
        destination: Destination,
        (seed, timeout_ns): (u64, u64),
        outgoing: &mut Outgoing,
    ) -> Result<(ExchangeId, Destination), Stop> {
        let url = match &destination {
            Destination::Target(number) => self.url_of(*number, outgoing),
            Destination::Origin(origin) => format!("{origin}{}", outgoing.path()),
        };
        let request = view(outgoing, &url);
        let call = Call { request: Some(request.clone()), ..self.new_call(seed) };
        let exchange = std::cell::Cell::new(opened);
        let open = || {
            if exchange.get().is_none() {
                exchange.set(Some(self.open(step, ready)));
            }
        };
        let fetching = Fetching { step, timeout_ns, redirects: REDIRECTS_MAX, ready: None };
        let called = self.script(function, call, fetching, open).await;
        open();
        let exchange = exchange.get().unwrap_or_else(|| self.open(step, ready));
        let changed = called.and_then(|(mut finished, _)| match finished.request.take() {
            Some(changed) if changed != request => self.change(&request, changed, destination, outgoing),
            Some(_) | None => Ok(destination),
        });
        match changed {
            Ok(destination) => Ok((exchange, destination)),
            Err(failure) => Err(self.end(exchange, step, failure, monotonic_ns())),
        }
    }

    /// The request as the hook has left it.
    fn change(
        &self,
        before: &RequestView,
        after: RequestView,
        destination: Destination,
        outgoing: &mut Outgoing,
    ) -> Result<Destination, Failure> {
        let refused = |text: String| Failure::new(FailureKind::Script, text);
        let (destination, path) = if after.url == before.url {
            (destination, outgoing.path().to_owned())
        } else {
            self.destination(&after.url).map_err(refused)?
        };
        make(outgoing, &after, &path);
        outgoing.check().map_err(|error| refused(format!("before_request: {error}")))?;
        Ok(destination)
    }

    /// Whom a script's URL goes to, and the path there: one that begins with a slash is at the group's target.
    pub(super) fn destination(&self, url: &str) -> Result<(Destination, String), String> {
        let mut path = String::new();
        if url.starts_with('/') {
            path.push_str(&self.program.base_path);
            crate::program::text::push_path(&mut path, url);
            return Ok((Destination::Target(0), path));
        }
        let (origin, rest) =
            split_url(url).ok_or_else(|| "a URL is a path that starts with /, or http:// or https://".to_owned())?;
        crate::program::text::push_path(&mut path, rest);
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        Ok((Destination::Origin(origin.to_owned()), path))
    }

    /// Runs the hook that sees an answer; when what comes next is planned.
    pub(super) async fn after(
        &self,
        function: FunctionId,
        (exchange, step): (ExchangeId, u16),
        (ended, url): ((u16, u64), String),
        (seed, timeout_ns): (u64, u64),
        received: &Received,
    ) -> Result<u64, Stop> {
        let response = response(received, url);
        let call = Call { response: Some(response), ..self.new_call(seed) };
        let fetching = Fetching { step, timeout_ns, redirects: REDIRECTS_MAX, ready: None };
        match self.script(function, call, fetching, || {}).await {
            Ok((_, true)) => Ok(monotonic_ns()),
            Ok((_, false)) => Ok(ended.1),
            Err(failure) => Err(self.refuse(exchange, step, ended, failure)),
        }
    }
}
