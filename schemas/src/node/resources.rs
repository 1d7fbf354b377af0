//! Nodes that consume resources: emulators of memory, disk and processors, and how they are known.

use crate::node::selected::selected;
use crate::node::{NodeInfo, Role};
use crate::resource::ResourceKind;
use crate::spec::NodeSelection;

/// The label, and its value, by which emulators of resources are known.
pub const RESOURCE_LABEL: (&str, &str) = ("emulated", "resource");
/// The label that tells what an emulator of resources consumes: the names of kinds with `-` between them.
pub const KINDS_LABEL: &str = "consumes";

/// The emulators of resources among `nodes` that a selection means, by name.
///
/// # Errors
/// When `names` is no regular expression.
pub fn resource_nodes<'a>(nodes: &'a [NodeInfo], selection: &NodeSelection) -> Result<Vec<&'a NodeInfo>, regex::Error> {
    let (label, value) = RESOURCE_LABEL;
    selected(nodes, selection, |node| {
        node.role == Role::Emulator && node.labels.get(label).is_some_and(|found| found == value)
    })
}

/// Whether an emulator of resources consumes this kind. Where nothing is said it consumes all.
pub fn offers(node: &NodeInfo, kind: ResourceKind) -> bool {
    node.labels.get(KINDS_LABEL).is_none_or(|kinds| kinds.split('-').any(|name| name == kind.name()))
}

/// What is said of a kind that a node does not consume.
pub fn not_offered(kind: ResourceKind, node: &str) -> String {
    format!("{} is not offered by {node}: it was started with --only", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

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
