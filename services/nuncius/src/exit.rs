//! Exit codes, and which error means which.

/// Exit code for a command line, or a file named on it, that makes no sense.
pub(crate) const EXIT_USAGE: u8 = 64;
/// Exit code where nats-server does not let this process do what it is for.
pub(crate) const EXIT_NOT_PERMITTED: u8 = 77;
/// Exit code for everything that went wrong without a verdict.
pub(crate) const EXIT_FAILED: u8 = 5;

/// A mistake of the person at the keyboard: exit code 64.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What an error means to whoever waits for the exit code.
pub(crate) fn exit_code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        EXIT_USAGE
    } else if error.chain().any(is_refusal) {
        EXIT_NOT_PERMITTED
    } else {
        EXIT_FAILED
    }
}

/// Whether nats-server does not permit something; errors that only pass the bus's on do not name it as their source.
fn is_refusal(cause: &(dyn std::error::Error + 'static)) -> bool {
    use nuncius_bus::{BusError, TypedError};
    use nuncius_jobs::JobError;
    let bus = cause.downcast_ref::<BusError>().or_else(|| match cause.downcast_ref::<JobError>() {
        Some(JobError::Bus(error) | JobError::Typed(TypedError::Bus(error))) => Some(error),
        _ => match cause.downcast_ref::<TypedError>() {
            Some(TypedError::Bus(error)) => Some(error),
            Some(TypedError::Codec { .. }) | None => None,
        },
    });
    matches!(bus, Some(BusError::NotPermitted { .. }))
}
