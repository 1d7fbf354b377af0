//! What a program is made of.

use nuncius_scenario::json_template::JsonTemplate;
use nuncius_scenario::template::Template;
use nuncius_scenario::think::Think;

/// Where in a program something stands.
pub(crate) type Pc = u16;

/// Most instructions of a program.
pub(crate) const INSTRUCTIONS_MAX: usize = u16::MAX as usize;

/// One instruction.
#[derive(Debug)]
pub(crate) enum Instruction {
    /// Does an action and waits for its end.
    Do(u16),
    /// Calls a function of the script.
    Call(u16),
    /// Pauses.
    Think(Think),
    /// Sets variables, by slot. All values are worked out before the first is set.
    Set(Box<[(u16, JsonTemplate)]>),
    /// Goes on elsewhere.
    Jump(Pc),
    /// Goes on elsewhere unless something holds.
    JumpUnless(Test, Pc),
    /// These steps of the table were passed over.
    Skip(Box<[u16]>),
    /// A loop begins, by its number in the program.
    Begin(u16, Rounds),
    /// Another round of a loop, or on to its exit.
    Round {
        /// Number of the loop.
        number: u16,
        /// Slot of the item, of a loop over a list.
        item: Option<u16>,
        /// What must hold for another round.
        condition: Option<Template>,
        at_most: u32,
        exit: Pc,
    },
    /// Branches that are run at once, at most so many at a time, and where they meet.
    Fork { branches: Box<[Pc]>, at_most: u16, join: Pc },
    /// Writes a line into the log of the node.
    Log(Template),
    /// The end of a branch.
    Join,
    /// The end of the iteration.
    End,
}

/// What a jump depends on.
#[derive(Debug)]
pub(crate) enum Test {
    /// A condition.
    Holds(Template),
    /// Chance: it happens in this share of the passes.
    Happens(f64),
}

/// How often a loop goes round.
#[derive(Debug)]
pub(crate) enum Rounds {
    Count(u32),
    /// As many as a template says.
    CountOf(Template),
    /// Once for each item of a list.
    Over(JsonTemplate),
    /// For as long as the condition of its round holds.
    While,
}

/// Where an instruction comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The step that what happens here is counted at: its own, or the one that is measured next.
    pub(crate) step: u16,
    /// Path of the step in the specification, below that of its group.
    pub(crate) path: Box<str>,
}
