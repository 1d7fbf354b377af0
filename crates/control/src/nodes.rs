//! Who is there.

use nuncius_bus::Bus;
use nuncius_schemas::node::NodeInfo;

use crate::ControlError;

/// Everybody in the registry, by name; entries that cannot be read are logged.
///
/// # Errors
/// The bus.
pub async fn list(bus: &Bus) -> Result<Vec<NodeInfo>, ControlError> {
    let bucket = bus.kv(&bus.namespace().bucket_node()).await?;
    let mut nodes: Vec<NodeInfo> = bucket.decoded(">").await?.into_values();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}
