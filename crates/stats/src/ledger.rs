//! Which deltas were merged, so that a repeated, late or reordered one changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most sequences a member may be ahead of its first hole.
pub const AHEAD_MAX: u64 = 4_096;

/// Most parts of one sequence.
pub const PARTS_MAX: u32 = 64;

/// Most members, that is incarnations of nodes.
pub const MEMBERS_MAX: usize = 1 << 19;

/// Which start of which incarnation of a node: a process that takes part in an experiment twice, because that was
/// planned anew, counts its sequences anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Random number of the process.
    pub epoch: u64,
    /// Attempt of the experiment, from 1.
    pub attempt: u32,
}

/// Whether a delta is to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Merge it; it is remembered.
    New,
    /// It was merged before.
    Duplicate,
    /// It is of an incarnation that does not take part.
    Stale,
}

/// Why a delta could not be entered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Sequences start at 1.
    #[error("delta with sequence 0: sequences start at 1")]
    SequenceZero,
    /// No such part.
    #[error("part {part} of {parts}: parts are counted from 0, and there are 1 to {PARTS_MAX}")]
    Part {
        /// The part.
        part: u32,
        /// How many it says there are.
        parts: u32,
    },
    /// Two parts of one sequence disagree.
    #[error("sequence {sequence} has {parts} parts in one delta and {before} in another")]
    PartsDiffer {
        /// The sequence.
        sequence: u64,
        /// What this delta says.
        parts: u32,
        /// What one before said.
        before: u32,
    },
    /// Too many sequences wait behind a hole.
    #[error(
        "sequence {sequence} is more than {AHEAD_MAX} after {complete_through}, the last complete one: send what is missing first"
    )]
    TooFarAhead {
        /// The sequence.
        sequence: u64,
        /// The last one before the first hole.
        complete_through: u64,
    },
    /// Too many members.
    #[error("more than {MEMBERS_MAX} incarnations of nodes in one experiment")]
    TooManyMembers,
}

/// Sequences of one member that are missing or incomplete though later ones came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The node.
    pub node: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The first sequence that is not complete.
    pub from: u64,
    /// The last one of the hole.
    pub through: u64,
}

/// One member's state, for checkpoints: totals without it could not tell a repeated delta from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The node.
    pub node: String,
    /// Its process.
    pub epoch: u64,
    /// Attempt of the experiment.
    pub attempt: u32,
    /// All sequences up to here are complete.
    pub complete_through: u64,
    /// Later ones of which parts have come: (sequence, parts, bits of the parts that came).
    pub ahead: Vec<(u64, u32, u64)>,
}

/// What was merged, of every incarnation of a node that takes part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<LedgerEntry>", try_from = "Vec<LedgerEntry>")]
pub struct Ledger {
    nodes: BTreeMap<String, BTreeMap<Incarnation, Member>>,
    members: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Member {
    complete_through: u64,
    ahead: BTreeMap<u64, Parts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    parts: u32,
    come: u64,
}

impl Parts {
    const fn is_complete(self) -> bool {
        self.come.count_ones() == self.parts
    }
}

impl From<Ledger> for Vec<LedgerEntry> {
    fn from(ledger: Ledger) -> Self {
        ledger.entries()
    }
}

impl TryFrom<Vec<LedgerEntry>> for Ledger {
    type Error = LedgerError;

    fn try_from(entries: Vec<LedgerEntry>) -> Result<Self, LedgerError> {
        Self::from_entries(&entries)
    }
}

impl Ledger {
    /// Without members: nothing is accepted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an incarnation of a node take part. Epochs are random and have no order, so that membership alone says
    /// which deltas count; an earlier incarnation that was a member stays one, for what it measured was measured.
    ///
    /// Errors: more than [`MEMBERS_MAX`].
    pub fn enroll(&mut self, node: &str, incarnation: Incarnation) -> Result<(), LedgerError> {
        if self.is_member(node, incarnation) {
            return Ok(());
        }
        if self.members >= MEMBERS_MAX {
            return Err(LedgerError::TooManyMembers);
        }
        self.nodes.entry(node.to_owned()).or_default().insert(incarnation, Member::default());
        self.members += 1;
        Ok(())
    }

    /// Whether this incarnation of the node takes part.
    pub fn is_member(&self, node: &str, incarnation: Incarnation) -> bool {
        self.member(node, incarnation).is_some()
    }

    fn member(&self, node: &str, incarnation: Incarnation) -> Option<&Member> {
        self.nodes.get(node)?.get(&incarnation)
    }

