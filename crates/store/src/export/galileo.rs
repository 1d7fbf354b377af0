//! One directory of CSV files for an experiment, as notebooks of Galileo read it (`LocalGateway` of galileo-jupyter).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::report::NodeReport;
use nuncius_schemas::target::Target;
use serde_json::{Map, Value, json};

use super::table::{Table, optional};
use super::{epoch_seconds, unix_seconds};
use crate::error::StoreError;
use crate::read::StoredExperiment;
use crate::rows::RequestRow;
use crate::store::Store;

mod nodes;

/// Columns of a trace as it was told.
const RAW: [&str; 11] =
    ["request_id", "client", "service", "created", "sent", "done", "status", "server", "exp_id", "headers", "response"];
/// And those that Galileo makes of them.
const DERIVED: [&str; 8] = ["rtt", "final_server", "origin_zone", "origin_cluster", "latency", "exec", "start", "end"];

/// Writes `experiment.csv`, `nodeinfo.csv`, `events.csv`, `telemetry.csv`, `traces.csv` and `raw_traces.csv` into
/// `directory`, which is made when it is not there; returns the files. Times are seconds since the Unix epoch.
///
/// # Errors
/// When the experiment is not there, the store cannot be read, or a file cannot be written.
pub async fn galileo(store: &Store, id: &str, directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let experiment = store.experiment(id).await?;
    std::fs::create_dir_all(directory)
        .map_err(|source| StoreError::Export { path: directory.to_path_buf(), source })?;
    let nodes = store.nodes(id).await?;
    let mut files = vec![experiment_file(store, &experiment, directory).await?];
    let machines = store.report(id).await?.map(|report| report.machines).unwrap_or_default();
    files.push(nodes::node_file(id, &nodes, &machines, directory)?);
    files.push(event_file(store, id, directory).await?);
    files.push(telemetry_file(store, id, directory).await?);
    files.extend(trace_files(store, &experiment, &nodes, directory).await?);
    Ok(files)
}

/// Milliseconds as seconds, exactly.
fn seconds(unix_ms: Option<u64>) -> String {
    optional(unix_ms.map(|unix_ms| format!("{}.{:03}", unix_ms / 1_000, unix_ms % 1_000)))
}

async fn experiment_file(
    store: &Store,
    experiment: &StoredExperiment,
    directory: &Path,
) -> Result<PathBuf, StoreError> {
    let heading = ["EXP_ID", "NAME", "CREATOR", "START", "END", "CREATED", "STATUS", "metadata"];
    let mut table = Table::create(directory, "experiment.csv", &heading)?;
    let spec = store.spec(&experiment.id).await?;
    // The user's own are where readers look for them; what Nuncius knows beside them has a name of its own.
    let mut metadata: Map<String, Value> =
        spec.iter().flat_map(|spec| spec.metadata.clone()).map(|(name, value)| (name, value.into())).collect();
    let known = json!({
        "verdict": experiment.verdict.map(|verdict| verdict.name()),
        "reason": experiment.reason,
        "spec": spec,
    });
    metadata.insert("nuncius".to_owned(), known);
    table.row(&[
        experiment.id.clone(),
        experiment.name.clone(),
        optional(experiment.creator.as_ref()),
        seconds(experiment.started_unix_ms),
        seconds(experiment.ended_unix_ms),
        seconds(Some(experiment.submitted_unix_ms)),
        experiment.status.name().to_ascii_uppercase(),
        Value::Object(metadata).to_string(),
    ])?;
    table.finish()
}

async fn event_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    // The first column numbers the rows, and has no name.
    let mut table = Table::create(directory, "events.csv", &["", "ts", "name", "exp_id", "value"])?;
    for (index, event) in store.events(id).await?.into_iter().enumerate() {
        let at = seconds(Some(event.at_unix_ms));
        let (name, value) = named(event);
        table.row(&[index.to_string(), at, name, id.to_owned(), value])?;
    }
    table.finish()
}

/// Name and value of an event. Those of a mark are its own: readers look for `pod/running`, not for our kinds.
fn named(event: ExperimentEvent) -> (String, String) {
    let mark = event.data.get("name").filter(|_| event.kind == EventKind::User);
    match mark {
        Some(name) => (name.clone(), optional(event.data.get("value"))),
        None => {
            let name = event.kind.name().to_owned();
            (name, if event.data.is_empty() { event.message } else { json!(event).to_string() })
        }
    }
}

