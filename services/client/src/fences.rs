//! Fencing: of the daemons that have held a run, the node obeys the latest it has heard of, and nobody before it.

use std::collections::VecDeque;

/// Experiments whose token is remembered; a node works for one at a time, so that the others are those before it.
const REMEMBERED_MAX: usize = 1_024;

/// The highest token of each experiment that was heard of lately.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    held: VecDeque<(String, u64)>,
}

impl Fences {
    /// Lets a command through that is of the latest daemon, or of a later one.
    ///
    /// # Errors
    /// The token of the daemon that has replaced it.
    pub(crate) fn pass(&mut self, experiment: &str, token: u64) -> Result<(), u64> {
        let known = self.held.iter().position(|(known, _)| known == experiment);
        let held = known.and_then(|known| self.held.remove(known)).map_or(0, |(_, held)| held);
        if self.held.len() >= REMEMBERED_MAX {
            self.held.pop_front();
        }
        self.held.push_back((experiment.to_owned(), token.max(held)));
        if token < held { Err(held) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_was_replaced_is_refused_from_then_on_and_each_experiment_has_its_own() {
        let mut fences = Fences::default();
        for (experiment, token, wanted) in [
            ("a", 5, Ok(())),
            ("a", 5, Ok(())),
            ("b", 3, Ok(())),
            ("a", 4, Err(5)),
            ("a", 9, Ok(())),
            ("a", 5, Err(9)),
            ("b", 3, Ok(())),
        ] {
            assert_eq!(fences.pass(experiment, token), wanted, "{experiment} {token}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_is_kept() {
        let mut fences = Fences::default();
        assert_eq!(fences.pass("kept", 7), Ok(()));
        for number in 0..5_000 {
            assert_eq!(fences.pass(&format!("e{number}"), 1), Ok(()));
            assert_eq!(fences.pass("kept", 6), Err(7));
        }
        assert_eq!(fences.held.len(), REMEMBERED_MAX);
    }
}
