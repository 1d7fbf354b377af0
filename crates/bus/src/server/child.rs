//! The child: its options and the handle that its owner keeps.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::supervise::{Command, Supervisor};
use super::{ServerError, find_binary};

/// Commands that may wait for the thread that stays with the child; it looks several times a second.
const COMMANDS_MAX: usize = 8;

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
    /// The binary, if not the one [`find_binary`] finds.
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

/// A nats-server child, supervised by a thread that lives as long as it does. Dropping it stops it.
#[derive(Debug)]
pub struct ChildServer {
    commands: mpsc::SyncSender<Command>,
    state: watch::Receiver<ServerState>,
    url: String,
    monitoring_url: Option<String>,
    log: PathBuf,
}

impl ChildServer {
    /// Starts the child and waits until JetStream answers.
    ///
    /// # Errors
    /// [`ServerError::StoreInUse`] where another process has the store; otherwise why it did not start.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let found = match &options.binary {
            Some(binary) => Ok(binary.clone()),
            None => tokio::task::spawn_blocking(find_binary).await.unwrap_or(Err(ServerError::NoBinary)),
        };
        let binary = found?;
        let log = options.store_dir.join("nats-server.log");
        let (commands, received) = mpsc::sync_channel(COMMANDS_MAX);
        let (state_sender, state) = watch::channel(ServerState::Starting);
        let (started, start) = tokio::sync::oneshot::channel();
        // PDEATHSIG fires when the *thread* that spawned the child ends, so that thread stays with it.
        let spawned =
            std::thread::Builder::new().name("nats-server".to_owned()).spawn(move || {
                match Supervisor::start(binary, options, state_sender) {
                    Ok(supervisor) => {
                        let addresses = supervisor.addresses();
                        if started.send(Ok(addresses)).is_ok() {
                            supervisor.run(&received);
                        }
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        let failed = |reason: String| ServerError::Start { reason, log: log.clone() };
        spawned.map_err(|e| failed(e.to_string()))?;
        let (url, monitoring_url) = start.await.map_err(|_| failed("its thread ended".to_owned()))??;
        Ok(Self { commands, state, url, monitoring_url, log })
    }

    /// `nats://host:port`; the same over restarts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `http://host:port` of its monitoring, where asked for.
    pub fn monitoring_url(&self) -> Option<&str> {
        self.monitoring_url.as_deref()
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            ServerState::Running { pid } => Some(pid),
            _ => None,
        }
    }

    /// What it is doing, as a channel that can be waited on.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// SIGKILL, as a crash would be; the supervisor starts it again. For tests.
    pub fn kill(&self) {
        let _ = self.commands.send(Command::Kill);
    }

    /// Ends it: SIGTERM, so that JetStream writes what it has; SIGKILL after 5 s. Waits until it is gone.
    pub async fn stop(self) {
        let mut state = self.state.clone();
        let _ = self.commands.send(Command::Stop);
        let over = state.wait_for(|state| matches!(state, ServerState::Stopped | ServerState::Failed { .. }));
        let _ = tokio::time::timeout(Duration::from_secs(10), over).await;
    }
}