async fn telemetry_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    // The instant is there twice: the reader takes the first for its index, and looks for the second.
    let heading = ["ts", "exp_id", "metric", "subsystem", "node", "value", "ts"];
    let mut table = Table::create(directory, "telemetry.csv", &heading)?;
    store
        .for_each_telemetry(id, |row| {
            let at = unix_seconds(row.at_unix_ns);
            let value = row.value.to_string();
            table.row(&[at.clone(), id.to_owned(), row.metric, row.subsystem, row.node, value, at])
        })
        .await?;
    table.finish()
}

/// What a trace has of its group and its node.
struct Origin<'a> {
    experiment: &'a StoredExperiment,
    /// Host and port of each group's target; of a service there are several, and each request says to which it went.
    servers: BTreeMap<String, String>,
    /// Zone and cluster of each node.
    places: BTreeMap<&'a str, (&'a str, &'a str)>,
}

async fn trace_files(
    store: &Store,
    experiment: &StoredExperiment,
    nodes: &[NodeReport],
    directory: &Path,
) -> Result<[PathBuf; 2], StoreError> {
    let spec = store.spec(&experiment.id).await?;
    let server = |target: &str| {
        // A service is no host.
        Target::parse(target)?.host().ok().filter(|host| host.only_service().is_none())?;
        let url = url::Url::parse(target).ok()?;
        let host = url.host_str()?.to_owned();
        Some(url.port_or_known_default().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    };
    let servers = spec
        .iter()
        .flat_map(|spec| &spec.groups)
        .map(|group| (group.name.clone(), server(&group.target).unwrap_or_default()))
        .collect();
    let label = |node: &'_ NodeReport, name: &str| node.labels.get(name).map_or("", String::as_str).to_owned();
    let labels: Vec<(String, String)> =
        nodes.iter().map(|node| (label(node, "zone"), label(node, "cluster"))).collect();
    let places = nodes
        .iter()
        .zip(&labels)
        .map(|(node, (zone, cluster))| (node.name.as_str(), (zone.as_str(), cluster.as_str())))
        .collect();
    let origin = Origin { experiment, servers, places };
    let mut raw = Table::create(directory, "raw_traces.csv", &RAW)?;
    let derived: Vec<&str> = RAW.into_iter().chain(DERIVED).collect();
    let mut traces = Table::create(directory, "traces.csv", &derived)?;
    store
        .for_each_request(&experiment.id, |row| {
            let mut fields = origin.raw(&row);
            raw.row(&fields)?;
            fields.extend(origin.derived(&row));
            traces.row(&fields)
        })
        .await?;
    Ok([traces.finish()?, raw.finish()?])
}

impl Origin<'_> {
    fn server(&self, row: &RequestRow) -> String {
        row.host.as_ref().or_else(|| self.servers.get(&row.group_name)).cloned().unwrap_or_default()
    }

    fn raw(&self, row: &RequestRow) -> Vec<String> {
        let started = self.experiment.started_unix_ms.unwrap_or(0);
        // Galileo has -1 where something did not happen.
        let at = |run_ns: Option<i64>| run_ns.map_or_else(|| "-1".to_owned(), |run_ns| epoch_seconds(started, run_ns));
        vec![
            format!("{}:{}:{}:{}", row.node, row.group_name, row.idx, row.step_name),
            format!("{}:{}:0", row.node, row.group_name),
            row.group_name.clone(),
            at(Some(row.planned_ns)),
            at(row.sent_ns),
            at(row.done_ns),
            row.status.unwrap_or(-1).to_string(),
            self.server(row),
            self.experiment.id.clone(),
            "{}".to_owned(),
            String::new(),
        ]
    }

    fn derived(&self, row: &RequestRow) -> [String; 8] {
        let rtt = row.sent_ns.zip(row.done_ns).map(|(sent, done)| epoch_seconds(0, done.saturating_sub(sent)));
        let (zone, cluster) = self.places.get(row.node.as_str()).copied().unwrap_or_default();
        let nothing = String::new;
        [
            optional(rtt),
            self.server(row),
            zone.to_owned(),
            cluster.to_owned(),
            // The server's own account of a request is not kept.
            nothing(),
            nothing(),
            nothing(),
            nothing(),
        ]
    }
}
