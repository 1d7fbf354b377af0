//! Workers as processes of this machine: this program's own `worker`, one for each.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::super::Scene;

/// How long workers may take to end when they are told to, and again when they are told to hand back what they have.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Bytes of the end of a log that are looked at for its last line, and characters of it that are shown.
const LOG_TAIL_BYTES: u64 = 2_048;
const LOG_LINE_CHARACTERS: usize = 300;

/// How a worker is started.
pub(super) struct Launch {
    program: PathBuf,
    /// All but its name and what it runs.
    arguments: Vec<String>,
    command: Vec<String>,
    url: String,
    id: String,
    logs: PathBuf,
}

impl Launch {
    pub(super) fn new(scene: &Scene<'_>, id: &str, queue: &str, slots: u32, command: &[String]) -> Result<Self> {
        let global = scene.global;
        let mut arguments: Vec<String> =
            ["worker", "--namespace", &global.namespace, "--queue", queue, "--slots", &slots.to_string()]
                .map(str::to_owned)
                .to_vec();
        for (flag, file) in crate::connect::files(global) {
            if let Some(file) = file {
                arguments.extend([flag.to_owned(), file.display().to_string()]);
            }
        }
        if let Some(domain) = &global.js_domain {
            arguments.extend(["--js-domain".to_owned(), domain.clone()]);
        }
        if global.nats_tls_first {
            arguments.push("--nats-tls-first".to_owned());
        }
        arguments.push("--end-with-input".to_owned());
        Ok(Self {
            program: std::env::current_exe().context("this program does not know where it is")?,
            arguments,
            command: command.to_vec(),
            url: scene.url.to_owned(),
            id: id.to_owned(),
            logs: scene.data.join("logs"),
        })
    }

    fn start(&self, number: u32) -> Result<Process> {
        let name = format!("{}-w{number}", self.id);
        std::fs::create_dir_all(&self.logs).with_context(|| self.logs.display().to_string())?;
        let log = self.logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--name").arg(&name).arg("--").args(&self.command);
        // It may hold a password, which is nobody's business who lists processes.
        command.env("NATS_URL", &self.url);
        // The pipe is kept and never written to: when this process is gone, so is its other end, and the worker ends.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file).kill_on_drop(true);
        // Ctrl-C is for this process alone, which stops workers when their experiment has ended.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("worker {name} cannot be started"))?;
        Ok(Process { name, log, child })
    }
}

struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn signal(&self, signal: Signal) {
        // Not waited for yet, so that its number is still its own.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Workers that were started.
pub(super) struct Processes {
    launch: Launch,
    all: Vec<Process>,
    started: u32,
}

impl Processes {
    pub(super) fn new(launch: Launch) -> Self {
        Self { launch, all: Vec::new(), started: 0 }
    }

    /// Where their logs are.
    pub(super) fn logs(&self) -> String {
        self.launch.logs.display().to_string()
    }

    /// Starts as many as are missing, also in place of those that have ended.
    pub(super) fn bring(&mut self, count: u32) -> Result<()> {
        self.all.retain_mut(|process| process.status().is_none());
        while self.all.len() < count as usize {
            self.started += 1;
            self.all.push(self.launch.start(self.started)?);
        }
        Ok(())
    }

    /// Says which worker has ended, how, and what it said last.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.all.iter_mut().find_map(|process| {
            let status = process.status()?;
            let said = last_line(&process.log).map(|line| format!(": {line}")).unwrap_or_default();
            Some(format!("worker {} ended ({status}){said}; its log is {}", process.name, process.log.display()))
        })
    }

    /// Ends all of them: those that do not end when told to hand back their jobs, and are killed at last.
    pub(super) async fn stop(mut self) {
        for _ in 0..2 {
            self.all.retain_mut(|process| process.status().is_none());
            self.all.iter().for_each(|process| process.signal(Signal::TERM));
            let deadline = Instant::now() + STOP_GRACE;
            for process in &mut self.all {
                let _ = tokio::time::timeout_at(deadline, process.child.wait()).await;
            }
        }
        for process in &mut self.all {
            if process.status().is_none() {
                crate::output::note(&format!("worker {} did not end and is killed", process.name));
                let _ = process.child.kill().await;
            }
        }
    }
}

/// The last line of a log, as it may be shown.
fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length_bytes = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length_bytes.saturating_sub(LOG_TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(nuncius_report::text::plain(line, LOG_LINE_CHARACTERS))
}
