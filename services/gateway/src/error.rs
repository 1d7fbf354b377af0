//! Why a gateway ended.

use std::path::PathBuf;

use nuncius_bus::BusError;
use nuncius_serve::ServeError;

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The bus.
    #[error("gateway: {0}")]
    Bus(#[from] BusError),
    /// The pages.
    #[error("gateway: {0}")]
    Serve(#[from] ServeError),
    /// The collector.
    #[error("gateway: nothing can be sent to the collector: {0}; see --otlp-endpoint and --otlp-header")]
    Collector(String),
    /// The directory of the spool.
    #[error("gateway: the spool's directory {} cannot be used: {problem}; see --spool-directory", directory.display())]
    Spool {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Open to strangers.
    #[error(
        "gateway: {address} is reached from other machines: give the tokens of who may come in with --token-file (see \
         `nuncius gateway hash-token`), or serve /metrics and the probes alone with --metrics-only"
    )]
    Open {
        /// Where it should listen.
        address: String,
    },
    /// The file of tokens.
    #[error("gateway: --token-file {}: {problem}", path.display())]
    Tokens {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A token that cannot be made.
    #[error("gateway: {0}")]
    Token(String),
    /// A prefix of paths that is none.
    #[error("gateway: --base-path `{0}`: write it as /nuncius, of letters, digits, `-`, `_`, `.` and `/`")]
    BasePath(String),
}
