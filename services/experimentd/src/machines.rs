//! What the machines of a run are, for its report.

use std::collections::BTreeMap;

use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::report::{MACHINES_MAX, MachineReport};
use nuncius_schemas::telemetry::MachineDescription;

/// What is known of each machine: of those that were sampled what they say themselves, of others what a node that took
/// part says of its host.
pub(crate) fn described(
    sampled: BTreeMap<String, MachineDescription>,
    nodes: impl Iterator<Item = NodeInfo>,
) -> Vec<MachineReport> {
    let mut all: Vec<MachineReport> =
        sampled.into_iter().map(|(node, machine)| MachineReport { node, machine }).take(MACHINES_MAX).collect();
    for NodeInfo { name, host, processors, memory_bytes, .. } in nodes {
        if all.len() >= MACHINES_MAX {
            break;
        }
        if all.iter().all(|known| known.machine.host != host) {
            let machine = MachineDescription { host, processors, memory_bytes, ..MachineDescription::default() };
            all.push(MachineReport { node: name, machine });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, host: &str) -> NodeInfo {
        serde_json::from_value(serde_json::json!({
            "name": name, "role": "client", "labels": {}, "host": host, "version": "0", "epoch": 1, "process_id": 1,
            "processors": 2, "memory_bytes": 3, "capacity": null, "allowed_targets": [], "experiment": null,
            "started_unix_ms": 0
        }))
        .unwrap()
    }

    #[test]
    fn each_machine_is_described_once_by_whoever_knows_most_of_it() {
        let sampled = MachineDescription { host: "a".to_owned(), processors: 8, ..MachineDescription::default() };
        let nodes = [node("n1", "a"), node("n2", "b"), node("n3", "b")];
        let all = described(BTreeMap::from([("edge".to_owned(), sampled)]), nodes.into_iter());
        let told: Vec<_> =
            all.iter().map(|of| (of.node.as_str(), of.machine.host.as_str(), of.machine.processors)).collect();
        assert_eq!(told, [("edge", "a", 8), ("n2", "b", 2)]);
        let many = (0..2_000).map(|number| node("n", &number.to_string()));
        assert_eq!(described(BTreeMap::new(), many).len(), MACHINES_MAX);
    }
}
