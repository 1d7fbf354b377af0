//! How load is offered: by a schedule (open model) or by users (closed model).

use nuncius_load::Schedule;
use nuncius_load::amended::Basis;
use nuncius_schemas::amendment::Amendment;

/// How load is offered.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// `end_ns` is when the profile ends (run time); absent when the number of iterations ends it.
    Open {
        schedule: Box<Schedule>,
        /// What amendments change.
        basis: Basis,
        end_ns: Option<u64>,
    },
    Closed(ClosedLoad),
}

/// Users who begin when they have finished.
#[derive(Debug, Clone)]
pub(crate) struct ClosedLoad {
    pub(crate) group: String,
    pub(crate) users: u32,
    /// The most users that amendments may raise that to.
    pub(crate) users_limit: u32,
    /// Those that are known from the start.
    pub(crate) amendments: Vec<Amendment>,
    pub(crate) iterations: Option<u64>,
    pub(crate) duration_ns: Option<u64>,
    pub(crate) think_ns: u64,
    pub(crate) backoff: Backoff,
}

/// Pauses of a user whose iterations end without an answer: a target that is not there must not be hammered in a loop
/// that never sleeps. Twice as long after each further one, up to a limit; each is shortened by up to half, so that
/// users who failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first_ns: u64,
    pub(crate) max_ns: u64,
}

impl Backoff {
    /// The pause after `unanswered` of them in a row, at least 1; the same for the same user and iteration.
    pub(crate) fn pause_ns(self, unanswered: u32, user: u32, begun: u64) -> u64 {
        let doublings = unanswered.saturating_sub(1).min(63);
        let whole_ns = self.first_ns.saturating_mul(1 << doublings).min(self.max_ns);
        let mut random = fastrand::Rng::with_seed(u64::from(user) << 32 ^ begun);
        whole_ns - random.u64(0..=whole_ns / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_users_do_not_come_back_together() {
        let backoff = Backoff { first_ns: 10_000_000, max_ns: 1_000_000_000 };
        for (unanswered, whole_ns) in [(1, 10_000_000), (2, 20_000_000), (4, 80_000_000), (8, 1_000_000_000)] {
            let pauses: Vec<u64> = (0..100).map(|user| backoff.pause_ns(unanswered, user, 3)).collect();
            assert!(pauses.iter().all(|pause| (whole_ns / 2..=whole_ns).contains(pause)), "{pauses:?}");
            let distinct: std::collections::BTreeSet<&u64> = pauses.iter().collect();
            assert!(distinct.len() > 90);
        }
        assert!(backoff.pause_ns(u32::MAX, 1, u64::MAX) <= 1_000_000_000);
    }
}
