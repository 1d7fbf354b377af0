//! Why there is no stub.

use std::net::SocketAddr;

/// Why there is no stub.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// The address is taken or not this machine's.
    #[error("the stub cannot listen on {address}: {source}; choose another address, or port 0 for any free port")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting that cannot be meant.
    #[error("stub setting {setting}: {problem}")]
    Setting {
        /// Its name in [`super::StubConfig`].
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The kernel gave no timer.
    #[error("the stub has no timer: {0}; the limit of open files may be too low (ulimit -n)")]
    Timer(std::io::Error),
    /// Called outside a runtime.
    #[error("the stub runs on the tokio runtime it is started in, and there is none")]
    NoRuntime,
    /// The stub's own task ended before it was told to.
    #[error("the stub ended by itself: {0}")]
    Ended(String),
}
