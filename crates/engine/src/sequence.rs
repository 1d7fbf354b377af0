//! Iterations that take the same steps in the same order: what comes after a step is known before the start.

use nuncius_schemas::metric::{FailureKind, FailureLatency};

/// The order of the steps.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// What follows each step; steps that are no part of an iteration follow none.
    follow: Box<[Option<u16>]>,
}

impl Sequence {
    /// Of iterations that take the steps of `path`, out of so many.
    pub(crate) fn new(path: &[u16], steps: usize) -> Self {
        let mut follow = vec![None; steps];
        for (from, to) in path.iter().zip(path.iter().skip(1)) {
            if let Some(next) = follow.get_mut(usize::from(*from)) {
                *next = Some(*to);
            }
        }
        Self { follow: follow.into() }
    }

    /// The step after `step`; `None` after the last.
    #[inline]
    pub(crate) fn after(&self, step: u16) -> Option<u16> {
        self.follow.get(usize::from(step)).copied().flatten()
    }
}

/// What is said of a whole iteration that failed at this step.
pub(crate) fn failed_at(step: u16) -> String {
    format!("at step {}", usize::from(step) + 1)
}

/// Whether a user whose iteration has failed so need not pause for that.
pub(crate) fn was_answered(kind: FailureKind) -> bool {
    kind.latency() != FailureLatency::Short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_are_no_part_of_an_iteration_follow_none_and_are_followed_by_none() {
        let sequence = Sequence::new(&[0, 2, 3], 5);
        let path: Vec<u16> = std::iter::successors(Some(0), |step| sequence.after(*step)).collect();
        assert_eq!(path, [0, 2, 3]);
        assert_eq!((sequence.after(1), sequence.after(4), sequence.after(9)), (None, None, None));
    }
}
