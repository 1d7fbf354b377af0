//! Why a request ended without success, and whose fault that is: the one place where engines tell the two apart.

use std::fmt::Display;
use std::io;

use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The generator had not what it takes to make it: it is censored.
    Unmade(GeneratorFault),
    /// Anything else, with a text that never holds what the target sent: it has failed.
    Failed(FailureKind, String),
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, sample: impl Into<String>) -> Self {
        Self::Failed(kind, sample.into())
    }

    /// What an error of the system means at `what`, which would be a `kind` of the target's: a fault of the generator's
    /// own, a wait that the system ended (ETIMEDOUT), or that.
    pub(crate) fn of_error(kind: FailureKind, what: impl Display, error: &io::Error) -> Self {
        if let Some(fault) = GeneratorFault::of_error(error) {
            return Self::Unmade(fault);
        }
        let kind = if error.kind() == io::ErrorKind::TimedOut { FailureKind::Timeout } else { kind };
        Self::Failed(kind, format!("{what}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_generators_the_targets_or_a_wait_that_ended() {
        let of = |errno| Failure::of_error(FailureKind::Connect, "connect", &io::Error::from_raw_os_error(errno));
        // EMFILE, ETIMEDOUT, ECONNREFUSED.
        assert_eq!(of(24), Failure::Unmade(GeneratorFault::Descriptors));
        assert!(matches!(of(110), Failure::Failed(FailureKind::Timeout, _)));
        assert!(matches!(of(111), Failure::Failed(FailureKind::Connect, text) if text.starts_with("connect: ")));
    }
}
