//! The thread that spawns the child, waits for it, and starts it again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::probe::jetstream_answers;
use super::{ServerError, ServerOptions, ServerState};
use crate::backoff::jittered;

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// How often in a row it is started again.
const RESTARTS: u32 = 5;
/// Having run this long, it counts as healthy and the count starts anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Largest log; one older is kept.
const LOG_BYTES: u64 = 16 << 20;
const COMPLAINTS: &str = "nats-server.stderr";

/// What the owner wants.
#[derive(Debug)]
pub(crate) enum Command {
    Kill,
    Stop,
}

pub(crate) struct Supervisor {
    binary: PathBuf,
    options: ServerOptions,
    state: watch::Sender<ServerState>,
    /// Held (and shared with the child) as long as the store is in use.
    lock: File,
    child: Child,
    http_port: Option<u16>,
}

impl Supervisor {
    /// Locks the store and starts the child for the first time.
    pub(crate) fn start(
        binary: PathBuf,
        mut options: ServerOptions,
        state: watch::Sender<ServerState>,
    ) -> Result<Self, ServerError> {
        let store = &options.store_dir;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| ServerError::File { path, reason: e.to_string() }
        };
        std::fs::create_dir_all(store).map_err(at(store))?;
        options.store_dir = store.canonicalize().map_err(at(store))?;
        let lock = lock(&options.store_dir)?;
        let mut child = spawn(&binary, &options, &lock)?;
        let ports = match wait_until_ready(&mut child, &binary, &options) {
            Ok(ports) => ports,
            Err(error) => {
                end_child(&mut child, STOP_DEADLINE);
                return Err(error);
            }
        };
        options.port = ports.nats;
        options.http_port = options.http_port.and(ports.http);
        state.send_replace(ServerState::Running { pid: child.id() });
        let http_port = options.http_port;
        Ok(Self { binary, options, state, lock, child, http_port })
    }

    /// Client and monitoring URL.
    pub(crate) fn addresses(&self) -> (String, Option<String>) {
        let host = reachable(&self.options);
        let monitoring = self.http_port.map(|port| format!("http://{host}:{port}"));
        (format!("nats://{host}:{}", self.options.port), monitoring)
    }

    /// Stays with the child until the owner stops it or goes, or it ended too often.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut attempt = 0;
        loop {
            let started = Instant::now();
            let Some(status) = self.watch(commands) else { return };
            if started.elapsed() >= HEALTHY_AFTER {
                attempt = 0;
            }
            let mut reason = describe(status, &self.options.store_dir);
            // A restart that fails counts as one too.
            loop {
                attempt += 1;
                if attempt > RESTARTS {
                    tracing::error!(reason, "nats-server ended too often; giving up");
                    self.state.send_replace(ServerState::Failed { reason });
                    return;
                }
                tracing::warn!(reason, attempt, "nats-server ended; starting it again");
                self.state.send_replace(ServerState::Restarting { attempt, reason });
                let delay = jittered(Duration::from_millis(100), Duration::from_secs(5), attempt - 1);
                match commands.recv_timeout(delay) {
                    Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                        self.state.send_replace(ServerState::Stopped);
                        return;
                    }
                    Ok(Command::Kill) | Err(RecvTimeoutError::Timeout) => {}
                }
                match self.respawn() {
                    Ok(()) => break,
                    Err(error) => reason = error.to_string(),
                }
            }
        }
    }

    fn respawn(&mut self) -> Result<(), ServerError> {
        self.child = spawn(&self.binary, &self.options, &self.lock)?;
        if let Err(error) = wait_until_ready(&mut self.child, &self.binary, &self.options) {
            end_child(&mut self.child, STOP_DEADLINE);
            return Err(error);
        }
        self.state.send_replace(ServerState::Running { pid: self.child.id() });
        Ok(())
    }

    /// Waits for the child to end by itself: how; or none once it was stopped.
    fn watch(&mut self, commands: &Receiver<Command>) -> Option<Option<ExitStatus>> {
        loop {
            match commands.recv_timeout(POLL) {
                Ok(Command::Kill) => drop(self.child.kill()),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    end_child(&mut self.child, STOP_DEADLINE);
                    self.state.send_replace(ServerState::Stopped);
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(status) => return Some(status),
                Err(_) => return Some(None),
            }
        }
    }
}

/// Takes the store for this process (and, by inheritance, the child): two servers share one without complaint.
fn lock(store: &Path) -> Result<File, ServerError> {
    let path = store.join("nats-server.lock");
    let failed = |reason: String| ServerError::File { path: path.clone(), reason };
    let opened = File::options().create(true).write(true).truncate(false).open(&path);
    let file = opened.map_err(|e| failed(e.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ServerError::StoreInUse(store.to_owned())),
        Err(std::fs::TryLockError::Error(e)) => Err(failed(e.to_string())),
    }
}

fn spawn(binary: &Path, options: &ServerOptions, lock: &File) -> Result<Child, ServerError> {
    use std::os::fd::AsRawFd;
    let store = &options.store_dir;
    let log_path = store.join("nats-server.log");
    let failed = |reason: String| ServerError::Start { reason, log: log_path.clone() };
    let config_path = store.join("nats-server.conf");
    std::fs::write(&config_path, config(options)).map_err(|e| failed(format!("{}: {e}", config_path.display())))?;
    // What is said before the log is open: errors of the configuration.
    let complaints = File::create(store.join(COMPLAINTS)).map_err(|e| failed(e.to_string()))?;
    let mut command = std::process::Command::new(binary);
    command.arg("--config").arg(&config_path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints).process_group(0);
    let parent = rustix::process::getpid();
    let lock = lock.as_raw_fd();
    #[expect(unsafe_code, reason = "the death signal and the inherited lock must be set between fork and exec")]
    // SAFETY: only async-signal-safe system calls, no allocation; the descriptor is open in the child, a copy of ours.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have gone before that.
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted));
            }
            let lock = std::os::fd::BorrowedFd::borrow_raw(lock);
            rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty())?;
            Ok(())
        });
    }
    command.spawn().map_err(|e| failed(format!("{}: {e}", binary.display())))
}

