//! What a message means that was waited for: whether it is the one, what is taken from it and asked of it.

use http::HeaderMap;
use nuncius_scenario::draw::Draws;
use nuncius_scenario::{Answer, Body};
use nuncius_schemas::metric::FailureKind;

use super::state::Session;
use crate::failure::Failure;
use crate::program::action::{CheckPlan, Taking};
use crate::program::machine::Cursor;
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
        self.with_facts(|facts| {
            let mut memory = self.user.memory.borrow_mut();
            memory.swap(self.program, cursor);
            let scope = memory.scope(self.program, facts);
            let mut is_wanted = Ok(true);
            for plan in wait {
                match plan.check.run(&answer, &scope, draws) {
                    Ok(verdict) if verdict.has_passed() => {}
                    Ok(_) => is_wanted = Ok(false),
                    Err(error) => is_wanted = Err(error),
                }
                if !matches!(is_wanted, Ok(true)) {
                    break;
                }
            }
            memory.swap(self.program, cursor);
            is_wanted.map_err(|error| Failure::new(FailureKind::Template, format!("wait: {error}")))
        })
    }

    /// What a text is made to.
    ///
    /// # Errors
    /// A template cannot be filled in.
    pub(super) fn made(&self, text: &Text, cursor: &mut Cursor, draws: &mut Draws) -> Result<String, Failure> {
        self.with_facts(|facts| {
            let mut memory = self.user.memory.borrow_mut();
            memory.swap(self.program, cursor);
            let made = text.text(&memory.scope(self.program, facts), draws);
            memory.swap(self.program, cursor);
            made.map_err(|error| Failure::new(FailureKind::Template, error.to_string()))
        })
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
