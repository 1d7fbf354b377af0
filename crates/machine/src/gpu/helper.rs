//! The process that asks NVML: asked once a sample, waited for only a moment, and let go when it is no use.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_schemas::telemetry::GpuTelemetry;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::nvml::NvmlAnswer;
use crate::config::MachineConfig;
use crate::source::Source;

/// How long an answer is waited for at the end of a sample; one that takes longer belongs to the next.
const PATIENCE: Duration = Duration::from_millis(50);
/// A process that has been silent for longer is let go.
const SILENCE_NS: u64 = 20_000_000_000;
/// How often it is begun, and how long after the one before.
const STARTS_MAX: u32 = 3;
const START_PAUSE_NS: u64 = 60_000_000_000;
/// Longest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

/// The process, if there is anything to ask it about.
#[derive(Debug)]
pub(super) struct Helper {
    command: Option<Vec<OsString>>,
    /// There is an NVIDIA driver where this is.
    driver: PathBuf,
    running: Option<Running>,
    starts: u32,
    started_ns: u64,
}

#[derive(Debug)]
struct Running {
    /// There until it is let go.
    child: Option<Child>,
    input: ChildStdin,
    output: ChildStdout,
    /// What has come of a line.
    partial: Vec<u8>,
    /// When it was asked what it has not answered.
    asked_ns: Option<u64>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            // One that is stuck in its driver ends when that lets it: nobody waits for it here.
            let _ = std::thread::Builder::new().name("nvml-end".to_owned()).spawn(move || child.wait());
        }
    }
}

impl Helper {
    pub(super) fn new(config: &MachineConfig) -> Self {
        let driver = config.roots.dev.join("nvidiactl");
        Self { command: config.nvml.clone(), driver, running: None, starts: 0, started_ns: 0 }
    }

    /// Asks for the next answer.
    pub(super) fn ask(&mut self, source: &mut Source, now_ns: u64) {
        if self.running.is_none() {
            self.begin(source, now_ns);
        }
        let Some(running) = &mut self.running else { return };
        if running.asked_ns.is_none() {
            // What it cannot take is told when it is found to have ended.
            let _ = running.input.write_all(b"\n");
            running.asked_ns = Some(now_ns);
        }
    }

    fn begin(&mut self, source: &mut Source, now_ns: u64) {
        let Some((program, arguments)) = self.command.as_deref().and_then(<[_]>::split_first) else { return };
        let is_due = self.starts == 0 || now_ns.saturating_sub(self.started_ns) >= START_PAUSE_NS;
        if self.starts >= STARTS_MAX || !is_due || !self.driver.exists() {
            return;
        }
        (self.starts, self.started_ns) = (self.starts + 1, now_ns);
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(mut child) => {
                if let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) {
                    self.running =
                        Some(Running { child: Some(child), input, output, partial: Vec::new(), asked_ns: None });
                }
            }
            Err(error) => source.problems().tell("nvml", || format!("NVML is not asked: {error}")),
        }
    }

    /// What it has answered by now.
    pub(super) fn answer(&mut self, source: &mut Source, now_ns: u64) -> Vec<GpuTelemetry> {
        let Some(running) = &mut self.running else { return Vec::new() };
        let problem = match running.line(PATIENCE) {
            Ok(Some(line)) => {
                running.asked_ns = None;
                match serde_json::from_slice::<NvmlAnswer>(&line) {
                    Ok(NvmlAnswer { error: None, gpus }) => return gpus,
                    Ok(NvmlAnswer { error: Some(error), .. }) => {
                        // It will say nothing else for as long as it lives.
                        self.starts = STARTS_MAX;
                        format!("NVML says nothing: {error}")
                    }
                    Err(error) => format!("the answer of NVML's process cannot be read: {error}"),
                }
            }
            Ok(None) => {
                let silent_ns = running.asked_ns.map_or(0, |asked_ns| now_ns.saturating_sub(asked_ns));
                if silent_ns < SILENCE_NS {
                    return Vec::new();
                }
                format!("NVML has not answered for {} s", silent_ns / 1_000_000_000)
            }
            Err(problem) => problem,
        };
        self.running = None;
        source.problems().tell("nvml", || format!("{problem}: nothing is known of NVIDIA's GPUs"));
        Vec::new()
    }
}

impl Running {
    /// The next line; none when it does not come within `patience`.
    fn line(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, String> {
        let deadline = Instant::now() + patience;
        let mut piece = [0u8; 4096];
        while self.asked_ns.is_some() {
            if let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let rest = self.partial.split_off(end + 1);
                let line = std::mem::replace(&mut self.partial, rest);
                return Ok(Some(line));
            }
            if self.partial.len() > ANSWER_MAX_BYTES {
                return Err(format!("NVML's process answers with more than {ANSWER_MAX_BYTES} bytes, the limit"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut wanted = [PollFd::new(&self.output, PollFlags::IN)];
            match poll(&mut wanted, Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(format!("NVML's process cannot be heard: {error}")),
            }
            match self.output.read(&mut piece) {
                Ok(0) => return Err(self.end()),
                Ok(read) => self.partial.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(error) => return Err(format!("NVML's process cannot be heard: {error}")),
            }
        }
        Ok(None)
    }

    /// How it ended, which it is about to when it says no more.
    fn end(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(Some(status)) => {
                    return match status.signal() {
                        Some(signal) => format!("NVML crashed with signal {signal}"),
                        None => format!("NVML's process ended with {}", status.code().unwrap_or(-1)),
                    };
                }
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => break,
            }
        }
        "NVML's process says no more".to_owned()
    }
}
