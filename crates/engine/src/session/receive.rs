//! What a message means that was waited for: whether it is the one, what is taken from it and asked of it.

use http::HeaderMap;
use nuncius_scenario::draw::Draws;
use nuncius_scenario::{Answer, Body, Scope, TemplateError};
use nuncius_schemas::metric::FailureKind;

use super::state::Session;
use crate::failure::Failure;
use crate::program::machine::Cursor;
use crate::program::taking::{CheckPlan, Taking};
use crate::program::text::Text;

/// Status of what has none.
const NO_STATUS: u16 = 0;

impl Session<'_> {
    /// Whether all of this holds for a message.
    ///
    /// # Errors
    /// A template cannot be filled in.
    pub(super) fn is_wanted(
        &self,
        wait: &[CheckPlan],
        (body, headers): (&[u8], &HeaderMap),
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<bool, Failure> {
        if wait.is_empty() {
            return Ok(true);
        }
        let body = Body::new(body);
        let answer = Answer { status: NO_STATUS, headers, body: &body, service_ns: 0, jar: None };
        let is_wanted = self.with_scope(cursor, |scope| {
            for plan in wait {
                if !plan.check.run(&answer, scope, draws)?.has_passed() {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        is_wanted.map_err(|error: TemplateError| Failure::new(FailureKind::Template, format!("wait: {error}")))
    }

    /// Runs `with` with what templates see.
    pub(super) fn with_scope<T>(&self, cursor: &mut Cursor, with: impl FnOnce(&Scope<'_>) -> T) -> T {
        self.with_facts(|facts| {
            let mut memory = self.user.memory.borrow_mut();
            memory.swap(self.program, cursor);
            let made = with(&memory.scope(self.program, facts));
            memory.swap(self.program, cursor);
            made
        })
    }

    /// What a text is made to.
    ///
    /// # Errors
    /// A template cannot be filled in.
    pub(super) fn made(&self, text: &Text, cursor: &mut Cursor, draws: &mut Draws) -> Result<String, Failure> {
        let made = self.with_scope(cursor, |scope| text.text(scope, draws));
        made.map_err(|error| Failure::new(FailureKind::Template, error.to_string()))
    }

    /// Runs the checks of a message, and takes what is wanted from it.
    ///
    /// # Errors
    /// A check failed that ends the iteration, or there is nothing to take.
    pub(super) fn take_message(
        &self,
        of: (u16, &Taking),
        (body, headers, service_ns): (&[u8], &HeaderMap, u64),
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<(), Failure> {
        let body = Body::new(body);
        let answer = Answer { status: NO_STATUS, headers, body: &body, service_ns, jar: None };
        self.take(of, cursor, draws, &answer, true)
    }
}
