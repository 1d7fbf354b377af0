//! A gateway, what it counts, and messages for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use nuncius_bus::Bus;
use nuncius_schemas::subjects::Signal;
use nuncius_testkit::{OtlpReceiver, spans_message};

use crate::harness::{PATIENCE, Process, System, until};

/// A gateway of a test.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    /// Where its pages are.
    pub(crate) address: String,
}

impl Gateway {
    /// Starts one; waits until it has joined.
    pub(crate) fn start(system: &System, name: &str, arguments: &[&str]) -> Self {
        let log = system.directory.path().join(format!("{name}.log"));
        let mut command = system.command(&["gateway", "--name", name, "--listen", "127.0.0.1:0"]);
        command.args(arguments).stdout(Stdio::piped());
        let mut process = Process::start(&mut command, &log);
        let mut line = String::new();
        BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("metrics at http://").trim_end_matches("/metrics").to_owned();
        assert!(!address.is_empty(), "{}", std::fs::read_to_string(log).unwrap_or_default());
        Self { process, address }
    }

    /// One that hands on to a receiver, and does not wait long for anything.
    pub(crate) fn to(system: &System, name: &str, receiver: &OtlpReceiver, arguments: &[&str]) -> Self {
        let endpoint = receiver.endpoint();
        let quick =
            ["--otlp-timeout", "500ms", "--retry-pause", "50ms", "--retry-pause-max", "200ms", "--takeover", "2s"];
        let all: Vec<&str> =
            ["--otlp-endpoint", &endpoint].into_iter().chain(quick).chain(arguments.iter().copied()).collect();
        Self::start(system, name, &all)
    }

    /// One page.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What it shows of a family, by labels as they are written; 0 where it shows nothing.
    pub(crate) fn shows(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let page = self.get("/metrics");
        let samples: BTreeMap<&str, f64> = page
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(family))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
            .collect();
        let is_meant =
            |series: &str| labels.iter().all(|(name, value)| series.contains(&format!("{name}=\"{value}\"")));
        samples.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| *value as u64).sum()
    }

    pub(crate) fn exported(&self, signal: Signal) -> u64 {
        self.shows("nuncius_gateway_exported_messages_total", &[("signal", signal.name())])
    }

    pub(crate) fn dropped(&self, signal: Signal, reason: &str) -> u64 {
        self.shows("nuncius_gateway_dropped_messages_total", &[("signal", signal.name()), ("reason", reason)])
    }

    /// Memory that the process has, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// Publishes messages of one span each, named `PREFIX-NUMBER`, each so long.
pub(crate) async fn publish_spans(bus: &Bus, prefix: &str, numbers: std::ops::Range<u64>, length_bytes: usize) {
    for number in numbers {
        let mut name = format!("{prefix}-{number}-");
        name.push_str(&"x".repeat(length_bytes));
        bus.publish_otlp(Signal::Traces, spans_message("foreign", 7, &[name]).into()).await.unwrap();
    }
}

/// How often each number of a prefix has come.
pub(crate) fn came(receiver: &OtlpReceiver, prefix: &str) -> BTreeMap<u64, usize> {
    let mut came = BTreeMap::new();
    for span in receiver.spans() {
        let mut parts = span.name.split('-');
        if parts.next() == Some(prefix)
            && let Some(number) = parts.next().and_then(|number| number.parse().ok())
        {
            *came.entry(number).or_default() += 1;
        }
    }
    came
}

/// Waits until all numbers have come.
pub(crate) async fn all_came(receiver: &OtlpReceiver, prefix: &str, count: u64) {
    let came = receiver.wait_for(|_| came(receiver, prefix).len() as u64 == count, PATIENCE).await;
    assert!(came.is_some(), "{} of {count}", self::came(receiver, prefix).len());
}

/// Waits until no telemetry waits on the bus.
pub(crate) async fn nothing_waits(bus: &Bus) {
    let stream = bus.namespace().stream_otlp();
    until("all telemetry has been taken", async || {
        let backlog = bus.consumer_backlog(&stream, nuncius_schemas::subjects::OTLP_CONSUMER).await.ok()?;
        (backlog == (0, 0)).then_some(())
    })
    .await;
}
