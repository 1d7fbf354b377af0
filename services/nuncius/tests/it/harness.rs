//! Processes of one test: a nats-server, a daemon, client nodes, a stub; all ended when the test is.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::RunRecord;
use nuncius_testkit::{TempDir, TestServer};

/// How long anything may take before a test says that it did not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn nuncius() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuncius"));
    // Nothing of the developer's environment gets into a test.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_read = ["NUNCIUS_", "OTEL_", "galileo_"].iter().any(|prefix| name.starts_with(prefix));
        if is_read || name == "NATS_URL" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A process that is killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    /// Starts it with its logs in a file of the test's directory.
    pub(crate) fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        Self { child: command.stderr(log).spawn().unwrap() }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Any other signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process does not die of anything but this.
        self.kill();
    }
}

/// One system.
pub(crate) struct System {
    pub(crate) server: TestServer,
    pub(crate) directory: TempDir,
    pub(crate) daemon: Option<Process>,
    pub(crate) clients: Vec<Process>,
    pub(crate) stub: Option<(Process, String)>,
    pub(crate) bus: Bus,
    /// Environment of every process of the system.
    environment: Vec<(String, String)>,
}

impl System {
    /// A nats-server, a daemon and client nodes `n1`…; waits until all have joined.
    pub(crate) async fn start(clients: usize) -> Self {
        Self::start_with_environment(clients, Vec::new()).await
    }

    /// The same, with variables in the environment of every process.
    pub(crate) async fn start_with_environment(clients: usize, environment: Vec<(String, String)>) -> Self {
        Self::start_with(clients, environment, "", &[]).await
    }

