//! What was wrong with a job, in words.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;

use super::KILL_WAIT;
use crate::shown;
use crate::workload::{DeviceTask, ProgramTask};

/// Of a job that its worker gave up.
pub(super) const CANCELLED: &str = "cancelled: its worker lost the job or was told to end at once";

/// Of a job that is not run here.
pub(super) fn not_here(task: &DeviceTask) -> String {
    format!("work on the emulated device `{}` goes over the bus", task.name)
}

/// Of a job that was over its limit.
pub(super) fn over_limit(limit: Duration) -> String {
    format!("over its limit of {} s, and ended for that", limit.as_secs_f64())
}

/// Of a job whose program says that it failed.
pub(super) fn exited(task: &ProgramTask, code: i32) -> String {
    format!("{} ended with exit code {code}", shown(&task.path))
}

/// Of a job whose program was ended by a signal that is not the worker's.
pub(super) fn signalled(task: &ProgramTask, number: i32) -> String {
    let name =
        Signal::from_named_raw(number).map(|signal| format!("{signal:?}").replace("Signal::", " SIG").replace('"', ""));
    let hint = if number == Signal::KILL.as_raw() { ", perhaps for want of memory" } else { "" };
    format!("{} was ended by signal {number}{}{hint}", shown(&task.path), name.unwrap_or_default())
}

/// Of a job whose program ended somehow.
pub(super) fn unknown(task: &ProgramTask) -> String {
    format!("{} ended and its status is not known", shown(&task.path))
}

/// The same, of a job whose process is still there.
pub(super) fn stuck(how: &str) -> String {
    let wait = KILL_WAIT.as_secs();
    format!("{how}; its process was not gone {wait} s after KILL: it is stuck in the kernel, look after its device")
}

/// Of a job whose program could not be started.
pub(super) fn not_started(task: &ProgramTask, problem: &io::Error) -> String {
    let path = shown(&task.path);
    if let Some(directory) = &task.directory
        && let Err(why) = directory
            .metadata()
            .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) })
    {
        return format!("{path} not started: its directory {}: {why}", shown(directory));
    }
    match Errno::from_io_error(problem) {
        Some(Errno::TOOBIG) => {
            let bytes: usize = task.arguments.iter().map(|argument| argument.as_bytes().len() + 1).sum();
            let longest = task.arguments.iter().map(|argument| argument.as_bytes().len()).max().unwrap_or(0);
            format!(
                "{path} not started: its {} arguments, {bytes} bytes in all and {longest} in the longest, are more \
                 than the system hands to a process (128 KiB each; all with the environment a quarter of the stack \
                 limit): give fewer or shorter ones",
                task.arguments.len()
            )
        }
        Some(Errno::NOENT) if task.path.exists() => {
            format!("{path} not started: it exists, but the interpreter or loader it names does not")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => format!("{path} not started: there is no such program on this host"),
        Some(Errno::ACCESS) if task.path.is_dir() => format!("{path} not started: it is a directory"),
        Some(Errno::ACCESS | Errno::PERM) => {
            format!(
                "{path} not started: the worker may not execute it ({problem}); check its mode, its owner and its mount"
            )
        }
        Some(Errno::NOEXEC) => {
            format!("{path} not started: it is no program of this machine's kind, nor a script that begins with #!")
        }
        _ => format!("{path} not started: {problem}"),
    }
}
