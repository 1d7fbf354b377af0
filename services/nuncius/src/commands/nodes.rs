//! `nuncius nodes`.

use anyhow::Result;
use nuncius_schemas::codec;
use nuncius_schemas::node::NodeInfo;

use crate::args::{Global, NodesArgs};
use crate::connect;

/// Who is there.
pub(super) async fn nodes(global: &Global, args: NodesArgs) -> Result<u8> {
    let bus = connect::existing(global, "nuncius-nodes").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let entries = bus.kv(&bus.namespace().bucket_node()).await?.entries(">").await?;
    let mut nodes: Vec<NodeInfo> = entries.iter().filter_map(|entry| codec::decode(&entry.value).ok()).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        super::print(&serde_json::to_string_pretty(&nodes)?);
        return Ok(0);
    }
    super::print(&format!(
        "{:<20} {:<12} {:<10} {:<16} {:<20} LABELS",
        "NAME", "ROLE", "VERSION", "HOST", "EXPERIMENT"
    ));
    for node in nodes {
        let labels: Vec<String> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        super::print(&format!(
            "{:<20} {:<12} {:<10} {:<16} {:<20} {}",
            node.name,
            node.role.name(),
            node.version,
            node.host,
            node.experiment.as_deref().unwrap_or("-"),
            if labels.is_empty() { "-".to_owned() } else { labels.join(",") },
        ));
    }
    Ok(0)
}
