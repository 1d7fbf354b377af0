//! `nuncius resource`: asks the emulators of resources on many nodes at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_control::resources::{Answer, ask_all};
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::node::resources::resource_nodes;
use nuncius_schemas::resource::{Amount, ResourceKind, ResourceRequest};
use nuncius_schemas::spec::NodeSelection;

use crate::args::{Global, ResourceCommand, ResourceNodes, ResourceSetArgs};
use crate::connect;
use crate::exit::{EXIT_FAILED, Usage};
use crate::output::{print_json, print_table};

/// `nuncius resource`: 0 when every node did what it was asked.
pub(super) async fn resource(global: &Global, command: ResourceCommand) -> Result<u8> {
    let bus = connect::existing(global, "nuncius-resource").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let is_set = matches!(command, ResourceCommand::Set(_));
    let (nodes, requests) = match command {
        ResourceCommand::Set(args) => (args.nodes.clone(), wanted(&args)),
        ResourceCommand::Release(nodes) => {
            let nothing = ResourceRequest { amount: Some(Amount::Plain(0)), ..ResourceRequest::default() };
            (nodes, ResourceKind::ALL.map(|kind| (kind, nothing.clone())).to_vec())
        }
        ResourceCommand::Ls(nodes) => {
            (nodes, ResourceKind::ALL.map(|kind| (kind, ResourceRequest::default())).to_vec())
        }
    };
    let mut answers =
        ask_all(&bus, &select(&bus, &nodes, global.wait.to_std()).await?, &requests, nodes.token.as_deref()).await;
    // Of what a node does not consume there is nothing to release, and nothing to show.
    answers.retain(|answer| is_set || answer.is_offered);
    if global.json {
        let all: Vec<serde_json::Value> = answers
            .iter()
            .map(|answer| match &answer.state {
                Ok(state) => serde_json::json!({ "node": answer.node, "state": state }),
                Err(error) => serde_json::json!({ "node": answer.node, "kind": answer.kind, "error": error }),
            })
            .collect();
        print_json(&all)?;
    } else {
        let rows: Vec<Vec<String>> = answers.iter().map(row).collect();
        let head = ["node", "kind", "phase", "wanted", "actual", "limit", "ends in", "problem"];
        print_table(&head, &rows, &[1, 2, 7], "nothing is consumed there");
    }
    Ok(if answers.iter().any(|answer| answer.state.is_err()) { EXIT_FAILED } else { 0 })
}

fn wanted(args: &ResourceSetArgs) -> Vec<(ResourceKind, ResourceRequest)> {
    let common = ResourceRequest { ttl: args.ttl, ramp: args.ramp, ..ResourceRequest::default() };
    let disk =
        ResourceRequest { write_rate: args.write_rate, read_rate: args.read_rate, sync: args.sync, ..common.clone() };
    [
        (ResourceKind::Memory, args.memory, &common),
        (ResourceKind::Disk, args.disk, &disk),
        (ResourceKind::Cpu, args.cpu, &common),
    ]
    .into_iter()
    .filter_map(|(kind, amount, request)| Some((kind, ResourceRequest { amount: Some(amount?), ..request.clone() })))
    .collect()
}

/// The nodes that are meant.
async fn select(bus: &Bus, nodes: &ResourceNodes, wait: Duration) -> Result<Vec<NodeInfo>> {
    let mut labels = BTreeMap::new();
    for label in &nodes.labels {
        let (name, value) =
            label.split_once('=').ok_or_else(|| Usage(format!("--nodes {label}: write a label as name=value")))?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    let selection = NodeSelection { count: None, labels, names: nodes.names.clone() };
    let deadline = Instant::now() + wait;
    let bucket = bus.kv(&bus.namespace().bucket_node()).await?;
    bucket.decoded::<NodeInfo>(">").await?.warn();
    loop {
        let decoded = bucket.decoded::<NodeInfo>(">").await?;
        let present: Vec<NodeInfo> = decoded.entries.into_iter().map(|entry| entry.value).collect();
        let matching = resource_nodes(&present, &selection).map_err(|error| Usage(format!("--names: {error}")))?;
        if !matching.is_empty() {
            return Ok(matching.into_iter().cloned().collect());
        }
        if Instant::now() >= deadline {
            bail!("no emulator of resources matches; start one with `nuncius emulator resource`");
        }
        tokio::time::sleep(connect::LOOK_AGAIN).await;
    }
}

fn row(answer: &Answer) -> Vec<String> {
    let plain = |text: &str| text.escape_debug().to_string();
    let mut cells = vec![answer.node.clone(), answer.kind.name().to_owned()];
    match &answer.state {
        Ok(state) => {
            let level = |bytes: Option<u64>, percent: Option<f64>| match (bytes, percent) {
                (Some(bytes), _) => nuncius_report::format::bytes(bytes),
                (None, Some(percent)) => format!("{percent:.0}%"),
                (None, None) => "-".to_owned(),
            };
            cells.push(state.phase.name().to_owned());
            cells.push(level(state.wanted_bytes, state.wanted_percent));
            cells.push(level(state.actual_bytes, state.measured_percent));
            cells.push(level(state.limit_bytes, state.limit_percent));
            let left = state.ends_at_unix_ms.map(|end| end.saturating_sub(nuncius_clock::unix_ms()) / 1000);
            cells.push(left.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s")));
            cells.push(state.error.as_deref().map_or_else(|| "-".to_owned(), plain));
        }
        Err(error) => {
            cells.extend(std::iter::repeat_n("-".to_owned(), 5));
            cells.push(plain(error));
        }
    }
    cells
}
