//! How long the store waits for what; every one of these is a setting.

use std::time::Duration;

/// Times of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLimits {
    /// Longest wait for another process that holds the file.
    pub busy: Duration,
    /// Longest that one transaction may take to be written, with the wait for other writers. It then counts as failed.
    pub write: Duration,
    /// Longest wait for a connection that reads: an export may hold one for long.
    pub reader: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { busy: Duration::from_secs(5), write: Duration::from_secs(20), reader: Duration::from_secs(60) }
    }
}
