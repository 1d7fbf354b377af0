//! What an answer means: its checks, its status, and what is taken from it.

use nuncius_scenario::draw::Draws;
use nuncius_scenario::{Answer, Body, Verdict};
use nuncius_schemas::metric::FailureKind;

use super::follow::Answered;
use super::shared::Buffers;
use super::state::{Session, Stop};
use crate::failure::Failure;
use crate::program::machine::Cursor;
use crate::program::request::HttpAction;
use crate::program::taking::Taking;

impl Session<'_> {
    /// What an answer means: its checks, its status, and what is taken from it.
    pub(super) async fn judge(
        &self,
        action: &HttpAction,
        cursor: &mut Cursor,
        draws: &mut Draws,
        answered: Answered,
        buffers: &mut Buffers,
    ) -> Result<u64, Stop> {
        let Answered { exchange, at_ns, sent_ns, .. } = answered;
        let (step, status) = (action.step, buffers.received.status());
        let ended = (status, at_ns);
        let taken = if action.taking.is_nothing() {
            Ok(())
        } else {
            let received = &buffers.received;
            let body =
                if action.wanted.body { Body::new(received.body()) } else { Body::uncollected(received.body_bytes()) };
            let jar = self.user.jar.borrow();
            let answer = Answer {
                status,
                headers: received.headers(),
                body: &body,
                service_ns: at_ns.saturating_sub(sent_ns),
                jar: Some(&jar),
            };
            // What is taken from an answer that has failed would be taken for what it is not.
            let is_expected = action.expected.contains(status);
            self.take((step, &action.taking), cursor, draws, &answer, is_expected)
        };
        if !action.expected.contains(status) {
            let failure = Failure::new(FailureKind::Status, format!("status {status}"));
            return Err(self.refuse(exchange, step, ended, failure));
        }
        if let Err(failure) = taken {
            return Err(self.refuse(exchange, step, ended, failure));
        }
        let mut end_ns = at_ns;
        if let Some(function) = action.after {
            let url = self.url_of(answered.target, &buffers.outgoing);
            let own = (draws.bits(), action.timeout_ns);
            let hooked = self.after(function, (exchange, step), (ended, url), own, &buffers.received);
            end_ns = Box::pin(hooked).await?;
        }
        self.in_flight().succeeded(exchange, status, at_ns);
        Ok(end_ns)
    }

    /// Runs the checks of what a step has received, then takes what is wanted from it where that `is_expected`.
    pub(super) fn take(
        &self,
        (step, taking): (u16, &Taking),
        cursor: &mut Cursor,
        draws: &mut Draws,
        answer: &Answer<'_>,
        is_expected: bool,
    ) -> Result<(), Failure> {
        let mut memory = self.user.memory.borrow_mut();
        let mut failed = None;
        if !taking.checks.is_empty() {
            memory.swap(self.program, cursor);
            let verdicts = self.with_facts(|facts| {
                let scope = memory.scope(self.program, facts);
                let run = taking.checks.iter().map(|plan| (plan, plan.check.run(answer, &scope, draws)));
                run.collect::<Vec<_>>()
            });
            memory.swap(self.program, cursor);
            for (plan, verdict) in verdicts {
                let verdict = verdict
                    .map_err(|error| Failure::new(FailureKind::Template, format!("check `{}`: {error}", plan.label)))?;
                self.in_flight().count(self.iteration, step, |recorder, place| {
                    recorder.check(place, &plan.label, verdict.has_passed());
                });
                match verdict {
                    Verdict::Failed(why) if taking.fails_with_check => {
                        failed = failed.or(Some(format!("check `{}`: {why}", plan.label)));
                    }
                    Verdict::Passed | Verdict::Failed(_) => {}
                }
            }
        }
        if let Some(text) = failed {
            return Err(Failure::new(FailureKind::Check, text));
        }
        if !is_expected {
            return Ok(());
        }
        for (slot, name, capture) in &taking.captures {
            let value = capture
                .take(answer)
                .map_err(|error| Failure::new(FailureKind::Capture, format!("capture `{name}`: {error}")))?;
            memory.set(*slot, Some(value));
        }
        Ok(())
    }
}
