//! What is said of a field that does not make sense, and how far a specification has come when it is looked at.

use crate::variable::has_variables;

/// A field that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SpecError {
    /// Path of the field: `groups[0].rate`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// How far a specification has come: what a variable stands for is known only on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it was written: a text with variables can be anything.
    Written,
    /// Its variables are filled in.
    FilledIn,
}

impl Reading {
    /// Whether it is known what this text says.
    pub(crate) fn knows(self, text: &str) -> bool {
        match self {
            Self::Written => !has_variables(text),
            Self::FilledIn => true,
        }
    }
}

/// Refuses a field.
pub(crate) fn refuse<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError { field: field.into(), problem: problem.into() })
}

/// Refuses more entries than may be.
pub(crate) fn at_most(field: &str, count: usize, limit: usize) -> Result<(), SpecError> {
    if count > limit { refuse(field, format!("{count} entries, at most {limit} are taken")) } else { Ok(()) }
}
