//! `nuncius nodes`.

use std::collections::BTreeSet;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_schemas::node::{NodeInfo, Role};

use crate::args::Global;
use crate::connect;
use crate::output::{print_json, print_table};

/// Who is there.
pub(super) async fn nodes(global: &Global) -> Result<u8> {
    let bus = connect::existing(global, "nuncius-nodes").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let nodes = nuncius_control::nodes::list(&bus).await?;
    if global.json {
        print_json(&nodes)?;
        return Ok(0);
    }
    let row = |node: NodeInfo| {
        let labels: Vec<String> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(",") };
        let experiment = node.experiment.unwrap_or_else(|| "-".to_owned());
        vec![node.name, node.role.name().to_owned(), node.version, node.host, experiment, labels]
    };
    let rows: Vec<Vec<String>> = nodes.into_iter().map(row).collect();
    let heading = ["node", "role", "version", "host", "experiment", "labels"];
    print_table(&heading, &rows, &[1, 2, 3, 4, 5], "no node is there; start some with `nuncius up`");
    Ok(0)
}

/// The roles that somebody has.
pub(super) async fn present(bus: &Bus) -> Result<BTreeSet<Role>> {
    Ok(nuncius_control::nodes::list(bus).await?.into_iter().map(|info| info.role).collect())
}
