//! Prometheus: found, started as a child that asks the gateway, stopped. It is always a real one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nuncius_bus::server::end_child;
use rustix::process::Signal;
use tokio::sync::oneshot;
use tracing::{error, info};

/// How long results are kept; what is older, or more, goes.
const RETENTION: [&str; 2] = ["--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=4GB"];
/// How long it may take to be ready: after a crash it reads its log again.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How long an answer of its pages may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// The alerts, as they are in `deploy/prometheus/rules`.
const RULES: [(&str, &str); 3] = [
    ("queues.yml", include_str!("../../../../deploy/prometheus/rules/queues.yml")),
    ("experiments.yml", include_str!("../../../../deploy/prometheus/rules/experiments.yml")),
    ("system.yml", include_str!("../../../../deploy/prometheus/rules/system.yml")),
];

/// `NUNCIUS_PROMETHEUS`, else `prometheus` on PATH.
///
/// # Errors
/// There is none; the text says how to get one.
pub(super) fn find_prometheus() -> Result<PathBuf> {
    if let Some(told) = crate::environment::given("NUNCIUS_PROMETHEUS") {
        return Ok(told.into());
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join("prometheus")).find(|path| path.is_file());
    found.ok_or_else(|| {
        anyhow!(
            "no prometheus found: run scripts/setup --observe (Debian: apt-get install prometheus), put prometheus 2.42 \
             or newer on PATH, or set NUNCIUS_PROMETHEUS to it"
        )
    })
}

/// How it is run.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) binary: PathBuf,
    /// Of its configuration, rules, log and data.
    pub(super) directory: PathBuf,
    pub(super) listen: SocketAddr,
    /// Whom it asks.
    pub(super) gateway: SocketAddr,
    /// How often it asks.
    pub(super) scrape_interval: Duration,
}

/// A running child. It ends with the thread that stays with it, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Prometheus {
    address: SocketAddr,
    /// Dropped, or told, to stop.
    stop: SyncSender<()>,
    ended: oneshot::Receiver<()>,
}

impl Prometheus {
    /// Writes its configuration, starts it, and waits until it answers.
    pub(super) async fn start(settings: Settings) -> Result<Self> {
        let Settings { binary, directory, listen, .. } = &settings;
        let address =
            free(*listen).with_context(|| format!("Prometheus cannot listen on {listen}; see --prometheus"))?;
        configure(&settings).with_context(|| directory.display().to_string())?;
        let (binary, directory) = (binary.clone(), directory.clone());
        let (stop, stopped) = sync_channel(1);
        let (ready, waiting) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        // PDEATHSIG fires when the *thread* that spawned the child ends, so that thread stays with it.
        std::thread::Builder::new().name("prometheus".to_owned()).spawn(move || {
            attend(&binary, &directory, address, ready, &stopped);
            let _ = end.send(());
        })?;
        waiting.await.map_err(|_| anyhow!("the thread of Prometheus ended"))??;
        Ok(Self { address, stop, ended })
    }

    /// Where its pages are.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: SIGTERM, so that it writes what it has; SIGKILL after a while.
    pub(super) async fn stop(self) {
        let _ = self.stop.try_send(());
        let _ = self.ended.await;
    }
}

/// The address itself, with a port that is free where it has none; it is known that it can be had at this moment.
fn free(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(listen)?.local_addr()
}

fn configure(settings: &Settings) -> std::io::Result<()> {
    let rules = settings.directory.join("rules");
    std::fs::create_dir_all(&rules)?;
    for (name, text) in RULES {
        std::fs::write(rules.join(name), text)?;
    }
    let text = configuration(settings.gateway, settings.scrape_interval);
    std::fs::write(settings.directory.join("prometheus.yml"), text)
}

fn configuration(gateway: SocketAddr, scrape_interval: Duration) -> String {
    let interval_ms = scrape_interval.as_millis();
    // One that listens on all addresses is asked on this machine's own.
    let target = match (gateway.ip().is_unspecified(), gateway) {
        (false, address) => address.to_string(),
        (true, SocketAddr::V4(address)) => format!("127.0.0.1:{}", address.port()),
        (true, SocketAddr::V6(address)) => format!("[::1]:{}", address.port()),
    };
    format!(
        "# Written by nuncius at every start; changes are lost.\n\
         global: {{scrape_interval: {interval_ms}ms, evaluation_interval: 15s}}\n\
         rule_files: [rules/*.yml]\n\
         scrape_configs:\n\
         \x20 - job_name: nuncius-gateway\n\
         \x20   static_configs: [{{targets: [\"{target}\"]}}]\n"
    )
}

/// Starts the child, tells when it answers, and stays until it ends or is to stop.
fn attend(
    binary: &Path,
    directory: &Path,
    address: SocketAddr,
    ready: oneshot::Sender<Result<()>>,
    stopped: &Receiver<()>,
) {
    let mut child = match spawn(binary, directory, address) {
        Ok(child) => child,
        Err(problem) => return drop(ready.send(Err(problem))),
    };
    if let Err(problem) = wait_until_ready(&mut child, directory, address) {
        end_child(&mut child, STOP_PATIENCE);
        return drop(ready.send(Err(problem)));
    }
    info!(%address, pid = child.id(), "prometheus answers");
    if ready.send(Ok(())).is_err() {
        return end_child(&mut child, STOP_PATIENCE);
    }
    loop {
        match stopped.recv_timeout(POLL) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return end_child(&mut child, STOP_PATIENCE),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            // Load does not depend on who looks at it.
            return error!("prometheus ended ({status}): {}; all else goes on", last_words(directory));
        }
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.join("prometheus.log")
}

fn spawn(binary: &Path, directory: &Path, address: SocketAddr) -> Result<Child> {
    let path = log(directory);
    let output = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut command = Command::new(binary);
    command
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .args(RETENTION)
        .arg(format!("--web.listen-address={address}"))
        .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    let parent = rustix::process::getpid();
    #[expect(unsafe_code, reason = "the death signal must be set between fork and exec")]
    // SAFETY: only async-signal-safe system calls, no allocation.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have gone before that.
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted));
            }
            Ok(())
        });
    }
    command.spawn().with_context(|| format!("{} cannot be started", binary.display()))
}

fn wait_until_ready(child: &mut Child, directory: &Path, address: SocketAddr) -> Result<()> {
    let until = Instant::now() + READY_PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("prometheus ended ({status}): {}; its log is {}", last_words(directory), log(directory).display());
        }
        if is_ready(address).unwrap_or(false) {
            return Ok(());
        }
        if Instant::now() >= until {
            bail!("prometheus did not answer within {READY_PATIENCE:?}; its log is {}", log(directory).display());
        }
        std::thread::sleep(POLL);
    }
}

/// Whether it takes queries: 503 until then.
fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    write!(stream, "GET /-/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

/// The last line of its log.
fn last_words(directory: &Path) -> String {
    let text = std::fs::read_to_string(log(directory)).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_on_all_addresses_is_asked_on_this_machines_own() {
        for (gateway, target) in
            [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:1", "[::1]:1"), ("10.0.0.7:9464", "10.0.0.7:9464")]
        {
            let written = configuration(gateway.parse().unwrap(), Duration::from_secs(5));
            assert!(written.contains(&format!("targets: [\"{target}\"]")), "{written}");
        }
    }

    #[test]
    fn all_alerts_that_are_deployed_go_along() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/rules");
        let mut deployed: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        deployed.sort();
        let mut along = RULES.map(|(name, _)| name);
        along.sort_unstable();
        assert_eq!(deployed, along);
    }
}
