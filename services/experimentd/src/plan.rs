//! Who does what: nodes for each group and shards for each node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_load::assign;
use nuncius_schemas::node::{GroupAssignment, NodeInfo, Role};
use nuncius_schemas::run::RunNode;
use nuncius_schemas::spec::{ExperimentSpec, NodeSelection};
use nuncius_schemas::variable::has_variables;

pub(crate) mod moving;

/// What a plan could not be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// No node could ever take part as things are.
    #[error("{field}: {problem}")]
    NoNodes {
        /// Path of the selection.
        field: String,
        /// What was asked and who is there.
        problem: String,
    },
    /// Enough nodes match, but they work for other experiments: wait.
    #[error("waiting for nodes: {problem}")]
    Busy {
        /// How many are wanted and how many are free.
        problem: String,
        /// The free nodes that it needs when the others come free: nobody who came later shall have them.
        kept: BTreeSet<String>,
    },
    /// More nodes than shards.
    #[error("{field}: {problem}")]
    Shards {
        /// Path of the group.
        field: String,
        /// What was wrong.
        problem: String,
    },
    /// A service name that nobody knows.
    #[error(
        "{field}: service `{service}` is neither in `services` nor in the routing table; add it with `nuncius route set {service} HOST:PORT`"
    )]
    UnknownService {
        /// Path of the target.
        field: String,
        /// The name.
        service: String,
    },
}

/// A plan: everybody's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Who takes part, with the incarnation that was planned with.
    pub(crate) nodes: Vec<RunNode>,
    /// Shares by node.
    pub(crate) assignments: BTreeMap<String, Vec<GroupAssignment>>,
    /// How many nodes each group runs on.
    pub(crate) nodes_per_group: Vec<u32>,
}

/// What each node would do, were the experiment started on these nodes and all of them free.
///
/// # Errors
/// The field of the selection that nobody matches, and who is there.
pub fn placement(spec: &ExperimentSpec, nodes: &[NodeInfo]) -> Result<BTreeMap<String, Vec<GroupAssignment>>, String> {
    let nodes: Vec<&NodeInfo> = nodes.iter().collect();
    plan(spec, &nodes, &|_| true, &BTreeSet::new()).map(|plan| plan.assignments).map_err(|error| error.to_string())
}

/// Chooses nodes and splits the shards. Nodes that are not free work for somebody else or are kept for it; `excluded`
/// are nodes that did not answer when this experiment was planned before.
pub(crate) fn plan(
    spec: &ExperimentSpec,
    nodes: &[&NodeInfo],
    is_free: &dyn Fn(&NodeInfo) -> bool,
    excluded: &BTreeSet<String>,
) -> Result<Plan, PlanError> {
    let mut groups = Vec::with_capacity(spec.groups.len());
    let mut busy = None;
    for (index, group) in spec.groups.iter().enumerate() {
        let (field, selection) = match &group.nodes {
            Some(selection) => (format!("groups[{index}].nodes"), selection),
            None => ("nodes".to_owned(), &spec.nodes),
        };
        let choice = select(&field, selection, nodes, is_free, excluded)?;
        if let Some(problem) = choice.busy {
            busy.get_or_insert(problem);
        }
        groups.push(choice.nodes);
    }
    if let Some(problem) = busy {
        let kept = groups.into_iter().flatten().map(|node| node.name.clone()).collect();
        return Err(PlanError::Busy { problem, kept });
    }
    share(groups)
}

/// Splits the shards of each group over its nodes.
fn share(groups: Vec<Vec<&NodeInfo>>) -> Result<Plan, PlanError> {
    let mut assignments: BTreeMap<String, Vec<GroupAssignment>> = BTreeMap::new();
    let mut nodes_per_group = Vec::new();
    let mut taking_part: BTreeMap<String, u64> = BTreeMap::new();
    for (index, chosen) in groups.into_iter().enumerate() {
        let weights: Vec<u32> =
            chosen.iter().map(|node| node.capacity.as_ref().map_or(1, |capacity| capacity.weight.max(1))).collect();
        let assigned = assign(&weights)
            .map_err(|error| PlanError::Shards { field: format!("groups[{index}]"), problem: error.to_string() })?;
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        nodes_per_group.push(count);
        for (node, owned) in chosen.iter().zip(assigned.owned) {
            taking_part.insert(node.name.clone(), node.epoch);
            assignments.entry(node.name.clone()).or_default().push(GroupAssignment {
                group: u16::try_from(index).unwrap_or(u16::MAX),
                shards: assigned.shards,
                owned,
                nodes: count,
            });
        }
    }
    let nodes = taking_part.into_iter().map(|(name, epoch)| RunNode { name, epoch }).collect();
    Ok(Plan { nodes, assignments, nodes_per_group })
}

