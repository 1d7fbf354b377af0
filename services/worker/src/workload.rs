//! What a worker runs, understood from its command line, and what one job makes of it.
//!
//! A workload is `sleep [SECONDS]`, `device NAME [SECONDS]` or the absolute path of a program, with fixed arguments. A
//! job's own arguments come after the fixed ones. The word FILENAME in the program's path and in any argument stands
//! for the file of the slot that runs the job; which files there are is looked up once, when the worker starts.

mod arguments;
mod error;
mod files;

#[cfg(test)]
mod tests;

pub use arguments::{FILENAME, SLEEP_MAX_SECONDS};
pub use error::{PrepareError, WorkloadError};
pub use files::GLOB_MATCHES_MAX;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nuncius_schemas::job::{Job, OUTPUT_TAIL_MAX_BYTES};
use nuncius_schemas::names::check_token;
use nuncius_schemas::worker::DeviceRequest;
use tracing::{info, warn};

use crate::shown;
use arguments::{has_filename, seconds, substitute};

/// How long a process group has between TERM and KILL, unless the worker was told otherwise.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// How a workload is run, beside what it is.
#[derive(Debug, Clone)]
pub struct WorkloadOptions {
    /// A job's arguments are dropped.
    pub ignore: bool,
    /// Working directory of programs; the worker's own if `None`. Looked at when a job is run, not before.
    pub directory: Option<PathBuf>,
    /// Which files the slots get, one each; `None` or empty: none.
    pub glob: Option<String>,
    /// A program's input is `/dev/null`. It always is: a service has no input to hand on. The option is there because
    /// it was one, and changes nothing.
    pub null_in: bool,
    /// A program's output goes to `/dev/null`, and none of it is captured.
    pub null_out: bool,
    /// Bytes kept of the end of each output stream, at most [`OUTPUT_TAIL_MAX_BYTES`]; 0 captures nothing and hands the
    /// worker's own output on to the program.
    pub capture_bytes: usize,
    /// Longest run of a job; `None` or zero: none.
    pub limit: Option<Duration>,
    /// How long a process group has between TERM and KILL.
    pub kill_grace: Duration,
    /// Jobs that the worker runs at once; 0 counts as 1.
    pub slots: u32,
}

impl Default for WorkloadOptions {
    fn default() -> Self {
        Self {
            ignore: false,
            directory: None,
            glob: None,
            null_in: false,
            null_out: false,
            capture_bytes: OUTPUT_TAIL_MAX_BYTES,
            limit: None,
            kill_grace: KILL_GRACE,
            slots: 1,
        }
    }
}

/// What kind of thing a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Waits for some seconds and succeeds.
    Sleep,
    /// Occupies an emulated device of this name, over the bus.
    Device(String),
    /// Runs the program at this absolute path, in which FILENAME is not replaced yet.
    Program(String),
}

/// A workload that jobs can be run with.
#[derive(Debug, Clone)]
pub struct Workload {
    kind: WorkloadKind,
    fixed: Vec<String>,
    files: Vec<PathBuf>,
    options: WorkloadOptions,
}

/// What is to be run for one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What.
    pub task: Task,
    /// The device it uses, as results call it: the last part of its file's path, or an emulated device's name.
    pub device: Option<String>,
    /// The limit in force.
    pub limit: Option<Duration>,
}

/// The work of one job.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// To wait for this long.
    Sleep(Duration),
    /// To run a program.
    Program(ProgramTask),
    /// To occupy an emulated device, which is for the caller to do.
    Device(DeviceTask),
}

/// A program, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramTask {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its arguments, fixed and the job's, without FILENAME and without NUL.
    pub arguments: Vec<OsString>,
    /// Its working directory; the worker's own if `None`.
    pub directory: Option<PathBuf>,
    /// What becomes of its output.
    pub output: OutputUse,
    /// How long its process group has between TERM and KILL.
    pub kill_grace: Duration,
}

/// What becomes of the output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputUse {
    /// It is lost.
    Null,
    /// It is the worker's own.
    Inherited,
    /// The last bytes of each stream are kept, as many as this says.
    Captured(usize),
}

/// Work on an emulated device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceTask {
    /// The device.
    pub name: String,
    /// What is asked of it.
    pub request: DeviceRequest,
}

impl Workload {
    /// Understands a command, and looks up the files for its slots.
    ///
    /// Refused is whatever no job could be run with; the error says what to do about it.
    pub fn new(command: &[String], options: WorkloadOptions) -> Result<Self, WorkloadError> {
        let (word, fixed) = command.split_first().ok_or(WorkloadError::Missing)?;
        if options.capture_bytes > OUTPUT_TAIL_MAX_BYTES {
            return Err(WorkloadError::Capture { bytes: options.capture_bytes });
        }
        if let Some(text) = command.iter().find(|text| text.contains('\0')) {
            return Err(WorkloadError::Nul { text: shown(text) });
        }
        let (kind, fixed) = match word.as_str() {
            "sleep" => (WorkloadKind::Sleep, fixed),
            "device" => {
                let (name, fixed) = fixed.split_first().ok_or(WorkloadError::DeviceMissing)?;
                check_token("device", name)?;
                (WorkloadKind::Device(name.clone()), fixed)
            }
            path if path.starts_with('/') => (WorkloadKind::Program(path.to_owned()), fixed),
            _ => return Err(WorkloadError::Unknown { word: shown(word) }),
        };
        let files = match options.glob.as_deref().filter(|pattern| !pattern.is_empty()) {
            Some(pattern) => files::find(pattern)?,
            None => Vec::new(),
        };
        if files.is_empty()
            && let Some(text) = command.iter().find(|text| has_filename(text))
        {
            return Err(WorkloadError::NoGlob { text: shown(text) });
        }
        let workload = Self { kind, fixed: fixed.to_vec(), files, options };
        workload.check_fixed_seconds()?;
        workload.tell_files();
        Ok(workload)
    }

