//! How long this process has been seen by a server without a break. Only who has been seen for as long as others may be
//! silent knows that they are gone: after an outage, all of them were silent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// The standing of this process with a server.
#[derive(Debug, Default)]
pub(crate) struct Lease(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    last: Option<Instant>,
    renewing: Option<AbortHandle>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
        }
    }
}

impl Lease {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It was seen at this moment.
    pub(crate) fn seen(&self, now: Instant, silence_max: Duration) {
        self.with(|state| {
            let is_unbroken = state.last.is_some_and(|last| now.duration_since(last) < silence_max);
            if !is_unbroken {
                state.since = Some(now);
            }
            state.last = Some(now);
        });
    }

    /// Whether what is said of others can be believed.
    pub(crate) fn is_settled(&self, now: Instant, silence_max: Duration) -> bool {
        self.with(|state| state.since.is_none_or(|since| now.duration_since(since) >= silence_max))
    }

    /// Who renews it, until the end.
    pub(crate) fn renewed_by(&self, renewing: AbortHandle) {
        self.with(|state| state.renewing = Some(renewing));
    }

    /// Nobody renews it any more.
    pub(crate) fn end(&self) {
        if let Some(renewing) = self.with(|state| state.renewing.take()) {
            renewing.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_believed_to_be_gone_by_who_was_seen_for_as_long() {
        let (lease, begin) = (Lease::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        let silence = Duration::from_secs(10);
        // Who does not sign in, only looks.
        assert!(lease.is_settled(at(0), silence));
        lease.seen(at(0), silence);
        lease.seen(at(5), silence);
        assert!(!lease.is_settled(at(9), silence));
        assert!(lease.is_settled(at(10), silence));
        // An outage: it begins anew.
        lease.seen(at(40), silence);
        assert!(!lease.is_settled(at(49), silence));
        lease.seen(at(49), silence);
        assert!(lease.is_settled(at(50), silence));
    }
}
