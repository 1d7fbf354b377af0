//! The names behind the numbers of a live stream: told once, before anything else.

use nuncius_schemas::head::ExperimentHead;
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::second::{GroupSecond, StepSecond};
use nuncius_schemas::spec::Group;
use nuncius_schemas::steps::{ITERATION, StepTable};
use schemars::JsonSchema;
use serde::Serialize;

/// Names of a run. Rows of seconds are indices of `steps` and of `groups`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Definitions {
    /// The run, as it was when the stream was opened.
    pub(crate) experiment: ExperimentHead,
    /// Its groups, in the order of the specification.
    pub(crate) groups: Vec<GroupDefinition>,
    /// Everything that is counted: steps, and whole iterations of groups with several.
    pub(crate) steps: Vec<StepDefinition>,
    /// Upper edges of the rows of heat maps, in nanoseconds, rising.
    pub(crate) heat_upper_ns: Vec<u64>,
    /// What the columns are in.
    pub(crate) units: Units,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct GroupDefinition {
    /// Its name.
    pub(crate) name: String,
    /// Whether it follows a schedule.
    pub(crate) open: bool,
}

/// A step, or the whole iteration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct StepDefinition {
    /// Index of its group.
    pub(crate) group: u16,
    /// Index in the group; one past the last step for the whole iteration.
    pub(crate) step: u16,
    /// Its name.
    pub(crate) name: String,
    /// Whether iterations are counted there.
    pub(crate) iteration: bool,
}

/// What the columns are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Units {
    /// Of columns that end in `_ns`.
    ns: &'static str,
    /// Of counts.
    counts: &'static str,
    /// Of what is under way.
    in_flight: &'static str,
    /// Of times that end in `_unix_ms`.
    unix_ms: &'static str,
}

const UNITS: Units = Units {
    ns: "nanoseconds",
    counts: "in the second",
    in_flight: "at the end of the second",
    unix_ms: "milliseconds since the Unix epoch",
};

impl Definitions {
    /// What a run's record says.
    pub(crate) fn of(record: &RunRecord) -> Self {
        let mut steps = Vec::new();
        let mut groups = Vec::new();
        for (index, group) in (0u16..).zip(&record.spec.groups) {
            groups.push(GroupDefinition { name: group.name.clone(), open: group.is_open() });
            steps.extend(steps_of(index, group));
        }
        Self {
            experiment: ExperimentHead::of(record),
            groups,
            steps,
            heat_upper_ns: nuncius_stats::heat::edges_ns(),
            units: UNITS,
        }
    }

    /// The row of what is counted there; none for what the specification does not have.
    pub(crate) fn row(&self, group: &GroupSecond, step: &StepSecond) -> Option<usize> {
        self.steps.iter().position(|known| (known.group, known.step) == (group.group, step.step))
    }
}

fn steps_of(index: u16, group: &Group) -> Vec<StepDefinition> {
    let table: StepTable = group.step_table();
    let counted = table.whole().unwrap_or(0);
    let is_alone = table.whole().is_none();
    let mut steps: Vec<StepDefinition> = table
        .steps()
        .map(|(step, name)| StepDefinition { group: index, step, name: name.to_owned(), iteration: is_alone })
        .collect();
    if !is_alone {
        steps.push(StepDefinition { group: index, step: counted, name: ITERATION.to_owned(), iteration: true });
    }
    steps
}
