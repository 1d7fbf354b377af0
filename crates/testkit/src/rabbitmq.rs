//! A real RabbitMQ, without root, systemd or a fixed port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{TempDir, TestkitError, free_port};

/// An Erlang machine and a broker start within this even where many tests share two cores.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// Ends broker and port mapper when its input does: however the test ends, also by a signal, nothing stays behind.
/// Erlang's port mapper is started here because the broker would start it as a daemon that outlives everybody.
const KEEPER: &str = r#"
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" >/dev/null 2>&1 & mapper=$!
"$1" >"$2/console.log" 2>&1 </dev/null &
while read -r line; do :; done
kill -KILL "$mapper" 2>/dev/null
rm -rf -- "$2"
kill -KILL 0
"#;

/// A RabbitMQ on a free port of 127.0.0.1 with user and password `guest` and its files in a temporary directory; killed
/// and removed on drop, or when the process of its owner ends.
#[derive(Debug)]
pub struct RabbitMq {
    // Declared before the directory: the process must be gone before its files are.
    keeper: Option<Keeper>,
    directory: TempDir,
    server: PathBuf,
    ports: Ports,
}

/// Where it listens, its node for others of its kind, and Erlang's port mapper.
#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    mapper: u16,
}

#[derive(Debug)]
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl RabbitMq {
    /// Starts a broker and waits until it speaks AMQP: some 5 s, so share one among the tests of a file.
    pub async fn start() -> Result<Self, TestkitError> {
        let failed = |what: &str, error: std::io::Error| TestkitError::Start(format!("{what}: {error}"));
        let server = find_server()?;
        let directory = TempDir::new("rabbitmq").map_err(|e| failed("temporary directory", e))?;
        let root = directory.path();
        for name in ["home", "mnesia", "log"] {
            std::fs::create_dir(root.join(name)).map_err(|e| failed(name, e))?;
        }
        let port = || free_port().map_err(|e| failed("free port", e));
        let ports = Ports { amqp: port()?, distribution: port()?, mapper: port()? };
        let config = format!("listeners.tcp.1 = 127.0.0.1:{}\nlog.console = true\nlog.file = false\n", ports.amqp);
        std::fs::write(root.join("rabbitmq.conf"), config).map_err(|e| failed("rabbitmq.conf", e))?;
        let mut broker = Self { keeper: None, directory, server, ports };
        broker.restart().await?;
        Ok(broker)
    }

    /// SIGKILL, to the broker and its port mapper; what they have written stays.
    pub fn kill(&mut self) {
        self.keeper = None;
    }

    /// Starts it again on its ports with what it had written, and waits until it speaks AMQP.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> Result<(), TestkitError> {
        self.kill();
        let mut command = command(&self.server, self.directory.path(), self.ports);
        let child = command.spawn().map_err(|error| TestkitError::Start(format!("sh: {error}")))?;
        self.keeper = Some(Keeper(child));
        self.wait_until_it_answers().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.amqp))
    }

    /// `amqp://guest:guest@127.0.0.1:<port>/%2f`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    async fn wait_until_it_answers(&self) -> Result<(), TestkitError> {
        let until = Instant::now() + START_DEADLINE;
        loop {
            let address = self.address();
            if tokio::task::spawn_blocking(move || answers(address)).await.unwrap_or(false) {
                return Ok(());
            }
            let log = self.directory.path().join("console.log");
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let is_over = log.contains("BOOT FAILED") || Instant::now() > until;
            if is_over {
                return Err(TestkitError::Start(format!("RabbitMQ did not start: {log}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn command(server: &Path, root: &Path, Ports { amqp, distribution, mapper }: Ports) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(server).arg(root);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RABBITMQ_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", root.join("home"))
        .env("RABBITMQ_BASE", root)
        .env("RABBITMQ_NODENAME", format!("nuncius-{amqp}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", amqp.to_string())
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", mapper.to_string())
        .env("RABBITMQ_CONFIG_FILE", root.join("rabbitmq"))
        .env("RABBITMQ_CONF_ENV_FILE", root.join("none"))
        .env("RABBITMQ_MNESIA_BASE", root.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", root.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", root.join("enabled_plugins"))
        .env("RABBITMQ_PID_FILE", root.join("pid"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 1:1 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// The server's own script. Debian's wrapper on PATH insists on being root or the user `rabbitmq`.
fn find_server() -> Result<PathBuf, TestkitError> {
    let missing =
        || TestkitError::NoBinary("no RabbitMQ: run scripts/setup --test, which installs rabbitmq-server".to_owned());
    let versions = std::fs::read_dir("/usr/lib/rabbitmq/lib").map_err(|_| missing())?;
    versions
        .flatten()
        .map(|version| version.path().join("sbin/rabbitmq-server"))
        .find(|script| script.is_file())
        .ok_or_else(missing)
}

/// Whether the broker answers the protocol's header with `connection.start`.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        // A method frame (1) on channel 0; then its size, class 10, method 10.
        let mut head = [0u8; 11];
        stream.read_exact(&mut head)?;
        let [kind, _, _, _, _, _, _, class @ .., _, method] = head;
        Ok((kind, class, method) == (1, [0, 10], 10))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    #[tokio::test]
    async fn a_broker_answers_and_leaves_nothing_behind() {
        let broker = RabbitMq::start().await.unwrap();
        let (address, directory) = (broker.address(), broker.directory.path().to_owned());
        assert!(answers(address));
        drop(broker);
        let gone = eventually(Duration::from_secs(5), || async { (!answers(address)).then_some(()) }).await;
        assert!(gone.is_some() && !directory.exists());
    }
}