    /// The same, with further lines of the server's configuration and arguments of the daemon.
    pub(crate) async fn start_with(
        clients: usize,
        environment: Vec<(String, String)>,
        server_configuration: &str,
        daemon_arguments: &[&str],
    ) -> Self {
        let server = TestServer::start_with(server_configuration).await.unwrap();
        let directory = TempDir::new("it").unwrap();
        let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        let mut system = Self { server, directory, daemon: None, clients: Vec::new(), stub: None, bus, environment };
        system.start_daemon_with(daemon_arguments);
        for number in 1..=clients {
            system.start_client(&format!("n{number}"), &[]);
        }
        system.wait_for_nodes(clients + 1).await;
        system
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A command against this system.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        // Before the rest: whatever follows a workload is its own.
        command.arg("--nats").arg(self.server.url()).arg("--data").arg(self.data()).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The same, run to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn start_daemon(&mut self) {
        self.start_daemon_with(&[]);
    }

    /// A daemon with other settings; one that runs already is killed first.
    pub(crate) fn start_daemon_with(&mut self, arguments: &[&str]) {
        self.daemon = None;
        let log = self.directory.path().join(format!("daemon-{}.log", fastrand::u32(..)));
        let mut command = self.command(&["experimentd"]);
        command.args(arguments).stdout(Stdio::null());
        self.daemon = Some(Process::start(&mut command, &log));
    }

    /// One more daemon, with the same store.
    pub(crate) fn start_second_daemon(system: &Self, name: &str) -> Process {
        let log = system.directory.path().join(format!("{name}.log"));
        let mut command = system.command(&["experimentd", "--name", name]);
        Process::start(command.stdout(Stdio::null()), &log)
    }

    /// Who looks after a run at present, if somebody does.
    pub(crate) async fn holder_now(&self, id: &str) -> Option<String> {
        let namespace = self.bus.namespace();
        nuncius_bus::lease::holder(&self.bus, &namespace.bucket_lease(), &format!("run.{id}")).await.unwrap()
    }

    /// The same, waited for.
    pub(crate) async fn holder(&self, id: &str) -> String {
        until("somebody looks after the run", async || self.holder_now(id).await).await
    }

    pub(crate) fn start_client(&mut self, name: &str, arguments: &[&str]) {
        let log = self.directory.path().join(format!("{name}.log"));
        let mut command = self.command(&["client", "--name", name]);
        command.args(arguments).stdout(Stdio::null());
        self.clients.push(Process::start(&mut command, &log));
    }

    /// Starts a stub and returns its address; its service name is not in the routing table.
    pub(crate) fn start_stub(&mut self, arguments: &[&str]) -> String {
        let mut command = nuncius();
        command.args(["emulator", "stub", "--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
        let mut process = Process::start(&mut command, &self.directory.path().join("stub.log"));
        let mut line = String::new();
        BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("stub listens on http://").trim_end_matches('/').to_owned();
        self.stub = Some((process, address.clone()));
        address
    }

    /// Everybody in the registry.
    pub(crate) async fn nodes(&self) -> Vec<NodeInfo> {
        let bucket = self.bus.kv(&self.bus.namespace().bucket_node()).await.unwrap();
        let entries = bucket.entries(">").await.unwrap();
        entries.iter().filter_map(|entry| codec::decode(&entry.value).ok()).collect()
    }

    pub(crate) async fn wait_for_nodes(&self, count: usize) {
        until("all nodes have joined", async || (self.nodes().await.len() >= count).then_some(())).await;
    }

    /// The record of a run.
    pub(crate) async fn record(&self, id: &str) -> Option<RunRecord> {
        let bucket = self.bus.kv(&self.bus.namespace().bucket_run()).await.unwrap();
        let entry = bucket.get(id).await.ok()??;
        codec::decode(&entry.value).ok()
    }

    /// Waits until the run has ended.
    pub(crate) async fn wait_for_end(&self, id: &str) -> RunRecord {
        until("the run has ended", async || self.record(id).await.filter(|record| record.status.is_terminal())).await
    }

    /// Waits until the run has this status or a later one.
    pub(crate) async fn wait_for_status(&self, id: &str, status: nuncius_schemas::run::RunStatus) {
        let mut told = None;
        until(&format!("{id} is {}", status.name()), async || {
            let record = self.record(id).await;
            let found = record.as_ref().map(|record| (record.status, record.attempt));
            if found != told {
                eprintln!("{id}: status and attempt {found:?}");
                told = found;
            }
            record.filter(|record| record.status >= status)
        })
        .await;
    }

    /// The published report of a run.
    pub(crate) async fn report(&self, id: &str) -> Report {
        let namespace = self.bus.namespace();
        let objects = self.bus.objects(&namespace.bucket_artifact()).await.unwrap();
        let bytes = objects.get(&namespace.artifact_report(id)).await.unwrap().expect("a report is published");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// All events of a run so far.
    pub(crate) async fn events(&self, id: &str) -> Vec<ExperimentEvent> {
        let namespace = self.bus.namespace().clone();
        let subject = namespace.experiment_event(id);
        let Some(last) = self.bus.last_sequence_of(&namespace.stream_event(), &subject).await.unwrap() else {
            return Vec::new();
        };
        let mut tail = self.bus.tail(&namespace.stream_event(), &subject, nuncius_bus::tail::Start::All).await.unwrap();
        let mut events = Vec::new();
        loop {
            let stored = tail.next().await.unwrap();
            events.push(codec::decode(&stored.payload).unwrap());
            if stored.sequence >= last {
                // A test may look very often.
                tail.close().await;
                return events;
            }
        }
    }

    /// Publishes a payload as a plain NATS client does, and awaits the stream's acknowledgement.
    pub(crate) async fn publish(&self, payload: &[u8]) {
        let subject = self.bus.namespace().experiment_submit();
        self.bus.publish_acked(&subject, &Headers::new(), payload.to_vec().into(), None, None).await.unwrap();
    }
}

/// Waits for a state; says which one did not come.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "it did not happen within {PATIENCE:?} that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An experiment with one open group; `more` is put into its group as further lines.
pub(crate) fn open_spec(id: &str, address: &str, rate: &str, duration: &str, more: &str) -> String {
    format!(
        "id: {id}\n# The machines that run tests are busy: what is judged here is not their health.\n\
         lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nservices: {{target: ['{address}']}}\n{more}\n\
         groups:\n- target: http://target/\n  rate: {rate}\n  duration: {duration}\n"
    )
}

/// Starts a stub that belongs to no system; its address.
pub(crate) fn spawn_stub(directory: &std::path::Path, arguments: &[&str]) -> (Process, String) {
    let mut command = nuncius();
    command.args(["emulator", "stub", "--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
    let mut process = Process::start(&mut command, &directory.join("stub.log"));
    let mut line = String::new();
    BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("stub listens on http://").trim_end_matches('/').to_owned();
    (process, address)
}

/// What a stub has counted itself.
pub(crate) fn stub_stats(address: &str) -> nuncius_emulator::stub::StubStats {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /.stub/stats HTTP/1.1\r\nhost: stub\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// What one node's deltas add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NodeSums {
    pub(crate) planned: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) censored: u64,
}

impl NodeSums {
    pub(crate) fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.censored
    }
}

impl System {
    /// Every delta that the stream has of a run, each once.
    pub(crate) async fn stored_deltas(&self, id: &str) -> Vec<nuncius_schemas::metric::MetricDelta> {
        let namespace = self.bus.namespace().clone();
        let (stream, filter) = (namespace.stream_metric(), namespace.metric_all(id));
        let mut deltas = Vec::new();
        let Some(last) = self.bus.last_sequence_of(&stream, &filter).await.unwrap() else { return deltas };
        let mut tail = self.bus.tail(&stream, &filter, nuncius_bus::tail::Start::All).await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let stored = tail.next().await.unwrap();
            let delta: nuncius_schemas::metric::MetricDelta = codec::decode(&stored.payload).unwrap();
            if seen.insert((delta.node.clone(), delta.epoch, delta.attempt, delta.sequence, delta.part)) {
                deltas.push(delta);
            }
            if stored.sequence >= last {
                return deltas;
            }
        }
    }

    /// What the stream has of each node's deltas, added up by the test itself; groups of one step only.
    pub(crate) async fn stored_sums(&self, id: &str) -> std::collections::BTreeMap<String, NodeSums> {
        let mut sums = std::collections::BTreeMap::<String, NodeSums>::new();
        for delta in self.stored_deltas(id).await {
            let sum = sums.entry(delta.node).or_default();
            for step in &delta.steps {
                sum.planned += step.planned;
                sum.succeeded += step.succeeded;
                sum.failed += step.failed;
                sum.censored += step.censored;
            }
        }
        sums
    }

    /// Waits until the stub has got this many requests of load.
    pub(crate) async fn wait_for_requests(&self, count: u64) {
        let address = self.stub.as_ref().unwrap().1.clone();
        until("that many requests came", async || (stub_stats(&address).requests >= count).then_some(())).await;
    }
}

/// Tests that measure time have the machine to themselves, as far as tests of this kind go: they take this lock
/// alone, the others share it.
static MACHINE: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// Waits until no test that measures time is under way.
pub(crate) async fn beside_others() -> tokio::sync::RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Waits until none of the tests that share the machine is under way.
pub(crate) async fn undisturbed() -> tokio::sync::RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
