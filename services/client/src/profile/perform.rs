//! One command from its start to what it wrote. Blocks.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nuncius_schemas::flow::ByteSize;
use nuncius_schemas::profile::{OUTPUT_PLACE, PID_PLACE, ProfileSpec, SECONDS_PLACE};
use tokio_util::sync::CancellationToken;

use super::allowed::{AllowedPrograms, locate};
use super::failure::ProfileFailure;
use super::group::{Group, KILL_WAIT};
use super::place::{self, Place};
use super::process::first_called;

/// How often it is looked how the command stands.
const LOOK: Duration = Duration::from_millis(50);
/// Most that a command may say on its standard output and error.
const WORDS_MAX: ByteSize = ByteSize(4 << 20);
/// What a command is given of this node's environment: nothing that may lead to the bus.
const VARIABLES: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"];

/// A command that is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) profile: ProfileSpec,
    /// How long it is wanted for, from now on.
    pub(crate) length: Duration,
    /// What this node allows.
    pub(crate) allowed: AllowedPrograms,
    /// What it is started by, where by anything.
    pub(crate) starter: Vec<OsString>,
}

/// How a command is ended before its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// It is interrupted, and what it writes is kept.
    pub(crate) finish: CancellationToken,
    /// It is killed.
    pub(crate) stop: CancellationToken,
}

/// What a command wrote.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) output: Vec<u8>,
    /// None where it was ended by our signal.
    pub(crate) exit_code: Option<i32>,
}

/// Runs it, until it ends, its time is over, or it is ended. Of its process group nothing is left.
///
/// # Errors
/// [`ProfileFailure`]: there is nothing to be kept.
pub(crate) fn perform(task: &Task, ending: &Ending) -> Result<Written, ProfileFailure> {
    let profile = &task.profile;
    let program = profile.command.first().map_or("", String::as_str);
    let entry = task.allowed.entry_of(program).ok_or_else(|| ProfileFailure::Forbidden {
        program: program.chars().take(80).collect(),
        allowed: task.allowed.told(),
    })?;
    let path = std::env::var_os("PATH");
    let located = locate(entry, path.as_deref()).ok_or_else(|| ProfileFailure::Absent { program: entry.to_owned() })?;
    let process = match &profile.pid_of {
        Some(name) => first_called(name).ok_or_else(|| ProfileFailure::NoProcess { name: name.clone() })?.to_string(),
        None => String::new(),
    };
    let place = Place::make().map_err(ProfileFailure::Place)?;
    let output = place.directory().join(profile.output_name());
    let begun = Instant::now();
    let group = start(task, &located, &place, &output, &process)
        .map_err(|source| ProfileFailure::NotStarted { program: entry.to_owned(), source })?;
    let was_interrupted = watch(task, ending, &group, begun, (&place, &output))?;
    let status = group.end().ok_or(ProfileFailure::Stuck(KILL_WAIT))?;
    let is_our_end = was_interrupted && status.signal() == Some(2);
    if !status.success() && !is_our_end {
        let (how, tail) = (how(status), place.last_words());
        return Err(ProfileFailure::Failed { how, exit_code: status.code(), tail });
    }
    Ok(Written { output: collected(profile, &place, &output)?, exit_code: status.code() })
}

/// Starts the command in its directory, without input, and with little of this node's environment.
fn start(task: &Task, program: &Path, place: &Place, output: &Path, process: &str) -> std::io::Result<Group> {
    let output = output.to_string_lossy();
    // The whole seconds of its time, however the instant of the start was met.
    let seconds = (task.length.as_secs_f64().round() as u64).max(1).to_string();
    let filled = |word: &String| {
        word.replace(SECONDS_PLACE, &seconds).replace(PID_PLACE, process).replace(OUTPUT_PLACE, &output)
    };
    let words = place.open_words()?;
    let mut command = match task.starter.split_first() {
        Some((starter, words)) => {
            let mut command = Command::new(starter);
            command.args(words).arg(std::process::id().to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(task.profile.command.iter().skip(1).map(filled))
        .current_dir(place.directory())
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words)
        .env_clear()
        .envs(VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    Group::spawn(&mut command)
}

/// Waits for the end of the command; whether it was interrupted for that. Dropped, its group is killed.
fn watch(
    task: &Task,
    ending: &Ending,
    group: &Group,
    begun: Instant,
    (place, output): (&Place, &Path),
) -> Result<bool, ProfileFailure> {
    let profile = &task.profile;
    let grace = profile.grace.to_std();
    // Whoever was told the seconds ends by himself, and takes his time to write; nobody interrupts him who is about to.
    let ends_itself = profile.mentions(SECONDS_PLACE);
    let own_time = if ends_itself { task.length + grace } else { task.length };
    let is_about_to_end = || ends_itself && begun.elapsed() + grace >= task.length;
    let mut interrupted_at = None;
    loop {
        if group.has_ended() {
            return Ok(interrupted_at.is_some());
        }
        if ending.stop.is_cancelled() {
            return Err(ProfileFailure::Stopped);
        }
        if place::bytes(output) > profile.at_most.0 {
            return Err(too_large(profile));
        }
        if place.words_bytes() > WORDS_MAX.0 {
            return Err(ProfileFailure::TooLoud { limit: WORDS_MAX });
        }
        match interrupted_at {
            None if begun.elapsed() >= own_time || (ending.finish.is_cancelled() && !is_about_to_end()) => {
                group.interrupt();
                interrupted_at = Some(Instant::now());
            }
            Some(at) if at.elapsed() >= grace => {
                return Err(ProfileFailure::Unended { grace, tail: place.last_words() });
            }
            None | Some(_) => {}
        }
        std::thread::sleep(LOOK);
    }
}

fn too_large(profile: &ProfileSpec) -> ProfileFailure {
    ProfileFailure::TooLarge { name: profile.output_name().to_owned(), limit: profile.at_most }
}

fn collected(profile: &ProfileSpec, place: &Place, output: &Path) -> Result<Vec<u8>, ProfileFailure> {
    let name = || profile.output_name().to_owned();
    match place::read(output, profile.at_most.0) {
        Ok(Some(content)) if content.is_empty() => {
            Err(ProfileFailure::Empty { name: name(), tail: place.last_words() })
        }
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(too_large(profile)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ProfileFailure::NoOutput { name: name(), tail: place.last_words() })
        }
        Err(source) => Err(ProfileFailure::Unreadable { name: name(), source }),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests;
