//! One real nats-server per test.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{TempDir, free_port};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no server to test with.
#[derive(Debug)]
pub enum TestkitError {
    /// No nats-server 2.11 or newer: run `scripts/setup` or set `NATS_SERVER_BIN`.
    NoBinary(String),
    /// The process could not be started or did not answer.
    Start(String),
}

impl std::fmt::Display for TestkitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoBinary(text) | Self::Start(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for TestkitError {}

/// A nats-server with JetStream on a free port of 127.0.0.1 with its store in a temporary directory; killed and removed
/// on drop.
#[derive(Debug)]
pub struct TestServer {
    // Declared before the directory: the process must be gone before its files are.
    process: Process,
    directory: TempDir,
    binary: PathBuf,
    config: String,
    /// Of its JetStream.
    domain: Option<String>,
    port: u16,
}

/// The child, killed and reaped on drop.
#[derive(Debug)]
struct Process(Option<Child>);

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl TestServer {
    /// Starts a server with default limits.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::start_with("").await
    }

    /// Starts a server with extra lines in its configuration file (`max_payload: 1024`).
    pub async fn start_with(extra: &str) -> Result<Self, TestkitError> {
        Self::start_in_domain(None, extra).await
    }

    /// The same, its JetStream in a domain of its own.
    pub async fn start_in_domain(domain: Option<&str>, extra: &str) -> Result<Self, TestkitError> {
        let directory = TempDir::new("nats").map_err(|e| TestkitError::Start(format!("temporary directory: {e}")))?;
        let mut server = Self {
            process: Process(None),
            directory,
            binary: find_binary()?,
            config: extra.to_owned(),
            domain: domain.map(str::to_owned),
            port: free_port().map_err(|e| TestkitError::Start(format!("no port: {e}")))?,
        };
        server.spawn().await?;
        Ok(server)
    }

    /// `nats://127.0.0.1:<port>`; the same over restarts.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Has the server read its configuration again, with these extra lines; returns at once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn reload_with(&mut self, extra: &str) -> Result<(), TestkitError> {
        self.config = extra.to_owned();
        self.write_config().map_err(|e| TestkitError::Start(format!("configuration: {e}")))?;
        self.signal(Signal::HUP);
        Ok(())
    }

    /// Where monitoring answers, for a server that was started with `http: "127.0.0.1:-1"`.
    pub fn monitoring(&self) -> Option<String> {
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(self.ports_file()?).ok()?).ok()?;
        Some(ports.get("monitoring")?.get(0)?.as_str()?.trim_start_matches("http://").to_owned())
    }

    fn ports_file(&self) -> Option<PathBuf> {
        let name = self.binary.file_name()?.to_string_lossy().into_owned();
        Some(self.directory.path().join(format!("{name}_{}.ports", self.pid()?)))
    }

    fn write_config(&self) -> std::io::Result<PathBuf> {
        let root = self.directory.path();
        let port = self.port;
        let store = root.join("store");
        let domain = self.domain.as_ref().map(|domain| format!(", domain: {domain}")).unwrap_or_default();
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}, max_file_store: 100TB{domain} }}\nports_file_dir: {root:?}\n{}\n",
            self.config
        );
        let path = root.join("nats.conf");
        std::fs::write(&path, config)?;
        Ok(path)
    }

    /// The port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.0.as_ref().map(Child::id)
    }

    /// Where its store, configuration and log are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// SIGKILL, as a crash would; waits until it is gone.
    pub fn kill(&mut self) {
        self.process = Process(None);
    }

    /// Starts it again (killing it first if need be) on the same port and store; waits until JetStream answers.
    pub async fn restart(&mut self) -> Result<(), TestkitError> {
        self.kill();
        self.spawn().await
    }

    /// SIGSTOP: connections stay open, nothing answers. Returns once all its threads stand still.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let Some(pid) = self.pid() else { return };
        let until = Instant::now() + Duration::from_secs(5);
        while !stands_still(pid) && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, signal);
        }
    }

    async fn spawn(&mut self) -> Result<(), TestkitError> {
        let started = |e: std::io::Error| TestkitError::Start(format!("{}: {e}", self.binary.display()));
        let root = self.directory.path();
        let config_path = self.write_config().map_err(started)?;
        let log = std::fs::File::options().create(true).append(true).open(root.join("nats.log")).map_err(started)?;
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(&config_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(started)?;
        self.process = Process(Some(child));
        let until = Instant::now() + START_DEADLINE;
        loop {
            let port = self.port;
            let begins_with_tls = self.config.contains("handshake_first");
            let is_there = move || if begins_with_tls { listens(port) } else { answers(port) };
            if tokio::task::spawn_blocking(is_there).await.unwrap_or(false) {
                return Ok(());
            }
            let exited = self.process.0.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if exited.is_some() || Instant::now() > until {
                let log = std::fs::read_to_string(self.directory.path().join("nats.log")).unwrap_or_default();
                return Err(TestkitError::Start(format!("nats-server did not start ({exited:?}): {log}")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether every thread of a process is stopped.
fn stands_still(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        // "1234 (name) T ...": the name may contain anything, so the state is looked for after the last bracket.
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).is_ok()
}

/// Whether INFO comes and JetStream answers, or the server wants to know first who asks.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let Some(info) = lines.next().transpose()?.filter(|line| line.starts_with("INFO ")) else { return Ok(false) };
        if info.contains(r#""auth_required":true"#) || info.contains(r#""tls_required":true"#) {
            return Ok(true);
        }
        (&stream).write_all(
            b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB probe 1\r\nPUB $JS.API.INFO probe 0\r\n\r\nPING\r\n",
        )?;
        for line in lines {
            let line = line?;
            if line.starts_with("MSG probe") {
                return Ok(true);
            }
            if line.starts_with("HMSG") || line.starts_with("-ERR") {
                return Ok(false);
            }
        }
        Ok(false)
    };
    ask().unwrap_or(false)
}

/// `NATS_SERVER_BIN`, else `nats-server` on PATH if 2.11 or newer, else `.tools/nats-server` upward from this crate.
pub fn find_binary() -> Result<PathBuf, TestkitError> {
    if let Some(path) = std::env::var_os("NATS_SERVER_BIN") {
        return Ok(path.into());
    }
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|dir| dir.join("nats-server")).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .find(|file| file.is_file() && new_enough(file));
    let in_tools = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|dir| dir.join(".tools/nats-server"))
            .find(|file| file.is_file())
    };
    on_path.or_else(in_tools).ok_or_else(|| {
        TestkitError::NoBinary(
            "no nats-server 2.11 or newer: run scripts/setup, or set NATS_SERVER_BIN to its path".to_owned(),
        )
    })
}

fn new_enough(binary: &Path) -> bool {
    let Ok(output) = Command::new(binary).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, version)) = text.trim().rsplit_once('v') else { return false };
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (2, 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_server_comes_back_on_its_port() {
        let mut server = TestServer::start().await.unwrap();
        let (port, directory) = (server.port(), server.directory().to_owned());
        assert!(answers(port));
        server.kill();
        assert!(!answers(port));
        server.restart().await.unwrap();
        assert_eq!(server.port(), port);
        assert!(answers(port));
        server.pause();
        assert!(!answers(port));
        server.resume();
        assert!(answers(port));
        drop(server);
        assert!(!answers(port));
        assert!(!directory.exists());
    }
}
