//! Why a workload is refused, and why a job cannot be run with it.

use nuncius_schemas::job::OUTPUT_TAIL_MAX_BYTES;
use nuncius_schemas::names::NameError;

use super::files::GLOB_MATCHES_MAX;

/// Why a worker cannot start with its workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// No workload was given.
    #[error("no workload: name one after the options, `sleep`, `device NAME` or the absolute path of a program")]
    Missing,
    /// It is no known workload.
    #[error(
        "`{word}` is no workload: write `sleep`, `device NAME` or the absolute path of a program, which begins with /"
    )]
    Unknown {
        /// The first word of it.
        word: String,
    },
    /// `device` without a name.
    #[error("workload `device` needs the name of an emulated device: write `device NAME`")]
    DeviceMissing,
    /// The device's name is no token.
    #[error(transparent)]
    DeviceName(#[from] NameError),
    /// The fixed seconds are no seconds.
    #[error("the workload's seconds are `{text}`, which {reason}")]
    Seconds {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument that no process can get.
    #[error("the workload's `{text}` contains a NUL character, which no process can get: take it out")]
    Nul {
        /// The argument.
        text: String,
    },
    /// FILENAME without a pattern.
    #[error("the workload's `{text}` contains FILENAME, but there is no file: give a glob")]
    NoGlob {
        /// The argument.
        text: String,
    },
    /// The pattern is malformed.
    #[error("the glob `{pattern}` is malformed: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No file matches.
    #[error("the glob `{pattern}` matches no file on this host: check it, and that the device is visible here")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// Too many files match.
    #[error("the glob `{pattern}` matches more than {GLOB_MATCHES_MAX} files, the limit: make it narrower")]
    TooManyMatches {
        /// The pattern.
        pattern: String,
    },
    /// The absolute path of a file is not known.
    #[error("the glob `{pattern}` is relative and the current directory is not known ({reason}): make it absolute")]
    Relative {
        /// The pattern.
        pattern: String,
        /// What the system says.
        reason: String,
    },
    /// More output is to be kept than a result holds.
    #[error(
        "{bytes} bytes of output are above the limit of {OUTPUT_TAIL_MAX_BYTES} that a result keeps: capture fewer"
    )]
    Capture {
        /// How many were asked for.
        bytes: usize,
    },
}

/// Why a job cannot be run: it has failed, and would fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// FILENAME, and the worker has no file.
    #[error("argument `{argument}` contains FILENAME, but this worker has no file: start it with a glob")]
    NoFile {
        /// The argument.
        argument: String,
    },
    /// An argument that no process can get.
    #[error("argument {number} of the job contains a NUL character, which no process can get: take it out")]
    Nul {
        /// Which of the job's own, from 1.
        number: usize,
    },
    /// `sleep` without seconds.
    #[error("workload `sleep` needs seconds as the first argument: give them to the worker or to the job")]
    SecondsMissing,
    /// The seconds are no seconds.
    #[error("workload `{workload}` takes seconds as the first argument, and got `{text}`, which {reason}")]
    Seconds {
        /// The workload.
        workload: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}
