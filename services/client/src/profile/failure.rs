//! Why a profile was not collected.

use std::io;
use std::time::Duration;

use nuncius_schemas::flow::ByteSize;
use nuncius_schemas::profile::ProfileOutcome;

/// Why a profile was not collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileFailure {
    #[error("this node does not allow `{program}`: it allows {allowed} (--allow-profile)")]
    Forbidden { program: String, allowed: String },
    #[error("there is no program `{program}` on this node")]
    Absent { program: String },
    #[error("no process of this node is called `{name}`")]
    NoProcess { name: String },
    #[error("this node runs {limit} profiles already, the most at once")]
    Busy { limit: usize },
    #[error("a directory for its output cannot be made: {0}")]
    Place(io::Error),
    #[error("`{program}` cannot be started: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("it ended with {how}{}", last_words(.tail))]
    Failed { how: String, exit_code: Option<i32>, tail: String },
    #[error("it did not end within {grace:?} of being interrupted, and was killed{}", last_words(.tail))]
    Unended { grace: Duration, tail: String },
    #[error("its processes are still there {0:?} after they were killed: they are stuck in the kernel")]
    Stuck(Duration),
    #[error("it was stopped before it was done")]
    Stopped,
    #[error("it wrote no file `{name}`{}", last_words(.tail))]
    NoOutput { name: String, tail: String },
    #[error("its file `{name}` is empty{}", last_words(.tail))]
    Empty { name: String, tail: String },
    #[error("its file `{name}` cannot be read: {source}")]
    Unreadable { name: String, source: io::Error },
    #[error("its file `{name}` is larger than {limit} (at_most)")]
    TooLarge { name: String, limit: ByteSize },
    #[error("it said more than {limit} on its standard output and error")]
    TooLoud { limit: ByteSize },
    #[error("the bus did not take its output: {0}")]
    NotStored(String),
    #[error("it ended in this node's own program: see its log")]
    Program,
}

/// The end of what a command said, where it said anything.
fn last_words(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("; it said: {tail}") }
}

impl ProfileFailure {
    /// What the report says.
    pub(crate) const fn outcome(&self) -> ProfileOutcome {
        match self {
            Self::Forbidden { .. } => ProfileOutcome::Forbidden,
            Self::Absent { .. } => ProfileOutcome::Absent,
            Self::NoProcess { .. } => ProfileOutcome::NoProcess,
            Self::Busy { .. } => ProfileOutcome::Busy,
            Self::Place(_) | Self::NotStarted { .. } => ProfileOutcome::NotStarted,
            Self::Failed { .. } | Self::Program => ProfileOutcome::Failed,
            Self::Unended { .. } | Self::Stuck(_) => ProfileOutcome::Unended,
            Self::Stopped => ProfileOutcome::Stopped,
            Self::NoOutput { .. } | Self::Empty { .. } | Self::Unreadable { .. } => ProfileOutcome::NoOutput,
            Self::TooLarge { .. } | Self::TooLoud { .. } => ProfileOutcome::TooLarge,
            Self::NotStored(_) => ProfileOutcome::NotStored,
        }
    }

    /// The exit code of the command, where it has one.
    pub(crate) const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Failed { exit_code, .. } => *exit_code,
            Self::NoOutput { .. } | Self::Empty { .. } | Self::Unreadable { .. } => Some(0),
            Self::Forbidden { .. }
            | Self::Absent { .. }
            | Self::NoProcess { .. }
            | Self::Busy { .. }
            | Self::Place(_)
            | Self::NotStarted { .. }
            | Self::Unended { .. }
            | Self::Stuck(_)
            | Self::Stopped
            | Self::TooLarge { .. }
            | Self::TooLoud { .. }
            | Self::NotStored(_)
            | Self::Program => None,
        }
    }
}
