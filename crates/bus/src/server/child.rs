//! The child: the handle that its owner keeps.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::options::{ServerOptions, ServerState};
use super::supervise::{Command, Supervisor};
use super::{ServerError, find_binary};

/// Commands that may wait for the thread that stays with the child; it looks several times a second.
const COMMANDS_MAX: usize = 8;

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
