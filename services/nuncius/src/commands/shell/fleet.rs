//! The nodes that host clients.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use nuncius_bus::Bus;
use nuncius_bus::clock::measure_offset;
use nuncius_clock::monotonic_ns;
use nuncius_control::nodes;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_shell::Value;

/// How long a node may take to answer a ping, as in Galileo.
const PING_PATIENCE: Duration = Duration::from_secs(2);

async fn clients(bus: &Bus) -> Result<Vec<NodeInfo>> {
    let all = nodes::list(bus).await?;
    Ok(all.into_iter().filter(|node| node.role == Role::Client).collect())
}

/// Their names, as the registry has them at this moment.
pub(super) async fn workers(bus: &Bus) -> Result<Vec<String>> {
    Ok(clients(bus).await?.into_iter().map(|node| node.name).collect())
}

/// The names of those that answer.
pub(super) async fn ping(bus: &Bus) -> Result<Vec<String>> {
    let asked = workers(bus).await?.into_iter().map(async |name| {
        let subject = bus.namespace().node_ping(&name);
        let answer = measure_offset(bus, &subject, 1, monotonic_ns, PING_PATIENCE).await;
        answer.is_ok().then_some(name)
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}

/// What they say of themselves.
pub(super) async fn infos(bus: &Bus) -> Result<Vec<Value>> {
    Ok(clients(bus).await?.into_iter().map(info).collect())
}

fn info(node: NodeInfo) -> Value {
    let NodeInfo { name, labels, host, version, processors, memory_bytes, experiment, .. } = node;
    let labels = labels.into_iter().map(|(label, value)| (Value::Text(label), Value::Text(value))).collect();
    let pairs = [
        ("name", Value::Text(name)),
        ("host", Value::Text(host)),
        ("version", Value::Text(version)),
        ("labels", Value::Dict(labels)),
        ("processors", Value::Integer(processors.into())),
        ("memory_bytes", Value::Integer(i64::try_from(memory_bytes).unwrap_or(i64::MAX))),
        ("experiment", experiment.map_or(Value::None, Value::Text)),
    ];
    Value::Dict(pairs.into_iter().map(|(key, value)| (Value::Text(key.to_owned()), value)).collect())
}
