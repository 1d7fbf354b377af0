//! One iteration under way: what it is, and how its exchanges are opened and ended.

use nuncius_clock::{monotonic_ns, unix_ms};
use nuncius_schemas::metric::FailureKind;

use super::shared::Shared;
use super::user::User;
use crate::failure::Failure;
use crate::in_flight::{ExchangeId, InFlight, Iteration, Outcome};
use crate::program::Program;
use crate::program::machine::Facts;

/// Why an iteration ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Failed {
        kind: FailureKind,
        status: u16,
        step: u16,
    },
    /// The generator had not what it takes to go on.
    Unmade,
    /// There is nothing for it to do.
    Skipped,
}

impl Stop {
    pub(super) fn of(failure: &Failure, step: u16) -> Self {
        match failure {
            Failure::Failed(kind, _) => Self::Failed { kind: *kind, status: 0, step },
            Failure::Unmade(_) => Self::Unmade,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Failed { kind, status, step } => Outcome::Failed { kind, status, step },
            Self::Unmade => Outcome::Unmade,
            Self::Skipped => Outcome::Skipped,
        }
    }
}

/// When what comes next is planned: at the end of what came before and of the pause after it. `None` until the first
/// step, which counts from the planned instant of the iteration.
pub(super) type Ready = Option<u64>;

/// One iteration under way.
pub(super) struct Session<'s> {
    pub(super) shared: &'s Shared,
    pub(super) program: &'s Program,
    pub(super) iteration: Iteration,
    pub(super) user: User,
    /// Number of the user in the run.
    pub(super) user_number: u64,
    /// Which host of each target it goes to.
    pub(super) position: u64,
}

impl<'s> Session<'s> {
    pub(super) fn in_flight(&self) -> &'s InFlight {
        &self.shared.in_flight
    }

    /// Runs `with` with what is known of the iteration.
    pub(super) fn with_facts<T>(&self, with: impl FnOnce(&Facts<'_>) -> T) -> T {
        let environment = |name: &str| self.program.environment(name);
        with(&Facts {
            key: self.program.key,
            iteration: self.iteration.index,
            user: self.user_number,
            now_unix_ms: unix_ms,
            environment: &environment,
        })
    }

    /// Planned instant of the iteration; in the closed model when it was begun.
    pub(super) fn planned_ns(&self) -> u64 {
        self.in_flight().start_of(self.iteration).map_or_else(monotonic_ns, |start| start.planned_ns)
    }

    /// Opens an exchange of a step.
    pub(super) fn open(&self, step: u16, ready: Ready) -> ExchangeId {
        match ready {
            None => self.in_flight().first(self.iteration, step),
            Some(planned_ns) => self.in_flight().later(self.iteration, step, planned_ns),
        }
    }

    /// Opens an exchange of a step whose request is written at once, or as soon as the node's cap on the rate lets it
    /// through; and when that is.
    pub(super) async fn begin(&self, step: u16, ready: Ready) -> (ExchangeId, u64) {
        let asks_leave = self.user.has_sent.replace(true);
        let (exchange, sent_ns) = self.in_flight().dispatch((self.iteration, step), ready, asks_leave);
        match sent_ns {
            Some(sent_ns) => (exchange, sent_ns),
            None => {
                self.in_flight().permit(exchange).await;
                (exchange, self.in_flight().sent(exchange))
            }
        }
    }

    /// Waits for the node's cap on the rate, unless this is the very first request, which was let through with the
    /// iteration.
    pub(super) async fn permit(&self, exchange: ExchangeId) {
        if self.user.has_sent.replace(true) {
            self.in_flight().permit(exchange).await;
        }
    }

    /// A step fails before anything of it was sent.
    pub(super) fn fail_at(&self, step: u16, ready: Ready, failure: Failure) -> Stop {
        let exchange = self.open(step, ready);
        self.end(exchange, step, failure, monotonic_ns())
    }

    /// An exchange ends without an answer, and the iteration with it.
    pub(super) fn end(&self, exchange: ExchangeId, step: u16, failure: Failure, now_ns: u64) -> Stop {
        let stop = Stop::of(&failure, step);
        self.in_flight().ended(exchange, failure, now_ns);
        stop
    }

    /// An exchange was answered and has failed, and the iteration with it.
    pub(super) fn refuse(
        &self,
        exchange: ExchangeId,
        step: u16,
        (status, now_ns): (u16, u64),
        failure: Failure,
    ) -> Stop {
        match failure {
            Failure::Failed(kind, text) => {
                self.in_flight().failed(exchange, kind, status, now_ns, || text);
                Stop::Failed { kind, status, step }
            }
            Failure::Unmade(_) => self.end(exchange, step, failure, now_ns),
        }
    }
}
