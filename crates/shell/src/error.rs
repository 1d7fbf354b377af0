//! What can be wrong with a line.

use crate::{DEPTH_MAX, LINE_MAX_BYTES};

/// Errors of this crate, in the words of whoever typed the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// A line that is too long.
    #[error("the line has {bytes} bytes, at most {LINE_MAX_BYTES} are taken")]
    Long {
        /// How many it has.
        bytes: usize,
    },
    /// Brackets in brackets in brackets.
    #[error("column {column}: nested too deep, at most {DEPTH_MAX} levels are taken")]
    Deep {
        /// Where, counted from 1.
        column: usize,
    },
    /// What is no expression.
    #[error("column {column}: {problem}")]
    Syntax {
        /// Where, counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Plain words that the verb cannot have.
    #[error("write: {0}")]
    Words(&'static str),
    /// Arguments that a call cannot have.
    #[error("{0}")]
    Arguments(String),
}
