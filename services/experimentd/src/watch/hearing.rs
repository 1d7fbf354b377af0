//! When nodes were last heard of. Pure.

use std::collections::BTreeMap;

/// Signs of life of the nodes of a run; all instants are on our CLOCK_MONOTONIC, in nanoseconds.
#[derive(Debug)]
pub(super) struct Hearing {
    heard_ns: BTreeMap<String, u64>,
    /// The last sign of anybody.
    last_ns: u64,
    /// Since when there has been no gap in them.
    since_ns: u64,
    /// No sign of anybody for longer than this is no silence of theirs: the bus stood still, or we did.
    silence_ns: u64,
}

impl Hearing {
    /// Of nodes that have been heard of just now.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a String>, now_ns: u64, silence_ns: u64) -> Self {
        let heard_ns = names.map(|name| (name.clone(), now_ns)).collect();
        Self { heard_ns, last_ns: now_ns, since_ns: 0, silence_ns }
    }

    /// A node has given a sign of life.
    pub(super) fn heard(&mut self, node: &str, now_ns: u64) {
        let Some(heard_ns) = self.heard_ns.get_mut(node) else { return };
        *heard_ns = now_ns;
        if now_ns.saturating_sub(self.last_ns) > self.silence_ns {
            self.since_ns = now_ns;
        }
        self.last_ns = self.last_ns.max(now_ns);
    }

    /// How long a node has said nothing.
    pub(super) fn silent_ns(&self, node: &str, now_ns: u64) -> u64 {
        self.heard_ns.get(node).map_or(0, |heard_ns| now_ns.saturating_sub(*heard_ns))
    }

    /// For how long nodes could have been heard without a break, as far as those who spoke tell.
    pub(super) fn could_hear_ns(&self, now_ns: u64) -> u64 {
        match now_ns.saturating_sub(self.last_ns) > self.silence_ns {
            true => 0,
            false => now_ns.saturating_sub(self.since_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn silence_of_everybody_is_nobodys_own() {
        let names = ["a".to_owned(), "b".to_owned()];
        let mut hearing = Hearing::new(names.iter(), 100 * S, 2 * S);
        for second in 101..104 {
            hearing.heard("a", second * S);
        }
        // One falls silent, the other speaks.
        assert_eq!((hearing.silent_ns("b", 103 * S), hearing.silent_ns("a", 103 * S)), (3 * S, 0));
        assert!(hearing.could_hear_ns(103 * S) > 60 * S);
        // The bus stands still.
        assert_eq!(hearing.could_hear_ns(106 * S), 0);
        // It goes on, and whoever speaks first is not the only one who lives.
        hearing.heard("a", 107 * S);
        assert_eq!(hearing.could_hear_ns(107 * S), 0);
        hearing.heard("a", 108 * S);
        assert_eq!(hearing.could_hear_ns(108 * S), S);
        assert_eq!(hearing.silent_ns("b", 108 * S), 8 * S);
        hearing.heard("stranger", 200 * S);
        assert_eq!(hearing.silent_ns("stranger", 300 * S), 0);
    }
}
