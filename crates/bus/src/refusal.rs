//! What the server refuses for want of permission.
//!
//! It says so beside everything else, and whoever asked hears nothing: without this a missing grant would look like a
//! server that is slow. Here each refusal is remembered, so that what waits for an answer ends with it at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::{Bus, BusError};

/// How many refusals are remembered; what waits has long ended when so many more have come.
const REMEMBERED: usize = 128;
/// How often the same refusal is logged.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To publish, or to ask.
    Publish,
    /// To listen.
    Subscribe,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish to",
            Self::Subscribe => "subscribe to",
        })
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried.
    pub access: Access,
    /// Where.
    pub subject: String,
}

/// Refusals since the process began.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: u64,
    recent: VecDeque<Refusal>,
    /// Subscriptions of the present connection that do not exist: nothing will ever come there.
    deaf: Vec<String>,
    /// Subjects whose refusal was logged a moment ago.
    told: Vec<(String, Instant)>,
}

impl Refusals {
    pub(crate) fn note(&mut self, refusal: Refusal) {
        let now = Instant::now();
        self.told.retain(|(_, at)| now.duration_since(*at) < TELL_AGAIN);
        if self.told.len() < REMEMBERED && !self.told.iter().any(|(subject, _)| *subject == refusal.subject) {
            self.told.push((refusal.subject.clone(), now));
            tracing::error!(subject = refusal.subject, "not permitted to {} this subject", refusal.access);
        }
        if refusal.access == Access::Subscribe && self.deaf.len() < REMEMBERED {
            self.deaf.push(refusal.subject.clone());
        }
        self.count += 1;
        self.recent.push_back(refusal);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    /// Another connection subscribes anew.
    pub(crate) fn connected_anew(&mut self) {
        self.deaf.clear();
    }

    fn since(&self, count: u64) -> impl Iterator<Item = &Refusal> {
        let new = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        self.recent.iter().skip(self.recent.len().saturating_sub(new))
    }
}

/// What the server's words say: `Permissions Violation for Publish to "a.b"`.
pub(crate) fn refusal_in(text: &str) -> Option<Refusal> {
    let rest = text.trim().strip_prefix("Permissions Violation for ")?;
    let access = if rest.starts_with("Subscription") { Access::Subscribe } else { Access::Publish };
    let (_, quoted) = rest.split_once('"')?;
    let (subject, _) = quoted.split_once('"')?;
    Some(Refusal { access, subject: subject.to_owned() })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_understood() {
        let publish = refusal_in("Permissions Violation for Publish to \"a.b\"").unwrap();
        assert_eq!((publish.access, publish.subject.as_str()), (Access::Publish, "a.b"));
        let queue = refusal_in("Permissions Violation for Subscription to \"a.*\" using queue \"q\"").unwrap();
        assert_eq!((queue.access, queue.subject.as_str()), (Access::Subscribe, "a.*"));
        assert_eq!(refusal_in("Stale Connection"), None);
    }

    #[test]
    fn what_was_refused_before_does_not_count() {
        let refusal = |subject: &str| Refusal { access: Access::Publish, subject: subject.to_owned() };
        let mut log = Refusals::default();
        for number in 0..300 {
            log.note(refusal(&number.to_string()));
        }
        assert_eq!(log.since(298).cloned().collect::<Vec<_>>(), [refusal("298"), refusal("299")]);
        assert_eq!(log.since(300).count(), 0);
        assert_eq!(log.since(0).count(), REMEMBERED);
    }
}
