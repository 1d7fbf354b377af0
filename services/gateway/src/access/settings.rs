//! Settings of who may do what.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of who may do what.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// The tokens: a line each, `NAME SCOPE HASH`. None asks for none, and serves loopback alone.
    pub token_file: Option<PathBuf>,
    /// Refuse all changes.
    pub read_only: bool,
    /// Cookies are for TLS alone: whoever is in front of the gateway speaks it.
    pub secure_cookies: bool,
    /// Requests of one address a second; five times as many at once.
    pub requests_per_second: u32,
    /// Sessions at a time; one more ends the oldest.
    pub sessions_max: usize,
    /// How long a session lasts.
    pub session_life: Duration,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            token_file: None,
            read_only: false,
            secure_cookies: false,
            requests_per_second: 200,
            sessions_max: 1_024,
            session_life: Duration::from_secs(12 * 3600),
        }
    }
}