    /// Whether part `part` of `parts` of a sequence is to be merged, and remembers it.
    ///
    /// Errors, which change nothing: numbers that cannot be, or more than [`AHEAD_MAX`] sequences after a hole.
    pub fn accept(
        &mut self,
        node: &str,
        incarnation: Incarnation,
        sequence: u64,
        part: u32,
        parts: u32,
    ) -> Result<Accept, LedgerError> {
        let Some(member) = self.nodes.get_mut(node).and_then(|known| known.get_mut(&incarnation)) else {
            return Ok(Accept::Stale);
        };
        if sequence == 0 {
            return Err(LedgerError::SequenceZero);
        }
        if part >= parts || parts > PARTS_MAX {
            return Err(LedgerError::Part { part, parts });
        }
        if sequence <= member.complete_through {
            return Ok(Accept::Duplicate);
        }
        if sequence - member.complete_through > AHEAD_MAX {
            return Err(LedgerError::TooFarAhead { sequence, complete_through: member.complete_through });
        }
        let entry = member.ahead.entry(sequence).or_insert(Parts { parts, come: 0 });
        if entry.parts != parts {
            return Err(LedgerError::PartsDiffer { sequence, parts, before: entry.parts });
        }
        let bit = 1u64 << part;
        if entry.come & bit != 0 {
            return Ok(Accept::Duplicate);
        }
        entry.come |= bit;
        member.settle();
        Ok(Accept::New)
    }

    /// The highest n for which all sequences 1 … n are complete: what may be acknowledged. 0 for strangers.
    pub fn complete_through(&self, node: &str, incarnation: Incarnation) -> u64 {
        self.member(node, incarnation).map_or(0, |member| member.complete_through)
    }

    /// What is missing of members of which later sequences came.
    pub fn holes(&self) -> Vec<Hole> {
        let mut holes: Vec<Hole> = Vec::new();
        for (node, known) in &self.nodes {
            for (incarnation, member) in known {
                let mut from = member.complete_through + 1;
                let hole = |from, through| Hole { node: node.clone(), incarnation: *incarnation, from, through };
                for sequence in member.ahead.iter().filter(|(_, parts)| parts.is_complete()).map(|(at, _)| *at) {
                    if sequence > from {
                        holes.push(hole(from, sequence - 1));
                    }
                    from = sequence + 1;
                }
                // Parts of a sequence after the last complete one: it is a hole as well.
                if let Some(last) = member.ahead.keys().next_back().filter(|last| **last >= from) {
                    holes.push(hole(from, *last));
                }
            }
        }
        holes
    }

    /// Its state, for a checkpoint.
    pub fn entries(&self) -> Vec<LedgerEntry> {
        let entry = |node: &String, incarnation: Incarnation, member: &Member| LedgerEntry {
            node: node.clone(),
            epoch: incarnation.epoch,
            attempt: incarnation.attempt,
            complete_through: member.complete_through,
            ahead: member.ahead.iter().map(|(sequence, entry)| (*sequence, entry.parts, entry.come)).collect(),
        };
        self.nodes
            .iter()
            .flat_map(|(node, known)| known.iter().map(move |(incarnation, member)| entry(node, *incarnation, member)))
            .collect()
    }

    /// The ledger of a checkpoint.
    ///
    /// Errors: the entries are beyond the limits, or contradict themselves.
    pub fn from_entries(entries: &[LedgerEntry]) -> Result<Self, LedgerError> {
        let mut ledger = Self::new();
        for entry in entries {
            let incarnation = Incarnation { epoch: entry.epoch, attempt: entry.attempt };
            ledger.enroll(&entry.node, incarnation)?;
            if let Some(member) = ledger.nodes.get_mut(&entry.node).and_then(|known| known.get_mut(&incarnation)) {
                member.complete_through = entry.complete_through;
            }
            for (sequence, parts, come) in &entry.ahead {
                for part in (0..u64::BITS).filter(|part| come >> part & 1 == 1) {
                    ledger.accept(&entry.node, incarnation, *sequence, part, *parts)?;
                }
            }
        }
        Ok(ledger)
    }
}

impl Member {
    /// Forgets complete sequences that follow the last complete one.
    fn settle(&mut self) {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() != self.complete_through + 1 || !entry.get().is_complete() {
                break;
            }
            entry.remove();
            self.complete_through += 1;
        }
    }
}

#[cfg(test)]
mod tests;
