//! Waiting for what the server refuses.

use tokio::sync::watch;

use super::{Access, Refusal, Refusals};
use crate::{Bus, BusError};

/// Refusals from the moment it was made.
#[derive(Debug)]
pub(crate) struct RefusalWatch {
    bus: Bus,
    log: watch::Receiver<Refusals>,
    count: u64,
}

impl RefusalWatch {
    /// The first refusal that concerns the caller; waits for ever while there is none. Cancel-safe.
    pub(crate) async fn first(&mut self, concerns: impl Fn(&Refusal) -> bool) -> BusError {
        let mut found = None;
        let waited = self.log.wait_for(|log| {
            found = log.since(self.count).find(|refusal| concerns(refusal)).cloned();
            found.is_some()
        });
        let is_told = waited.await.is_ok();
        // The sender lives in the client's callback: an error means that the connection is closed.
        match found.filter(|_| is_told) {
            Some(refusal) => self.bus.not_permitted(&refusal),
            None => std::future::pending().await,
        }
    }
}

impl Bus {
    /// Refusals from now on.
    pub(crate) fn refusal_watch(&self) -> RefusalWatch {
        let log = self.refusal_log();
        let count = log.borrow().count;
        RefusalWatch { bus: self.clone(), log, count }
    }

    /// Does what waits for an answer, and ends early when the server refuses what `concerns` it, or the answer's inbox.
    pub(crate) async fn unless_refused<T>(
        &self,
        concerns: impl Fn(&Refusal) -> bool,
        doing: impl Future<Output = T>,
    ) -> Result<T, BusError> {
        let mut watch = self.refusal_watch();
        let inbox = self.inbox_prefix();
        if let Some(subject) = watch.log.borrow().deaf.iter().find(|subject| subject.starts_with(inbox)) {
            let refusal = Refusal { access: Access::Subscribe, subject: subject.clone() };
            return Err(self.not_permitted(&refusal));
        }
        let concerns = |refusal: &Refusal| {
            concerns(refusal) || (refusal.access == Access::Subscribe && refusal.subject.starts_with(inbox))
        };
        tokio::select! {
            biased;
            done = doing => Ok(done),
            error = watch.first(concerns) => Err(error),
        }
    }

    /// The first of the server's refusals, from now on, that is one of `which`; waits for ever while there is none.
    pub async fn refused(&self, which: impl Fn(&Refusal) -> bool) -> BusError {
        self.refusal_watch().first(which).await
    }

    /// A subscription of the present connection that the server has refused: nothing will ever be heard there.
    pub fn deaf_to(&self) -> Option<BusError> {
        let log = self.refusal_log();
        let subject = log.borrow().deaf.first()?.clone();
        Some(self.not_permitted(&Refusal { access: Access::Subscribe, subject }))
    }

    /// The latest refusals, the oldest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refusal_log().borrow().recent.iter().cloned().collect()
    }

    fn not_permitted(&self, refusal: &Refusal) -> BusError {
        let who = self.role().map_or_else(|| "this connection's user".to_owned(), |role| format!("role {role}"));
        BusError::NotPermitted { access: refusal.access, subject: refusal.subject.clone(), who }
    }
}
