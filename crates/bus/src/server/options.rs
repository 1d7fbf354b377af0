//! How the child is run, and what it is doing.

use std::net::IpAddr;
use std::path::PathBuf;

/// How to run the child.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where streams are kept; also its configuration, log and lock file.
    pub store_dir: PathBuf,
    /// The address it listens on.
    pub host: IpAddr,
    /// The port; 0 for any that is free (kept over restarts).
    pub port: u16,
    /// The port of its HTTP monitoring, 0 for any; none for no monitoring.
    pub http_port: Option<u16>,
    /// Largest message in bytes.
    pub max_payload_bytes: u64,
    /// Most bytes of file streams; the server's choice (of the free space) otherwise.
    pub jetstream_file_bytes: Option<u64>,
    /// Most bytes of memory streams.
    pub jetstream_memory_bytes: Option<u64>,
    /// Further lines of its configuration file. It must let an anonymous client ask whether JetStream is ready.
    pub config_extra: String,
    /// The binary, if not the one [`super::find_binary`] finds.
    pub binary: Option<PathBuf>,
}

impl ServerOptions {
    /// Any free port of 127.0.0.1, no monitoring, 1 MiB messages.
    pub fn new(store_dir: impl Into<PathBuf>) -> Self {
        Self {
            store_dir: store_dir.into(),
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            http_port: None,
            max_payload_bytes: 1 << 20,
            jetstream_file_bytes: None,
            jetstream_memory_bytes: None,
            config_extra: String::new(),
            binary: None,
        }
    }
}

/// What the child is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    /// It is being started; JetStream does not answer yet.
    Starting,
    /// It answers.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It ended by itself and will be started again.
    Restarting {
        /// The how-manieth time in a row.
        attempt: u32,
        /// How it ended.
        reason: String,
    },
    /// It was stopped by its owner.
    Stopped,
    /// It ended too often.
    Failed {
        /// How it ended the last time.
        reason: String,
    },
}