fn config(options: &ServerOptions) -> String {
    use std::fmt::Write;
    let store = options.store_dir.to_string_lossy();
    let port = |port: u16| if port == 0 { "-1".to_owned() } else { port.to_string() };
    let host = match options.host {
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        std::net::IpAddr::V4(address) => address.to_string(),
    };
    let mut text = String::from("# Written by nuncius at every start; changes are lost.\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "listen: \"{host}:{}\"", port(options.port));
    if let Some(http_port) = options.http_port {
        let _ = writeln!(text, "http: \"{host}:{}\"", port(http_port));
    }
    let _ = writeln!(text, "max_payload: {}", options.max_payload_bytes);
    let _ = writeln!(
        text,
        "log_file: {:?}\nlogfile_size_limit: {LOG_BYTES}\nlogfile_max_num: 2",
        format!("{store}/nats-server.log")
    );
    let _ = writeln!(text, "ports_file_dir: {store:?}");
    let _ = writeln!(text, "jetstream {{\n  store_dir: {:?}", format!("{store}/data"));
    if let Some(bytes) = options.jetstream_file_bytes {
        let _ = writeln!(text, "  max_file_store: {bytes}");
    }
    if let Some(bytes) = options.jetstream_memory_bytes {
        let _ = writeln!(text, "  max_memory_store: {bytes}");
    }
    let _ = writeln!(text, "}}\n{}", options.config_extra);
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    nats: u16,
    http: Option<u16>,
}

fn wait_until_ready(child: &mut Child, binary: &Path, options: &ServerOptions) -> Result<Ports, ServerError> {
    let store = &options.store_dir;
    let name = binary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ports_file = store.join(format!("{name}_{}.ports", child.id()));
    let host = reachable(options);
    let until = Instant::now() + START_DEADLINE;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            let reason = describe(Some(status), store);
            return Err(ServerError::Start { reason, log: store.join("nats-server.log") });
        }
        let ports = std::fs::read(&ports_file).ok().and_then(|text| ports(&text));
        if let Some(ports) = ports
            && jetstream_answers(&format!("{host}:{}", ports.nats))
        {
            // It would stay behind after a crash.
            let _ = std::fs::remove_file(&ports_file);
            return Ok(ports);
        }
        if Instant::now() >= until {
            let reason = format!("JetStream did not answer within {START_DEADLINE:?}");
            return Err(ServerError::Start { reason, log: store.join("nats-server.log") });
        }
        std::thread::sleep(POLL / 4);
    }
}

/// Reads `{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}`.
fn ports(text: &[u8]) -> Option<Ports> {
    let ports: serde_json::Value = serde_json::from_slice(text).ok()?;
    let port = |kind: &str| ports.get(kind)?.get(0)?.as_str()?.rsplit(':').next()?.parse::<u16>().ok();
    Some(Ports { nats: port("nats")?, http: port("monitoring") })
}

/// Where a client on this machine reaches it.
fn reachable(options: &ServerOptions) -> String {
    match options.host {
        host if host.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        std::net::IpAddr::V4(address) => address.to_string(),
    }
}

/// Ends a child process: SIGTERM, and SIGKILL after `patience`; reaps it.
pub fn end_child(child: &mut Child, patience: Duration) {
    if let Ok(None) = child.try_wait()
        && let Some(pid) = Pid::from_raw(child.id().cast_signed())
    {
        // The child is not reaped yet, so the number is still its own.
        let _ = kill_process(pid, Signal::TERM);
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL / 4);
        }
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// How it ended, with what it said last.
fn describe(status: Option<ExitStatus>, store: &Path) -> String {
    let ended = status.map_or_else(|| "it is gone".to_owned(), |status| status.to_string());
    let complaints = end_of(&store.join(COMPLAINTS));
    let log = end_of(&store.join("nats-server.log"));
    let fatal = log.lines().rev().take(20).find(|line| line.contains("[FTL]"));
    let said = complaints.lines().rev().find(|line| !line.trim().is_empty()).or(fatal);
    said.map_or(ended.clone(), |line| format!("{ended}: {}", line.trim()))
}

/// The last 4 KiB of a file.
fn end_of(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ports_file_is_read_only_when_whole() {
        let whole = br#"{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}"#;
        assert_eq!(ports(whole), Some(Ports { nats: 4222, http: Some(8222) }));
        assert_eq!(ports(&whole[..20]), None);
        assert_eq!(ports(br#"{"nats":["nats://[::1]:5"]}"#), Some(Ports { nats: 5, http: None }));
    }

    #[test]
    fn the_configuration_names_every_limit_that_was_asked() {
        let mut options = ServerOptions::new("/s");
        options.http_port = Some(0);
        options.jetstream_file_bytes = Some(7);
        options.config_extra = "debug: true".to_owned();
        let text = config(&options);
        for line in ["listen: \"127.0.0.1:-1\"", "http: \"127.0.0.1:-1\"", "max_payload: 1048576", "max_file_store: 7"]
        {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.ends_with("debug: true\n"));
    }
}