/// What a selection comes to: the nodes it takes, or those that it can have of them and what is missing.
struct Choice<'a> {
    nodes: Vec<&'a NodeInfo>,
    busy: Option<String>,
}

fn select<'a>(
    field: &str,
    selection: &NodeSelection,
    nodes: &[&'a NodeInfo],
    is_free: &dyn Fn(&NodeInfo) -> bool,
    excluded: &BTreeSet<String>,
) -> Result<Choice<'a>, PlanError> {
    let clients: Vec<&NodeInfo> = nodes.iter().copied().filter(|node| node.role == Role::Client).collect();
    if clients.is_empty() {
        return refuse(field, "no client node is there; start one with `nuncius client`".to_owned());
    }
    for (label, value) in &selection.labels {
        if !clients.iter().any(|node| node.labels.get(label) == Some(value)) {
            let there: BTreeSet<&String> = clients.iter().filter_map(|node| node.labels.get(label)).collect();
            let there: Vec<String> = there.into_iter().take(8).map(|v| format!("{label}={v}")).collect();
            let there = if there.is_empty() { format!("no node has a label `{label}`") } else { there.join(", ") };
            return refuse(&format!("{field}.labels"), format!("nobody has {label}={value} ({there})"));
        }
    }
    let names = match &selection.names {
        Some(pattern) => match regex::Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Some(regex),
            Err(error) => return refuse(&format!("{field}.names"), error.to_string()),
        },
        None => None,
    };
    let matching: Vec<&NodeInfo> = clients
        .into_iter()
        .filter(|node| selection.labels.iter().all(|(label, value)| node.labels.get(label) == Some(value)))
        .filter(|node| names.as_ref().is_none_or(|regex| regex.is_match(&node.name)))
        .filter(|node| !excluded.contains(&node.name))
        .collect();
    if matching.is_empty() {
        return refuse(field, "no client node matches".to_owned());
    }
    let wanted = match selection.count {
        Some(count) if (count as usize) > matching.len() => {
            return refuse(&format!("{field}.count"), format!("{count} nodes wanted, {} match", matching.len()));
        }
        Some(count) => count as usize,
        None => matching.len(),
    };
    let free: Vec<&NodeInfo> = matching.iter().copied().filter(|node| is_free(node)).take(wanted).collect();
    let busy = (free.len() < wanted).then(|| format!("{wanted} wanted, {} of {} free", free.len(), matching.len()));
    Ok(Choice { nodes: free, busy })
}

fn refuse<'a>(field: &str, problem: String) -> Result<Choice<'a>, PlanError> {
    Err(PlanError::NoNodes { field: field.to_owned(), problem })
}

/// The service name a target's host is, if it is one: neither an address nor a host name with a port or a dot.
pub(crate) fn service_of(target: &str) -> Option<&str> {
    // Queues, and servos that speak NATS, are reached over the bus.
    if target.starts_with("queue://") || target.starts_with("nats://") {
        return None;
    }
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    // What a variable stands for is known only on the node.
    let direct =
        has_variables(target) || host.is_empty() || host.contains(':') || host.contains('.') || host == "localhost";
    (!direct).then_some(host)
}

