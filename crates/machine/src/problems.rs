//! What could not be read, each told once.

use std::collections::BTreeSet;

/// Most different ones that are told.
const TOLD_MAX: usize = 32;
/// Longest text of one, in characters.
const TEXT_MAX: usize = 240;

/// What was told, and what is new.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    known: BTreeSet<String>,
    fresh: Vec<String>,
}

impl Problems {
    /// Tells it, unless one of this kind was told already.
    pub(crate) fn tell(&mut self, kind: &str, text: impl FnOnce() -> String) {
        if self.known.contains(kind) || self.known.len() > TOLD_MAX {
            return;
        }
        let text = if self.known.len() == TOLD_MAX {
            format!("{TOLD_MAX} problems are told, the limit: others are not")
        } else {
            text().chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        self.known.insert(kind.to_owned());
        tracing::warn!("{text}");
        self.fresh.push(text);
    }

    /// Those that are new since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_once_and_no_more_than_a_few() {
        let mut problems = Problems::default();
        for round in 0..3 {
            for kind in 0..100 {
                problems.tell(&kind.to_string(), || format!("{kind}\u{7} in round {round}"));
            }
        }
        let told = problems.take_fresh();
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert_eq!(told[0], "0  in round 0");
        assert!(told[TOLD_MAX].contains("the limit"));
        assert!(problems.take_fresh().is_empty());
    }
}
