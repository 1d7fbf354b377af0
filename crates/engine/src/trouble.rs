//! Why a request has no answer, and whose fault that is: the one place where engines tell the two apart.

use std::fmt::Display;
use std::io;

use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The generator had not what it takes to make it: it is censored.
    Generator(GeneratorFault),
    /// Anything else, with a text that never holds what the target sent: it has failed.
    Target(FailureKind, String),
}

impl Trouble {
    pub(crate) fn target(kind: FailureKind, sample: impl Into<String>) -> Self {
        Self::Target(kind, sample.into())
    }

    /// What an error of the system means at `what`, which would be a `kind` of the target's: a fault of the generator's
    /// own, a wait that the system ended (ETIMEDOUT), or that.
    pub(crate) fn of_error(kind: FailureKind, what: impl Display, error: &io::Error) -> Self {
        if let Some(fault) = GeneratorFault::of_error(error) {
            return Self::Generator(fault);
        }
        let kind = if error.kind() == io::ErrorKind::TimedOut { FailureKind::Timeout } else { kind };
        Self::Target(kind, format!("{what}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_generators_the_targets_or_a_wait_that_ended() {
        let of = |errno| Trouble::of_error(FailureKind::Connect, "connect", &io::Error::from_raw_os_error(errno));
        // EMFILE, ETIMEDOUT, ECONNREFUSED.
        assert_eq!(of(24), Trouble::Generator(GeneratorFault::Descriptors));
        assert!(matches!(of(110), Trouble::Target(FailureKind::Timeout, _)));
        assert!(matches!(of(111), Trouble::Target(FailureKind::Connect, text) if text.starts_with("connect: ")));
    }
}
