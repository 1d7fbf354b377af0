//! A system with what one looks at it with: `nuncius up --observe`, and questions to its pages.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nuncius_testkit::TempDir;
use serde_json::Value;

use crate::harness::{PATIENCE, Process, nuncius};

/// Everything that `up --observe` starts, on ports of its own.
pub(crate) struct Observed {
    pub(crate) up: Process,
    pub(crate) directory: TempDir,
    pub(crate) nats: String,
    pub(crate) gateway: String,
    pub(crate) prometheus: String,
    pub(crate) traces: String,
}

impl Observed {
    /// Starts it and waits until all of it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new("observe").unwrap();
        let mut command = nuncius();
        command.arg("--data").arg(directory.path().join("data")).args(["up", "--observe", "--scrape", "1s"]);
        for place in ["--listen", "--gateway", "--prometheus", "--traces"] {
            command.args([place, "127.0.0.1:0"]);
        }
        command.args(arguments).stdout(Stdio::piped());
        let log = directory.path().join("up.log");
        let mut up = Process::start(&mut command, &log);
        let lines: Vec<String> = BufReader::new(up.child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|line| line != "ready")
            .collect();
        let place = |what: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(what));
            let line = line.unwrap_or_else(|| {
                panic!("no {what} in {lines:?}: {}", std::fs::read_to_string(&log).unwrap_or_default())
            });
            line.trim().trim_start_matches("http://").split(['/', ' ']).next().unwrap().to_owned()
        };
        Self {
            nats: lines.iter().find_map(|line| line.strip_prefix("nats")).unwrap().trim().to_owned(),
            gateway: place("metrics"),
            prometheus: place("graphs"),
            traces: place("traces"),
            up,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command against this system.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        command.arg("--nats").arg(&self.nats).arg("--data").arg(self.path("data")).args(arguments);
        command
    }

    /// One more process of this system, until it is dropped.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Process {
        let log = self.path(&format!("{}-{:08x}.log", arguments[0], fastrand::u32(..)));
        Process::start(self.command(arguments).stdout(Stdio::null()), &log)
    }

    /// Runs an experiment to its end; the exit code is of the verdict.
    pub(crate) fn run(&self, name: &str, spec: &str) -> i32 {
        let file = self.path(&format!("{name}.yaml"));
        std::fs::write(&file, spec).unwrap();
        let output = self.command(&["run", file.to_str().unwrap(), "--quiet"]).output().unwrap();
        let code = output.status.code().unwrap();
        assert!([0, 1, 3].contains(&code), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        code
    }
}

/// An answer of Prometheus; an error is the query's.
pub(crate) fn ask(prometheus: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
    let body: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = body.join("&");
    let mut stream = TcpStream::connect(prometheus).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nhost: {prometheus}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
    answer
}

/// For the part of an address behind the question mark.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
