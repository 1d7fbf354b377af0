//! A nats-server: found, started as a child, supervised, stopped. It is always a real one.

mod binary;
mod child;
mod discover;
mod probe;
mod supervise;

pub use binary::{MINIMUM_VERSION, find_binary};
pub use child::{ChildServer, ServerOptions, ServerState};
pub use discover::{Found, How, URL_FILE, discover};
pub use supervise::end_child;

use std::path::PathBuf;

/// Why there is no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// None was found.
    #[error(
        "no nats-server found: run scripts/setup, or put nats-server 2.11 or newer on PATH, or set NATS_SERVER_BIN to it"
    )]
    NoBinary,
    /// One was found that cannot be used.
    #[error(
        "{} is nats-server {version}, too old: 2.11 or newer is needed (2.9.10, as Debian has it, ignores TTLs and plural filters without a word); run scripts/setup or set NATS_SERVER_BIN",
        path.display()
    )]
    TooOld {
        /// The binary.
        path: PathBuf,
        /// What it says it is.
        version: String,
    },
    /// Another process has this store open.
    #[error("the store {} is in use by another nats-server; stop that or choose another directory", .0.display())]
    StoreInUse(PathBuf),
    /// A file or directory could not be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The process could not be started, or did not answer in time.
    #[error("nats-server did not start: {reason}; its log is {}", log.display())]
    Start {
        /// Why.
        reason: String,
        /// Where it says more.
        log: PathBuf,
    },
}
