//! Sessions: what a browser has instead of a token, in a cookie that no script can read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::tokens::random;
use super::who::Who;
use crate::error::GatewayError;

/// Those that have not ended; by the digest of what is in the cookie.
#[derive(Debug)]
pub(super) struct Sessions {
    most: usize,
    pub(super) life: Duration,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Debug)]
struct Session {
    who: Who,
    began: Instant,
}

impl Sessions {
    pub(super) fn new(most: usize, life: Duration) -> Self {
        Self { most: most.max(1), life, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, cookie: &str) -> Option<Who> {
        let open = self.lock();
        let session = open.get(&digest(cookie)).filter(|session| session.began.elapsed() < self.life)?;
        Some(session.who.clone())
    }

    pub(super) fn begin(&self, who: Who) -> Result<String, GatewayError> {
        let bytes = random::<32>()?;
        let cookie = URL_SAFE_NO_PAD.encode(bytes);
        let mut open = self.lock();
        open.retain(|_, session| session.began.elapsed() < self.life);
        if open.len() >= self.most
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.began).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert(digest(&cookie), Session { who, began: Instant::now() });
        Ok(cookie)
    }

    pub(super) fn end(&self, cookie: &str) {
        self.lock().remove(&digest(cookie));
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::*;

    fn who(name: &str) -> Who {
        Who { name: Some(name.to_owned()), scope: Scope::Read }
    }

    #[test]
    fn a_session_ends_when_it_is_ended_or_old_or_pushed_out() {
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let [one, two] = ["one", "two"].map(|name| sessions.begin(who(name)).unwrap());
        assert_eq!(sessions.find(&one), Some(who("one")));
        sessions.end(&one);
        assert_eq!(sessions.find(&one), None, "replayed after the end");
        let three = sessions.begin(who("three")).unwrap();
        let four = sessions.begin(who("four")).unwrap();
        assert_eq!(sessions.find(&two), None, "the oldest");
        assert!(sessions.find(&three).is_some() && sessions.find(&four).is_some());
        let short = Sessions::new(2, Duration::ZERO);
        let gone = short.begin(who("gone")).unwrap();
        assert_eq!(short.find(&gone), None);
    }
}