    /// Fixed seconds win over a job's, so wrong ones would fail every job.
    fn check_fixed_seconds(&self) -> Result<(), WorkloadError> {
        match (&self.kind, self.fixed.first()) {
            (WorkloadKind::Sleep | WorkloadKind::Device(_), Some(text)) => {
                seconds(text).map_err(|reason| WorkloadError::Seconds { text: shown(text), reason }).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn tell_files(&self) {
        let (found, slots) = (self.files.len(), self.options.slots.max(1));
        let pattern = self.options.glob.as_deref().unwrap_or("");
        let used = usize::try_from(slots).unwrap_or(usize::MAX);
        if found > used {
            let first = self.files.first().map(|file| file.display().to_string());
            warn!(pattern, found, slots, first, "more files than slots: each slot uses one, the rest is not used");
        } else if found > 0 && found < used {
            info!(pattern, found, slots, "fewer files than slots: slots share them in turn");
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> &WorkloadKind {
        &self.kind
    }

    /// What it is called: the program without arguments, "sleep" or "device".
    pub fn name(&self) -> &str {
        match &self.kind {
            WorkloadKind::Sleep => "sleep",
            WorkloadKind::Device(_) => "device",
            WorkloadKind::Program(path) => path,
        }
    }

    /// The files that the pattern found, by their absolute paths, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The file of a slot, counted from 0; slots share the files in turn. `None` without a pattern.
    pub fn file_of(&self, slot: u32) -> Option<&Path> {
        let index = usize::try_from(slot).ok()?.checked_rem(self.files.len())?;
        self.files.get(index).map(PathBuf::as_path)
    }

    /// The device of a slot, as results call it.
    pub fn device_of(&self, slot: u32) -> Option<String> {
        match &self.kind {
            WorkloadKind::Device(name) => Some(name.clone()),
            _ => self.file_of(slot).and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
        }
    }

    /// The limit in force for a job.
    pub fn limit_of(&self, job: &Job) -> Option<Duration> {
        smaller_limit(self.options.limit, job.limit.map(|limit| limit.to_std()))
    }

    /// What is to be run for a job in a slot. An error means that the job has failed, and would fail anywhere.
    pub fn prepare(&self, slot: u32, job: &Job) -> Result<Prepared, PrepareError> {
        let file = self.file_of(slot);
        let jobs_own: &[String] = if self.options.ignore { &[] } else { &job.args };
        if let Some(index) = jobs_own.iter().position(|text| text.contains('\0')) {
            return Err(PrepareError::Nul { number: index + 1 });
        }
        let given = || self.fixed.iter().chain(jobs_own);
        let task = match &self.kind {
            WorkloadKind::Sleep => match given().next() {
                Some(text) => Task::Sleep(wanted(text, "sleep")?),
                None => return Err(PrepareError::SecondsMissing),
            },
            WorkloadKind::Device(name) => {
                let work = given().next().map(|text| wanted(text, "device")).transpose()?;
                let request = DeviceRequest { work_seconds: work.map(|work| work.as_secs_f64()) };
                Task::Device(DeviceTask { name: name.clone(), request })
            }
            WorkloadKind::Program(path) => {
                let mapped = |text: &String| {
                    substitute(text, file).ok_or_else(|| PrepareError::NoFile { argument: shown(text) })
                };
                Task::Program(ProgramTask {
                    path: mapped(path)?.into(),
                    arguments: given().map(mapped).collect::<Result<_, _>>()?,
                    directory: self.options.directory.clone(),
                    output: self.output_use(),
                    kill_grace: self.options.kill_grace,
                })
            }
        };
        Ok(Prepared { task, device: self.device_of(slot), limit: self.limit_of(job) })
    }

    fn output_use(&self) -> OutputUse {
        match (self.options.null_out, self.options.capture_bytes) {
            (true, _) => OutputUse::Null,
            (false, 0) => OutputUse::Inherited,
            (false, bytes) => OutputUse::Captured(bytes),
        }
    }
}

fn wanted(text: &str, workload: &'static str) -> Result<Duration, PrepareError> {
    seconds(text).map_err(|reason| PrepareError::Seconds { workload, text: shown(text), reason })
}

/// The smaller one of those limits that are set; a limit of zero is none.
pub fn smaller_limit(worker: Option<Duration>, job: Option<Duration>) -> Option<Duration> {
    [worker, job].into_iter().flatten().filter(|limit| !limit.is_zero()).min()
}
