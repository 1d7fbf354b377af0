//! Trying again what is nobody's fault: longer each time, never in step with the others, and said now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a mapping says what it waits for.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Pauses that double, each drawn between half and the whole of it.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, first, most }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) async fn pause(&mut self) {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.most);
        tokio::time::sleep(pause).await;
    }
}

/// What was said last, and when.
#[derive(Debug, Default)]
pub(crate) struct Said(Mutex<Option<(String, Instant)>>);

impl Said {
    /// Whether this is news, or was said long ago.
    pub(crate) fn is_news(&self, text: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.as_ref().is_none_or(|(said, at)| said != text || at.elapsed() >= SAY_AGAIN);
        if is_news {
            *last = Some((text.to_owned(), Instant::now()));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_news_at_once() {
        let said = Said::default();
        assert!(said.is_news("full"));
        assert!(!said.is_news("full"));
        assert!(said.is_news("draining"));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_limit_and_begin_anew() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(1));
        for most in [100, 200, 400, 800, 1_000, 1_000] {
            let since = tokio::time::Instant::now();
            pauses.pause().await;
            let most = Duration::from_millis(most);
            assert!(since.elapsed() + Duration::from_millis(2) >= most / 2, "{most:?}");
            assert!(since.elapsed() <= most + Duration::from_millis(2), "{most:?}");
        }
        pauses.reset();
        assert_eq!(pauses.next, Duration::from_millis(100));
    }
}
