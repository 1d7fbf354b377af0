//! Pressure on nodes while the load runs: what an experiment asks of the emulators of resources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::node::{NodeInfo, Role};
use crate::resource::{Amount, ResourceKind};
use crate::spec::{NodeSelection, SpecError};
use crate::units::HumanDuration;

/// Most stress steps in an experiment.
pub const STRESS_MAX: usize = 64;
/// The label, and its value, by which emulators of resources are known.
pub const RESOURCE_LABEL: (&str, &str) = ("emulated", "resource");

/// One time of pressure. It ends by itself after `for`, even where the daemon is gone, and with the run at the latest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressStep {
    /// Which emulators of resources; all when absent.
    #[serde(default)]
    pub nodes: NodeSelection,
    /// When it begins, after the start of the load.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: HumanDuration,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub duration: HumanDuration,
    /// Time in which the amounts are reached, in a straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<HumanDuration>,
    /// Memory: bytes, or percent of the limit in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
    /// Disk: bytes, or percent of the limit in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Amount>,
    /// Processor: cores, or percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Amount>,
}

fn is_zero(duration: &HumanDuration) -> bool {
    duration.0 == 0
}

impl StressStep {
    /// What is wanted of which resource.
    pub fn amounts(&self) -> impl Iterator<Item = (ResourceKind, Amount)> {
        [(ResourceKind::Memory, self.memory), (ResourceKind::Disk, self.disk), (ResourceKind::Cpu, self.cpu)]
            .into_iter()
            .filter_map(|(kind, amount)| Some((kind, amount?)))
    }
}

/// The emulators of resources among `nodes` that a selection means, by name.
///
/// # Errors
/// When `names` is no regular expression.
pub fn resource_nodes<'a>(nodes: &'a [NodeInfo], selection: &NodeSelection) -> Result<Vec<&'a NodeInfo>, regex::Error> {
    let names = selection.names.as_ref().map(|names| regex::Regex::new(&format!("^(?:{names})$"))).transpose()?;
    let is = |node: &NodeInfo, label: &str, value: &str| node.labels.get(label).is_some_and(|found| found == value);
    let most = selection.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut matching: Vec<&NodeInfo> = nodes
        .iter()
        .filter(|node| node.role == Role::Emulator && is(node, RESOURCE_LABEL.0, RESOURCE_LABEL.1))
        .filter(|node| selection.labels.iter().all(|(label, value)| is(node, label, value)))
        .filter(|node| names.as_ref().is_none_or(|names| names.is_match(&node.name)))
        .collect();
    matching.sort_by(|a, b| a.name.cmp(&b.name));
    matching.truncate(most);
    Ok(matching)
}

/// The label that tells what an emulator of resources consumes: the names of kinds with `-` between them.
pub const KINDS_LABEL: &str = "consumes";

/// Whether an emulator of resources consumes this kind. Where nothing is said it consumes all.
pub fn offers(node: &NodeInfo, kind: ResourceKind) -> bool {
    node.labels.get(KINDS_LABEL).is_none_or(|kinds| kinds.split('-').any(|name| name == kind.name()))
}

/// What is said of a kind that a node does not consume.
pub fn not_offered(kind: ResourceKind, node: &str) -> String {
    format!("{} is not offered by {node}: it was started with --only", kind.name())
}

/// Refuses steps that cannot be meant; `check_nodes` looks at a selection, and the load ends at `end_ns`.
pub(crate) fn check(
    steps: &[StressStep],
    end_ns: Option<u64>,
    check_nodes: impl Fn(&str, &NodeSelection) -> Result<(), SpecError>,
) -> Result<(), SpecError> {
    let refuse = |field: String, problem: String| Err(SpecError { field, problem });
    if steps.len() > STRESS_MAX {
        return refuse("stress".to_owned(), format!("{} entries, at most {STRESS_MAX} are taken", steps.len()));
    }
    for (index, step) in steps.iter().enumerate() {
        let path = format!("stress[{index}]");
        check_nodes(&format!("{path}.nodes"), &step.nodes)?;
        if step.duration.0 == 0 {
            return refuse(format!("{path}.for"), "0 would be no pressure".to_owned());
        }
        let longest_ns = crate::spec::validate::DURATION_MAX_NS;
        for (name, duration) in [("at", step.at), ("for", step.duration), ("ramp", step.ramp.unwrap_or_default())] {
            if duration.0 > longest_ns {
                return refuse(format!("{path}.{name}"), "longer than 30 days".to_owned());
            }
        }
        if let Some(end_ns) = end_ns.filter(|end_ns| step.at.0 >= *end_ns) {
            let problem = format!("{} is not before the end of the load, {}", step.at, HumanDuration(end_ns));
            return refuse(format!("{path}.at"), problem);
        }
        if step.amounts().next().is_none() {
            return refuse(path, "nothing is wanted: give `memory`, `disk` or `cpu`".to_owned());
        }
        for (kind, amount) in step.amounts() {
            let checked = match kind {
                ResourceKind::Cpu => amount.to_core_millipercent().map(|_| ()),
                ResourceKind::Memory | ResourceKind::Disk => amount.to_bytes(u64::MAX / 1_000).map(|_| ()),
            };
            if let Err(error) = checked {
                return refuse(format!("{path}.{}", kind.name()), error.to_string());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_that_would_begin_after_the_load_is_refused() {
        let step: StressStep = serde_json::from_str(r#"{"at": "9s", "for": "1s", "cpu": "10%"}"#).unwrap();
        let check = |end_ns| check(std::slice::from_ref(&step), end_ns, |_, _| Ok(()));
        let error = check(Some(9_000_000_000)).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.problem.as_str()),
            ("stress[0].at", "9s is not before the end of the load, 9s")
        );
        assert!(check(Some(9_000_000_001)).is_ok() && check(None).is_ok());
    }

    #[test]
    fn a_node_offers_what_its_label_says_and_all_without_one() {
        let mut node: NodeInfo = serde_json::from_value(serde_json::json!({
            "name": "r1", "role": "emulator", "labels": {}, "host": "h", "version": "0", "epoch": 1, "process_id": 1,
            "processors": 2, "capacity": null, "allowed_targets": [], "experiment": null, "started_unix_ms": 0
        }))
        .unwrap();
        assert!(offers(&node, ResourceKind::Disk));
        node.labels.insert(KINDS_LABEL.to_owned(), "memory-cpu".to_owned());
        assert!(offers(&node, ResourceKind::Cpu) && !offers(&node, ResourceKind::Disk));
    }
}
