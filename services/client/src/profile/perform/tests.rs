use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Once;

use nuncius_schemas::profile::ProfileOutcome;
use tokio::signal::unix::{SignalKind, signal};

use super::*;

/// Has this process heed interrupts, as every node does. From one that ignores them, as those do that a script starts
/// in the background, a command would inherit that.
fn heed_interrupts() {
    static HEEDED: Once = Once::new();
    HEEDED.call_once(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { drop(signal(SignalKind::interrupt()).unwrap()) });
    });
}

/// A script that is allowed, in a directory that goes with it.
struct Script {
    directory: PathBuf,
    path: PathBuf,
}

impl Script {
    fn new(body: &str) -> Self {
        heed_interrupts();
        let directory = std::env::temp_dir().join(format!("nuncius-profiler-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("profiler");
        // Written under another name: a file that some process has open for writing is not executed.
        let written = directory.join("written");
        std::fs::write(&written, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&written, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::rename(&written, &path).unwrap();
        Self { directory, path }
    }

    fn task(&self, arguments: &str, more: &str) -> Task {
        let more = more.replace(", ", "\n");
        let text = format!("name: cpu\ncommand: [profiler, {arguments}]\n{more}");
        Task {
            profile: nuncius_schemas::codec::from_text(&text).unwrap(),
            length: Duration::from_millis(300),
            starter: Vec::new(),
            allowed: AllowedPrograms::parse(&[self.path.to_string_lossy().into_owned()]).unwrap(),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What a script writes.
fn written(script: &Script, arguments: &str, more: &str) -> Result<Written, ProfileFailure> {
    // A child of another test may have inherited the open script for an instant.
    loop {
        match perform(&script.task(arguments, more), &Ending::default()) {
            Err(ProfileFailure::NotStarted { source, .. })
                if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            outcome => return outcome,
        }
    }
}

fn failure(body: &str, arguments: &str, more: &str) -> (ProfileOutcome, String) {
    let failure = written(&Script::new(body), arguments, more).unwrap_err();
    (failure.outcome(), failure.to_string())
}

#[test]
fn what_a_command_writes_is_kept_and_it_is_told_where_and_how_long() {
    let script = Script::new(r#"echo "main;$2 7" > "$1""#);
    let found = written(&script, "'{output}', 's={seconds}'", "").unwrap();
    assert_eq!((found.output.as_slice(), found.exit_code), (b"main;s=1 7\n".as_slice(), Some(0)));
}

#[test]
fn a_command_runs_in_the_directory_of_its_output_and_hears_nothing_of_the_bus() {
    let script = Script::new("env > profile.folded; cat >> profile.folded");
    let found = written(&script, "", "").unwrap();
    let text = String::from_utf8(found.output).unwrap();
    assert!(text.contains("PATH="), "{text}");
    let names = text.lines().filter_map(|line| line.split('=').next());
    for name in names {
        assert!(VARIABLES.contains(&name) || ["PWD", "SHLVL", "_", "OLDPWD"].contains(&name), "{name}");
    }
}

#[test]
fn a_command_that_is_told_no_seconds_is_interrupted_when_its_time_is_over_and_then_writes() {
    let script = Script::new("trap 'echo main 1 > profile.folded; exit 0' INT\nwhile :; do sleep 0.01; done");
    let begun = Instant::now();
    let found = written(&script, "", "").unwrap();
    assert_eq!(found.output, b"main 1\n");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_command_that_dies_of_our_interrupt_keeps_what_it_had_written() {
    let found = written(&Script::new("echo main 1 > profile.folded\nexec sleep 60"), "", "").unwrap();
    assert_eq!((found.output.as_slice(), found.exit_code), (b"main 1\n".as_slice(), None));
}

#[test]
fn an_absent_or_forbidden_program_and_a_process_that_is_not_there_are_told_apart() {
    let script = Script::new("exit 0");
    let mut task = script.task("'{pid}'", ", pid_of: no-such-process");
    let outcome = |task: &Task| perform(task, &Ending::default()).unwrap_err().outcome();
    assert_eq!(outcome(&task), ProfileOutcome::NoProcess);
    std::fs::remove_file(&script.path).unwrap();
    assert_eq!(outcome(&task), ProfileOutcome::Absent);
    task.allowed = AllowedPrograms::parse(&["perf".to_owned()]).unwrap();
    let told = perform(&task, &Ending::default()).unwrap_err();
    assert_eq!(told.outcome(), ProfileOutcome::Forbidden);
    let wanted = "this node does not allow `profiler`: it allows perf (--allow-profile)";
    assert_eq!(told.to_string(), wanted);
}

#[test]
fn an_exit_code_is_told_with_the_last_words() {
    let (outcome, told) = failure("echo one; echo 'no ptrace' >&2; exit 3", "", "");
    assert_eq!(outcome, ProfileOutcome::Failed);
    assert_eq!(told, "it ended with exit code 3; it said: one / no ptrace");
}

#[test]
fn a_command_that_writes_no_file_or_an_empty_one_has_no_output() {
    assert_eq!(failure("exit 0", "", "").0, ProfileOutcome::NoOutput);
    assert_eq!(failure(": > profile.folded", "", "").0, ProfileOutcome::NoOutput);
    // Somebody else's file is not the command's output.
    assert_eq!(failure("ln -s /etc/hostname profile.folded", "", "").0, ProfileOutcome::NoOutput);
    assert_eq!(failure("mkfifo profile.folded", "", "").0, ProfileOutcome::NoOutput);
}

#[test]
fn an_output_over_its_limit_is_not_kept_whether_it_is_being_written_or_done() {
    let (outcome, told) = failure("head -c 2000 /dev/zero > profile.folded", "", ", at_most: 1KiB");
    assert_eq!(
        (outcome, told.as_str()),
        (ProfileOutcome::TooLarge, "its file `profile.folded` is larger than 1KiB (at_most)")
    );
    let begun = Instant::now();
    let (outcome, _) = failure("yes > profile.folded", "'{seconds}'", ", at_most: 1MiB, grace: 5m");
    assert!(outcome == ProfileOutcome::TooLarge && begun.elapsed() < Duration::from_secs(60));
    assert_eq!(failure("yes", "'{seconds}'", ", grace: 5m").0, ProfileOutcome::TooLarge);
}

#[test]
fn a_command_that_does_not_end_is_killed_with_all_that_it_has_started() {
    let script = Script::new("trap '' INT\nsleep 1000 &\necho $! > \"$1\"\nwhile :; do sleep 0.01; done");
    let child = script.directory.join("child");
    let arguments = format!("'{}'", child.display());
    let outcome = written(&script, &arguments, ", grace: 100ms").unwrap_err();
    assert_eq!(outcome.outcome(), ProfileOutcome::Unended, "{outcome}");
    let id = std::fs::read_to_string(&child).unwrap();
    // Gone, or waiting for whoever inherited it; the kernel takes a moment.
    let is_gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let begun = Instant::now();
    while !is_gone() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{id} is still there");
        std::thread::yield_now();
    }
}

/// Ends a command that would go on for an hour, once it has said that it has begun and that its trap stands.
fn ended(trap: &str, arguments: &str, end: impl FnOnce(&Ending)) -> Result<Written, ProfileFailure> {
    let script = Script::new(&format!("{trap}\necho > \"$1\"\nwhile :; do sleep 0.01; done"));
    let begun = script.directory.join("begun");
    assert!(Command::new("mkfifo").arg(&begun).status().unwrap().success());
    let mut task = script.task(&format!("'{}', {arguments}", begun.display()), ", grace: 2m");
    task.length = Duration::from_secs(3_600);
    let ending = Ending::default();
    let running = {
        let ending = ending.clone();
        std::thread::spawn(move || perform(&task, &ending))
    };
    // Comes back when the script has written to it.
    std::fs::read(&begun).unwrap();
    end(&ending);
    running.join().unwrap()
}

#[test]
fn a_command_is_killed_at_once_when_its_run_is_cancelled() {
    let outcome = ended("trap '' INT", "", |ending| ending.stop.cancel());
    assert_eq!(outcome.unwrap_err().outcome(), ProfileOutcome::Stopped);
}

#[test]
fn a_command_whose_load_is_over_early_is_interrupted_and_its_output_is_kept() {
    for arguments in ["", "'{seconds}'"] {
        let found =
            ended("trap 'echo main 1 > profile.folded; exit 0' INT", arguments, |ending| ending.finish.cancel());
        assert_eq!(found.unwrap().output, b"main 1\n");
    }
}
