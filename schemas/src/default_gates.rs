//! What is judged where nobody says how much may fail.

use crate::gate::{Gate, GateExpression, GateMetric};
use crate::spec::{ExperimentSpec, Group};

/// What is judged where nobody says how much may fail.
pub const DEFAULT_GATE: &str = "failures < 1%";

/// The gates on failures that nobody wrote: one over all groups when none of them has any, else one for each group that
/// has none. A gate on a single step of several leaves its group unjudged.
pub fn default_gates(spec: &ExperimentSpec) -> Vec<Gate> {
    let Ok(expression) = DEFAULT_GATE.parse::<GateExpression>() else { return Vec::new() };
    let is_covered = |group: &Group| {
        spec.gates.iter().filter(|gate| gate.expression.metric == GateMetric::Failures).any(|gate| {
            let in_scope = gate.group.as_ref().is_none_or(|name| *name == group.name);
            let steps = group.step_table();
            in_scope && gate.step.as_ref().is_none_or(|step| steps.position(step) == Some(steps.iteration()))
        })
    };
    let uncovered: Vec<&str> =
        spec.groups.iter().filter(|group| !is_covered(group)).map(|group| group.name.as_str()).collect();
    let gate = |group: Option<&str>| Gate {
        expression,
        group: group.map(str::to_owned),
        step: None,
        over: None,
        abort: false,
    };
    if uncovered.len() == spec.groups.len() {
        vec![gate(None)]
    } else {
        uncovered.into_iter().map(|name| gate(Some(name))).collect()
    }
}
