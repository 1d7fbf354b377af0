//! `nuncius doctor`: what would keep an experiment from running, found before it does.

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_bus::clock::{measure_offset, monotonic_ns};
use nuncius_bus::server::find_binary;
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use serde::Serialize;

use crate::EXIT_FAILED;
use crate::args::{Global, REQUEST_TIMEOUT};
use crate::connect;
use crate::output::print_json;

/// Round trips of the clock measurement.
const CLOCK_SAMPLES: usize = 16;

/// How a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    level: Level,
    text: String,
}

/// What was found: said at once to people, and at the end to programs.
struct Findings {
    json: bool,
    all: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, text: &str) {
        self.add(Level::Ok, text);
    }

    fn warn(&mut self, text: &str) {
        self.add(Level::Warn, text);
    }

    fn bad(&mut self, text: &str) {
        self.add(Level::Bad, text);
    }

    fn add(&mut self, level: Level, text: &str) {
        if !self.json {
            let word = match level {
                Level::Ok => "ok   ",
                Level::Warn => "warn ",
                Level::Bad => "bad  ",
            };
            super::print(&format!("{word} {text}"));
        }
        self.all.push(Finding { level, text: text.to_owned() });
    }

    fn is_bad(&self) -> bool {
        self.all.iter().any(|finding| finding.level == Level::Bad)
    }
}

/// Checks; exit code 0 when nothing is bad.
pub(super) async fn doctor(global: &Global) -> Result<u8> {
    let mut findings = Findings { json: global.json, all: Vec::new() };
    match connect::data_directory(global) {
        Ok(data) => findings.good(&format!("data directory {}", data.display())),
        Err(error) => findings.bad(&format!("{error:#}")),
    }
    match find_binary() {
        Ok(path) => findings.good(&format!("nats-server binary {}", path.display())),
        Err(error) => findings.warn(&format!("no nats-server binary for `up` and `run`: {error}")),
    }
    let limit = crate::local::open_files_limit();
    match (crate::local::open_files_warning(limit, u32::MAX), limit) {
        (Some(warning), _) => findings.warn(&warning),
        (None, Some(files)) => findings.good(&format!("{files} open files")),
        (None, None) => findings.good("open files are not limited"),
    }
    if std::fs::metadata("/proc/self/schedstat").is_ok() {
        findings.good("run-queue delay can be measured");
    } else {
        findings.warn("no /proc/self/schedstat: a starved node is seen by its lag only");
    }
    match connect::possible(global, "nuncius-doctor").await {
        Ok(Some(bus)) => check_bus(&mut findings, &bus).await?,
        Ok(None) => findings.warn("no NATS server is running: `nuncius run` would bring its own"),
        Err(error) => findings.bad(&format!("NATS: {}", crate::output::plain(&format!("{error:#}")))),
    }
    if global.json {
        print_json(&findings.all)?;
    }
    Ok(if findings.is_bad() { EXIT_FAILED } else { 0 })
}

async fn check_bus(findings: &mut Findings, bus: &Bus) -> Result<()> {
    findings.good(&format!("nats-server {} answers", bus.server_version()));
    match nuncius_bus::streams::ensure_streams(bus).await {
        Ok(()) => findings.good("streams and buckets are as they should be"),
        Err(error) => {
            findings.bad(&error.to_string());
            return Ok(());
        }
    }
    let entries = bus.kv(&bus.namespace().bucket_node()).await?.entries(">").await?;
    let nodes: Vec<NodeInfo> = entries.iter().filter_map(|entry| codec::decode(&entry.value).ok()).collect();
    for role in [Role::Experimentd, Role::Client] {
        let count = nodes.iter().filter(|node| node.role == role).count();
        match count {
            0 => findings.warn(&format!("no {} is there", role.name())),
            count => findings.good(&format!("{count} {}", role.name())),
        }
    }
    for node in nodes.iter().filter(|node| node.role == Role::Client) {
        if node.version != env!("CARGO_PKG_VERSION") {
            let text =
                format!("node {} has version {}, this is {}", node.name, node.version, env!("CARGO_PKG_VERSION"));
            findings.warn(&text);
        }
        let subject = bus.namespace().node_ping(&node.name);
        match measure_offset(bus, &subject, CLOCK_SAMPLES, monotonic_ns, REQUEST_TIMEOUT).await {
            Ok(offset) => {
                let bound = nuncius_report::text::duration(offset.error_ns);
                findings.good(&format!("node {} answers; its clock is known to ± {bound}", node.name));
            }
            Err(error) => findings.bad(&format!("node {} is in the registry and does not answer: {error}", node.name)),
        }
    }
    Ok(())
}
