//! What was told a moment ago.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Headers;

/// How long what was told is remembered: a dead connection is found out within two pings that nobody answered.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(20);
/// How many are remembered. Who tells what a stream has taken waits for its answer to the next one first, so that no
/// more of it is on its way than there are senders; more would only be out of the processor's cache.
const REMEMBERED_MAX: usize = 1_024;

/// What was told a moment ago, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tellings {
    recent: Mutex<VecDeque<Telling>>,
    /// Whether somebody watches the connection.
    pub(crate) watched: OnceLock<()>,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    pub(crate) at: Instant,
    pub(crate) subject: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

impl Tellings {
    pub(crate) fn remember(&self, telling: Telling) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.len() >= REMEMBERED_MAX
            || recent.front().is_some_and(|first| telling.at.duration_since(first.at) > REMEMBERED_FOR)
        {
            recent.pop_front();
        }
        recent.push_back(telling);
    }

    /// What was told from `earliest` on.
    pub(crate) fn since(&self, earliest: Instant) -> Vec<Telling> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().filter(|telling| telling.at >= earliest).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_lately_is_remembered_and_no_more_of_it_than_that() {
        let tellings = Tellings::default();
        let start = Instant::now();
        let told = |after: Duration| Telling {
            at: start + after,
            subject: "a".to_owned(),
            headers: Headers::new(),
            payload: Bytes::new(),
        };
        for _ in 0..REMEMBERED_MAX + 5 {
            tellings.remember(told(Duration::ZERO));
        }
        assert_eq!(tellings.since(start).len(), REMEMBERED_MAX);
        tellings.remember(told(REMEMBERED_FOR));
        assert_eq!(tellings.since(start).len(), REMEMBERED_MAX);
        tellings.remember(told(REMEMBERED_FOR + Duration::from_millis(1)));
        assert_eq!(tellings.since(start).len(), 2);
        assert_eq!(tellings.since(start + REMEMBERED_FOR + Duration::from_millis(1)).len(), 1);
    }
}