/// The service names of a specification that `services` does not resolve, with the field that uses them.
pub fn unresolved_services(spec: &ExperimentSpec) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    spec.groups
        .iter()
        .enumerate()
        .filter_map(|(index, group)| Some((index, service_of(&group.target)?)))
        .filter(|(_, service)| !spec.services.contains_key(*service) && seen.insert((*service).to_owned()))
        .map(|(index, service)| (format!("groups[{index}].target"), service.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncius_load::ShardSet;
    use nuncius_schemas::node::Capacity;

    fn node(name: &str, zone: &str) -> NodeInfo {
        NodeInfo {
            name: name.into(),
            role: Role::Client,
            labels: [("zone".to_owned(), zone.to_owned())].into(),
            host: "h".into(),
            version: "0".into(),
            epoch: 7,
            process_id: 1,
            processors: 2,
            memory_bytes: 0,
            capacity: Some(Capacity { weight: 1, max_rate_per_second: 1, max_in_flight: 1, max_duration_seconds: 1 }),
            allowed_targets: vec![],
            experiment: None,
            worker: None,
            started_unix_ms: 0,
            round_trip_ns: 0,
        }
    }

    fn spec(nodes: &str) -> ExperimentSpec {
        let text =
            format!(r#"{{"nodes":{nodes},"groups":[{{"target":"http://shop/","rate":"1/s","duration":"1s"}}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn planned(selection: &str, nodes: &[NodeInfo], busy: &[&str]) -> Result<Plan, PlanError> {
        let nodes: Vec<&NodeInfo> = nodes.iter().collect();
        plan(&spec(selection), &nodes, &|node| !busy.contains(&node.name.as_str()), &BTreeSet::new())
    }

    #[test]
    fn every_shard_has_exactly_one_node() {
        for (count, shards) in [(17, 256), (300, 2_048)] {
            let nodes: Vec<NodeInfo> = (0..count).map(|i| node(&format!("n{i}"), "a")).collect();
            let plan = planned("{}", &nodes, &[]).unwrap();
            let mut seen = vec![0u32; shards];
            for assignments in plan.assignments.values() {
                assert_eq!(assignments[0].shards as usize, shards);
                for shard in ShardSet::of_assignment(&assignments[0]).unwrap().iter() {
                    seen[shard as usize] += 1;
                }
            }
            assert!(seen.iter().all(|count| *count == 1));
        }
    }

    #[test]
    fn the_plan_of_ten_thousand_nodes_is_small_and_so_is_each_share() {
        let nodes: Vec<NodeInfo> = (0..10_000).map(|i| node(&format!("client-{i}"), "a")).collect();
        let plan = planned("{}", &nodes, &[]).unwrap();
        let whole = nuncius_schemas::codec::encode(&plan.assignments).unwrap();
        assert!(whole.len() < 1 << 20, "{} bytes", whole.len());
        let one = plan.assignments.values().map(|share| nuncius_schemas::codec::encode(share).unwrap().len()).max();
        assert!(one < Some(100), "{one:?} bytes");
    }

    #[test]
    fn a_label_nobody_has_is_named() {
        let error = planned(r#"{"labels":{"zone":"mars"}}"#, &[node("n", "earth")], &[]).unwrap_err().to_string();
        assert!(error.contains("nodes.labels") && error.contains("zone=mars") && error.contains("earth"), "{error}");
    }

    #[test]
    fn busy_nodes_are_waited_for_and_missing_ones_are_not() {
        let nodes = [node("a", "x"), node("b", "x")];
        let Err(PlanError::Busy { problem, kept }) = planned("{}", &nodes, &["a"]) else { panic!("it has its nodes") };
        assert_eq!((problem.as_str(), kept), ("2 wanted, 1 of 2 free", ["b".to_owned()].into()));
        let one = planned(r#"{"count":1}"#, &nodes, &["a"]).unwrap();
        assert_eq!(one.nodes[0].name, "b");
        let three = planned(r#"{"count":3}"#, &nodes, &["a"]).unwrap_err().to_string();
        assert!(three.contains("nodes.count"), "{three}");
    }

    #[test]
    fn service_names_are_told_from_addresses() {
        assert_eq!(service_of("http://shop/x"), Some("shop"));
        assert_eq!(service_of("amqp://guest:guest@broker/%2f"), Some("broker"));
        for direct in [
            "http://127.0.0.1:80/",
            "http://shop:80/",
            "http://a.b/",
            "http://localhost/",
            "http://[::1]/",
            "http://${A:-b}/",
        ] {
            assert_eq!(service_of(direct), None, "{direct}");
        }
    }
}
