//! A request of a step, from its templates on.
//!
//! Whose time is whose: what templates and scripts take before the request counts as lag, waiting for a connection or a
//! token as blocked; what is taken from an answer is worked out after the exchange has ended, in the generator's time.

use nuncius_clock::monotonic_ns;
use nuncius_scenario::draw::Draws;
use nuncius_schemas::metric::FailureKind;

use super::follow::Following;
use super::shared::Buffers;
use super::state::{Ready, Session, Stop};
use crate::failure::Failure;
use crate::in_flight::ExchangeId;
use crate::program::auth::AuthPlan;
use crate::program::machine::Cursor;
use crate::program::render::{self, Destination};
use crate::program::request::HttpAction;

impl Session<'_> {
    /// Does an action; when it ended.
    pub(super) async fn request(
        &self,
        action: &HttpAction,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        let mut buffers = self.shared.take_buffers();
        let done = self.perform(action, cursor, &mut draws, ready, &mut buffers).await;
        self.shared.give_back(buffers);
        done
    }

    async fn perform(
        &self,
        action: &HttpAction,
        cursor: &mut Cursor,
        draws: &mut Draws,
        ready: Ready,
        buffers: &mut Buffers,
    ) -> Result<u64, Stop> {
        let step = action.step;
        let (exchange, destination) = self.prepare(action, cursor, draws, ready, buffers).await?;
        let following =
            Following { step, timeout_ns: action.timeout_ns, redirects: action.redirects, wanted: action.wanted };
        let answered = self
            .follow(exchange, destination, following, buffers)
            .await
            .map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
        if buffers.received.status() == 401
            && let AuthPlan::Grant(grant) = action.auth
        {
            self.forget_token(grant);
        }
        self.judge(action, cursor, draws, answered, buffers).await
    }

    /// Makes the request of an action, with the token that it needs and what its hook changes, and opens its exchange.
    pub(super) async fn prepare(
        &self,
        action: &HttpAction,
        cursor: &mut Cursor,
        draws: &mut Draws,
        ready: Ready,
        buffers: &mut Buffers,
    ) -> Result<(ExchangeId, Destination), Stop> {
        let step = action.step;
        let mut opened = None;
        let token = match action.auth {
            AuthPlan::None | AuthPlan::Login(_) => None,
            AuthPlan::Grant(grant) => match self.token_at_hand(grant) {
                Some(token) => Some(token),
                None => {
                    // It waits for somebody else now.
                    let exchange = *opened.insert(self.open(step, ready));
                    let token = Box::pin(self.token(grant, exchange)).await;
                    Some(token.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?)
                }
            },
        };
        let rendered = self.with_facts(|facts| {
            let mut memory = self.user.memory.borrow_mut();
            memory.swap(self.program, cursor);
            let scope = memory.scope(self.program, facts);
            let rendered =
                render::request(self.program, action, token.as_deref(), &scope, draws, &mut buffers.outgoing);
            memory.swap(self.program, cursor);
            rendered
        });
        let destination = match rendered {
            Ok(destination) => destination,
            Err(error) => {
                let exchange = opened.unwrap_or_else(|| self.open(step, ready));
                let failure = Failure::new(FailureKind::Template, error.to_string());
                return Err(self.end(exchange, step, failure, monotonic_ns()));
            }
        };
        match action.before {
            None => Ok((opened.unwrap_or_else(|| self.open(step, ready)), destination)),
            Some(function) => {
                let own = (draws.bits(), action.timeout_ns);
                let outgoing = &mut buffers.outgoing;
                let hooked = self.before(function, step, (opened, ready), destination, own, outgoing);
                Box::pin(hooked).await
            }
        }
    }
}
