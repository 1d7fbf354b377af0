//! `nodeinfo.csv`: what Galileo tells of nodes, a row for each key of each.

use std::path::{Path, PathBuf};

use nuncius_schemas::report::{MachineReport, NodeReport};
use nuncius_schemas::telemetry::MachineDescription;
use serde_json::json;

use super::super::table::{Table, optional};
use crate::error::StoreError;

/// Writes it for the nodes that took part, and for the machines beside them that were sampled. Each has all keys; what
/// is not known is empty.
pub(super) fn node_file(
    id: &str,
    nodes: &[NodeReport],
    machines: &[MachineReport],
    directory: &Path,
) -> Result<PathBuf, StoreError> {
    let mut table = Table::create(directory, "nodeinfo.csv", &["EXP_ID", "NODE", "INFO_KEY", "INFO_VALUE"])?;
    let mut rows = |name: &str, own: [(&str, String); 4], machine: Option<&MachineDescription>| {
        own.into_iter().chain(keys(machine)).try_for_each(|(key, value)| table.row(&[id, name, key, &value]))
    };
    for node in nodes {
        let own = [
            ("labels", json!(node.labels).to_string()),
            ("allocatable", "{}".to_owned()),
            ("host", node.host.clone()),
            ("version", node.version.clone()),
        ];
        rows(&node.name, own, machine_of(node, machines))?;
    }
    for MachineReport { node, machine } in machines {
        if nodes.iter().all(|other| other.name != *node) {
            let nothing = || "{}".to_owned();
            let host = machine.host.clone();
            let own = [("labels", nothing()), ("allocatable", nothing()), ("host", host), ("version", String::new())];
            rows(node, own, Some(machine))?;
        }
    }
    table.finish()
}

/// The machine of a node: the one that has its host's name. Of several machines of one name, the one that is called as
/// the node is.
fn machine_of<'a>(node: &NodeReport, machines: &'a [MachineReport]) -> Option<&'a MachineDescription> {
    let of_host = || machines.iter().filter(|of| of.machine.host == node.host);
    let is_one = of_host().zip(of_host().skip(1)).all(|(one, next)| one.machine.machine == next.machine.machine);
    of_host().find(|of| is_one || of.node == node.name).map(|of| &of.machine)
}

/// What telemd tells of a machine, under its keys and in its units: kibibytes, seconds, names with spaces between them.
fn keys(machine: Option<&MachineDescription>) -> [(&'static str, String); 11] {
    let text = |part: fn(&MachineDescription) -> String| machine.map(part).unwrap_or_default();
    let number = |part: fn(&MachineDescription) -> u64| optional(machine.map(part).filter(|number| *number > 0));
    [
        ("arch", text(|machine| machine.architecture.clone())),
        ("cpus", number(|machine| u64::from(machine.processors))),
        ("ram", number(|machine| machine.memory_bytes / 1_024)),
        ("boot", number(|machine| machine.booted_unix_ms / 1_000)),
        ("disk", text(|machine| machine.disks.join(" "))),
        ("net", text(|machine| machine.interfaces.join(" "))),
        ("netspeed", String::new()),
        ("hostname", text(|machine| machine.host.clone())),
        ("kernel", text(|machine| machine.kernel.clone())),
        ("processor", text(|machine| machine.processor.clone().unwrap_or_default())),
        ("gpu", text(|machine| machine.gpus.join(", "))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(node: &str, host: &str, machine: &str) -> MachineReport {
        let described =
            MachineDescription { host: host.to_owned(), machine: machine.to_owned(), ..MachineDescription::default() };
        MachineReport { node: node.to_owned(), machine: described }
    }

    #[test]
    fn a_node_has_the_machine_of_its_host_unless_two_have_that_name() {
        let node: NodeReport = serde_json::from_value(json!({
            "name": "n1", "host": "h", "version": "0", "labels": {}, "clock_offset_ns": null, "clock_error_ns": null,
            "clock_drift_ns": null, "shards": 0, "offered": 0, "lag_p99_ns": null, "run_delay_share": 0.0,
            "throttled_ns": 0, "resident_bytes_max": 0, "deltas": 0, "lost": null
        }))
        .unwrap();
        let found = |machines: &[MachineReport]| machine_of(&node, machines).map(|machine| machine.machine.clone());
        assert_eq!(found(&[machine("x", "g", "1"), machine("h", "h", "2")]).as_deref(), Some("2"));
        assert_eq!(found(&[machine("h", "h", "2"), machine("other", "h", "2")]).as_deref(), Some("2"));
        assert_eq!(found(&[machine("h", "h", "2"), machine("h-2", "h", "3")]), None);
        assert_eq!(found(&[machine("h", "h", "2"), machine("n1", "h", "3")]).as_deref(), Some("3"));
        assert_eq!(found(&[]), None);
    }
}
