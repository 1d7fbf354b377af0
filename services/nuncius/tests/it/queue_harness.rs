//! Processes of one test of queues: a nats-server, frontends, workers, test clients; all ended when the test is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_jobs::QueueInfo;
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::subjects::HEADER_MESSAGE_ID;
use nuncius_testkit::{TempDir, TestServer};

use crate::harness::{PATIENCE, Process, nuncius, until};

/// A process that serves a page, and what it prints after it has said where.
pub(crate) struct Served {
    pub(crate) process: Process,
    /// Host and port of the page.
    pub(crate) address: String,
    stdout: BufReader<ChildStdout>,
}

impl Served {
    /// Starts it and reads the line that says where its page is.
    fn start(command: &mut Command, log: &Path, words: &str) -> Self {
        let mut process = Process::start(command.stdout(Stdio::piped()), log);
        let mut stdout = BufReader::new(process.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix(words).and_then(|rest| rest.split_once('/'));
        let (address, _) =
            place.unwrap_or_else(|| panic!("{line:?}; {}", std::fs::read_to_string(log).unwrap_or_default()));
        Self { process, address: address.to_owned(), stdout }
    }

    /// The body of a page; its status is 200.
    pub(crate) fn page(&self, path: &str) -> String {
        let (status, body) = http_get(&self.address, path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A sample of `/metrics`, by its name with its labels; `None` where there is none.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        self.page("/metrics").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a sample has this value.
    pub(crate) async fn wait_for_metric(&self, name: &str, value: f64) {
        until(&format!("{name} is {value}"), async || self.metric(name).filter(|found| *found == value)).await;
    }

    /// What else it prints, until it ends.
    pub(crate) fn rest(mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }
}

/// One system.
pub(crate) struct Queues {
    pub(crate) server: TestServer,
    pub(crate) directory: TempDir,
    pub(crate) bus: Bus,
    pub(crate) queues: nuncius_jobs::Queues,
}

impl Queues {
    /// A nats-server, and nobody yet who uses it.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with more lines in the server's configuration.
    pub(crate) async fn start_with(configuration: &str) -> Self {
        let server = TestServer::start_with(configuration).await.unwrap();
        let directory = TempDir::new("queues").unwrap();
        let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        let queues = nuncius_jobs::Queues::open(&bus).await.unwrap();
        Self { server, directory, bus, queues }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file for the log of one of several processes.
    fn new_log(&self, kind: &str) -> PathBuf {
        self.path(&format!("{kind}-{:08x}.log", fastrand::u32(..)))
    }

    /// A command against this system; what follows `--` may follow here too.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        command.arg("--nats").arg(self.server.url()).arg("--data").arg(self.path("data")).args(arguments);
        command
    }

    /// The same, run to its end; one that does not end fails the test.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, end) = std::sync::mpsc::sync_channel(1_024);
        std::thread::spawn(move || ended.send(child.wait_with_output()));
        if let Ok(output) = end.recv_timeout(PATIENCE) {
            return output.unwrap();
        }
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("{:?} did not end within {PATIENCE:?}", arguments.iter().take(8).collect::<Vec<_>>());
    }

    /// The same, which succeeds; what it prints.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, which ends with this code and names all of this.
    pub(crate) fn refused(&self, arguments: &[&str], code: i32, wanted: &[&str]) {
        let output = self.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        let shown: Vec<_> = arguments.iter().take(8).collect();
        assert_eq!(output.status.code(), Some(code), "{shown:?}: {error}");
        for wanted in wanted {
            assert!(error.contains(wanted), "{shown:?}: `{wanted}` is not named: {error}");
        }
    }

    /// A frontend on a port of its own.
    pub(crate) fn start_frontend(&self, arguments: &[&str]) -> Served {
        let mut command = self.command(&["frontend", "--maddr", "127.0.0.1:0"]);
        Served::start(command.args(arguments), &self.new_log("frontend"), "metrics at http://")
    }

    /// The test client of a queue; `arguments` begin with the queue's name.
    pub(crate) fn start_client(&self, arguments: &[&str]) -> Served {
        let mut command = self.command(&["client", "--caddr", "127.0.0.1:0", "--queue"]);
        Served::start(command.args(arguments), &self.new_log("client"), "control page at http://")
    }

    /// A worker; its log is in `<name>.log`.
    pub(crate) fn start_worker(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(&["worker", "--name", name]);
        Process::start(command.args(arguments).stdout(Stdio::null()), &self.path(&format!("{name}.log")))
    }

    /// The same, once it is in the registry.
    pub(crate) async fn joined_worker(&self, name: &str, arguments: &[&str]) -> Process {
        let worker = self.start_worker(name, arguments);
        until("the worker has joined", async || self.node(name).await).await;
        worker
    }

    /// An entry of the registry.
    pub(crate) async fn node(&self, name: &str) -> Option<NodeInfo> {
        let bucket = self.bus.kv(&self.bus.namespace().bucket_node()).await.unwrap();
        let entry = bucket.get(name).await.ok()??;
        codec::decode(&entry.value).ok()
    }

    /// The log of a process.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Submits a job with more flags and waits for its result, which says the same as the exit code.
    pub(crate) fn submit_with(&self, queue: &str, flags: &[&str], arguments: &[&str]) -> JobResult {
        let whole: Vec<&str> =
            ["queue", "submit", queue].iter().chain(flags).chain(&["--"]).chain(arguments).copied().collect();
        let output = self.output(&whole);
        let error = String::from_utf8_lossy(&output.stderr);
        let result: JobResult = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{queue}: {error}"));
        let wanted = i32::from(result.status != JobStatus::Succeeded);
        assert_eq!(output.status.code(), Some(wanted), "{result:?}");
        result
    }

    /// Submits a job and waits for its result.
    pub(crate) fn submit(&self, queue: &str, arguments: &[&str]) -> JobResult {
        self.submit_with(queue, &[], arguments)
    }

    /// Submits a job under this id and does not wait.
    pub(crate) fn submit_only(&self, queue: &str, id: &str, arguments: &[&str]) {
        let head = ["queue", "submit", queue, "--no-wait", "--id", id, "--"];
        let whole: Vec<&str> = head.iter().chain(arguments).copied().collect();
        assert_eq!(self.done(&whole).trim(), id);
    }

    /// Publishes a payload to a queue as a plain NATS client does; the job's id comes from its place.
    pub(crate) async fn publish(&self, queue: &str, client: &str, payload: &str) -> String {
        let subject = self.bus.namespace().job(queue, 0, client);
        let payload = payload.to_owned().into_bytes().into();
        let stored = self.bus.publish_acked(&subject, &Headers::new(), payload, None, None).await.unwrap();
        format!("s{}", stored.sequence)
    }

    /// The terminal records of a queue so far, the oldest first.
    pub(crate) async fn records(&self, queue: &str) -> Vec<JobResult> {
        let names = self.bus.namespace();
        let (stream, subject) = (names.stream_result(queue), names.result_all(queue));
        let mut records = Vec::new();
        let mut next = 1;
        while let Some(found) = self.bus.next_message(&stream, &subject, next).await.unwrap() {
            next = found.sequence + 1;
            records.push(codec::decode(&found.payload).unwrap());
        }
        records
    }

    /// Whether a queue still has this job, waiting or running.
    pub(crate) async fn has_job(&self, queue: &str, job: &str) -> bool {
        let names = self.bus.namespace();
        let (stream, subject) = (names.stream_job(queue), names.job_all(queue));
        let mut next = 1;
        while let Some(found) = self.bus.next_message(&stream, &subject, next).await.unwrap() {
            if found.headers.get(HEADER_MESSAGE_ID) == Some(job) {
                return true;
            }
            next = found.sequence + 1;
        }
        false
    }

    /// Waits until a job has ended.
    pub(crate) async fn wait_for_record(&self, queue: &str, job: &str) -> JobResult {
        until(&format!("job {job} has ended"), async || {
            self.records(queue).await.into_iter().find(|record| record.job == job)
        })
        .await
    }

    pub(crate) async fn info(&self, queue: &str) -> QueueInfo {
        self.queues.info(queue).await.unwrap()
    }

    /// Waits until the queue has so many jobs, and of them so many that were never begun.
    pub(crate) async fn wait_for_jobs(&self, queue: &str, jobs: u64, waiting: u64) {
        until(&format!("{queue} has {jobs} jobs, {waiting} of them waiting"), async || {
            let info = self.info(queue).await;
            (info.jobs == jobs && info.waiting.iter().sum::<u64>() == waiting).then_some(())
        })
        .await;
    }
}

/// Waits until the file is there, and has something in it.
pub(crate) async fn wait_for_file(path: &Path) -> String {
    until(&format!("{} is written", path.display()), async || {
        std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))
    })
    .await
}

/// Waits until the process has ended.
pub(crate) async fn ended(process: &mut Process) -> ExitStatus {
    until("the process has ended", async || process.child.try_wait().unwrap()).await
}

/// Waits until all of them have ended; how long each took from now on.
pub(crate) async fn all_ended(processes: &mut [(&str, &mut Process)]) -> Vec<(String, ExitStatus, Duration)> {
    let begun = Instant::now();
    let mut all: Vec<(String, ExitStatus, Duration)> = Vec::new();
    until("all processes have ended", async || {
        for (name, process) in processes.iter_mut() {
            if all.iter().all(|(ended, ..)| ended != name)
                && let Some(status) = process.child.try_wait().unwrap()
            {
                all.push(((*name).to_owned(), status, begun.elapsed()));
            }
        }
        (all.len() == processes.len()).then_some(())
    })
    .await;
    all
}

/// Whether a process is there; a zombie is not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may contain anything, so the state is looked for after the last bracket.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The status and the body of a page.
pub(crate) fn http_get(address: &str, path: &str) -> (u16, String) {
    http_ask(address, path, "")
}

/// The same, with further headers, each with its line end.
pub(crate) fn http_ask(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The older version: no chunks, and the end of the body is the end of the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{path}: {head}")), body.to_owned())
}
