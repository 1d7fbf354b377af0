//! Tokens of OAuth 2.0 (RFC 6749): fetched when they are first needed, fetched anew before they run out, by one user
//! for all who wait.

use std::sync::Arc;

use nuncius_clock::monotonic_ns;
use nuncius_scenario::auth::{Token, read_token};
use nuncius_scenario::draw::Draws;
use nuncius_schemas::flow::TokenPer;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::units::SECOND_NS;

use super::send::Sending;
use super::state::Session;
use crate::failure::Failure;
use crate::http::received::Wanted;
use crate::in_flight::ExchangeId;
use crate::program::auth::{Grant, Held, Tokens};
use crate::program::instruction::Pc;
use crate::program::render;

/// Largest answer of a token server, in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A server that refused is not asked again for so long.
const REFUSED_NS: u64 = SECOND_NS;

/// Draws of tokens are those of a place that no program has.
const PLACE: Pc = Pc::MAX;

impl Session<'_> {
    fn grant(&self, number: u16) -> Option<&Grant> {
        self.program.grants.get(usize::from(number))
    }

    fn tokens(&self, grant: &Grant) -> &Tokens {
        match grant.per {
            TokenPer::User => &self.user.tokens,
            TokenPer::Run => &self.program.tokens,
        }
    }

    /// The token of a grant, if there is one that holds and nobody is just fetching another.
    pub(super) fn token_at_hand(&self, number: u16) -> Option<Arc<str>> {
        let tokens = self.tokens(self.grant(number)?).try_lock().ok()?;
        let held = tokens.get(&number).filter(|held| monotonic_ns() < held.until_ns)?;
        held.authorization.as_ref().ok().cloned()
    }

    /// The token of a grant; it is fetched, if need be.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn token(&self, number: u16, exchange: ExchangeId) -> Result<Arc<str>, Failure> {
        let Some(grant) = self.grant(number) else {
            return Err(Failure::new(FailureKind::Template, "there is no such grant"));
        };
        let mut tokens = self.tokens(grant).lock().await;
        if let Some(held) = tokens.get(&number).filter(|held| monotonic_ns() < held.until_ns) {
            return held.authorization.clone();
        }
        let fetched = self.fetch_token(number, grant, exchange).await;
        let held = match fetched {
            Ok(token) => {
                let life_ns = token.renew_after_s().map_or(u64::MAX, |seconds| seconds.saturating_mul(SECOND_NS));
                let authorization = Ok(token.authorization().into());
                Held { authorization, until_ns: monotonic_ns().saturating_add(life_ns) }
            }
            Err(failure) => Held { authorization: Err(failure), until_ns: monotonic_ns().saturating_add(REFUSED_NS) },
        };
        tokens.insert(number, held.clone());
        held.authorization
    }

    /// The token of a grant was refused: the next who needs one fetches another.
    pub(super) fn forget_token(&self, number: u16) {
        if let Some(grant) = self.grant(number)
            && let Ok(mut tokens) = self.tokens(grant).try_lock()
        {
            tokens.remove(&number);
        }
    }

    async fn fetch_token(&self, number: u16, grant: &Grant, exchange: ExchangeId) -> Result<Token, Failure> {
        let of_test = |text: String| Failure::new(FailureKind::Template, format!("{}: {text}", grant.field));
        let mut buffers = self.shared.take_buffers();
        let made = self.with_facts(|facts| {
            let memory = self.user.memory.borrow();
            let mut draws = Draws::new(self.program.key, self.iteration.index, PLACE, u32::from(number));
            render::grant(grant, &memory.scope(self.program, facts), &mut draws, &mut buffers.outgoing)
        });
        made.map_err(|error| of_test(error.to_string()))?;
        let target = self.shared.target(grant.target).ok_or_else(|| of_test("there is no such target".to_owned()))?;
        let wanted = Wanted { fields: false, body: true, body_max_bytes: ANSWER_MAX_BYTES };
        self.permit(exchange).await;
        // The step that waits for it is not sent by it.
        let sending =
            Sending { exchange, step: None, target: (grant.target, &target), timeout_ns: grant.timeout_ns, wanted };
        let sent = self.send(sending, &mut buffers).await;
        let token = sent.and_then(|_| {
            let received = &buffers.received;
            read_token(received.status(), received.body())
                .map_err(|error| Failure::new(FailureKind::Status, format!("{}: {error}", grant.field)))
        });
        self.shared.give_back(buffers);
        token
    }
}
