//! One directory of CSV files (RFC 4180) for an experiment.

use std::path::{Path, PathBuf};

use nuncius_schemas::report::Report;

use super::table::{Table, optional};
use super::{epoch_seconds, unix_seconds};
use crate::error::StoreError;
use crate::numbers::hexadecimal;
use crate::read::StoredExperiment;
use crate::store::Store;

/// Writes `experiment.csv`, `seconds.csv`, `nodes.csv`, `events.csv`, `quantiles.csv`, `requests.csv` and
/// `telemetry.csv` into `directory`, which is made when it is not there; returns the files.
///
/// Absent values are empty fields, names and times have the units of the store (`_ns`, `_unix_ms`). `requests.csv` also
/// has `created`, `sent` and `done` as seconds since the Unix epoch, of the planned instant, the sending and the end.
/// `telemetry.csv` has Galileo's columns, and the unit.
///
/// # Errors
/// When the experiment is not there, the store cannot be read, or a file cannot be written.
pub async fn csv(store: &Store, id: &str, directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let experiment = store.experiment(id).await?;
    std::fs::create_dir_all(directory)
        .map_err(|source| StoreError::Export { path: directory.to_path_buf(), source })?;
    let mut files = vec![experiment_file(directory, &experiment)?];
    files.push(seconds_file(store, id, directory).await?);
    files.push(nodes_file(store, id, directory).await?);
    files.push(events_file(store, id, directory).await?);
    files.push(quantiles_file(directory, store.report(id).await?.as_ref())?);
    files.push(requests_file(store, &experiment, directory).await?);
    files.push(telemetry_file(store, id, directory).await?);
    Ok(files)
}

fn experiment_file(directory: &Path, experiment: &StoredExperiment) -> Result<PathBuf, StoreError> {
    let heading = [
        "id",
        "stream_sequence",
        "name",
        "creator",
        "status",
        "verdict",
        "reason",
        "submitted_unix_ms",
        "started_unix_ms",
        "ended_unix_ms",
        "trace_id",
    ];
    let mut table = Table::create(directory, "experiment.csv", &heading)?;
    table.row(&[
        experiment.id.clone(),
        experiment.stream_sequence.to_string(),
        experiment.name.clone(),
        optional(experiment.creator.as_ref()),
        experiment.status.name().to_owned(),
        optional(experiment.verdict.map(|verdict| verdict.name())),
        optional(experiment.reason.as_ref()),
        experiment.submitted_unix_ms.to_string(),
        optional(experiment.started_unix_ms),
        optional(experiment.ended_unix_ms),
        optional(experiment.trace_id.as_ref()),
    ])?;
    table.finish()
}

async fn seconds_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    let heading = [
        "second",
        "late",
        "group",
        "step",
        "is_iteration",
        "length_ns",
        "offered_ns",
        "nodes",
        "scheduled",
        "offered",
        "sent",
        "succeeded",
        "failed",
        "censored",
        "in_flight",
        "retried",
        "bytes_sent",
        "bytes_received",
        "response_p50_ns",
        "response_p95_ns",
        "response_p99_ns",
        "response_max_ns",
        "service_p50_ns",
        "service_p95_ns",
        "service_p99_ns",
        "service_max_ns",
        "blocked_p99_ns",
        "lag_p99_ns",
        "statuses",
        "failures",
    ];
    let mut table = Table::create(directory, "seconds.csv", &heading)?;
    store
        .for_each_second(id, |row| {
            table.row(&[
                row.second.to_string(),
                row.late.to_string(),
                row.group_name,
                row.step_name,
                row.is_iteration.to_string(),
                row.length_ns.to_string(),
                row.offered_ns.to_string(),
                row.nodes.to_string(),
                optional(row.scheduled),
                row.offered.to_string(),
                row.sent.to_string(),
                row.succeeded.to_string(),
                row.failed.to_string(),
                row.censored.to_string(),
                row.in_flight.to_string(),
                row.retried.to_string(),
                row.bytes_sent.to_string(),
                row.bytes_received.to_string(),
                optional(row.response_p50_ns),
                optional(row.response_p95_ns),
                optional(row.response_p99_ns),
                optional(row.response_max_ns),
                optional(row.service_p50_ns),
                optional(row.service_p95_ns),
                optional(row.service_p99_ns),
                optional(row.service_max_ns),
                optional(row.blocked_p99_ns),
                optional(row.lag_p99_ns),
                row.statuses,
                row.failures,
            ])
        })
        .await?;
    table.finish()
}

async fn nodes_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    let heading = [
        "name",
        "host",
        "version",
        "labels",
        "clock_offset_ns",
        "clock_error_ns",
        "clock_drift_ns",
        "shards",
        "offered",
        "lag_p99_ns",
        "run_delay_share",
        "throttled_ns",
        "resident_bytes_max",
        "deltas",
        "lost",
    ];
    let mut table = Table::create(directory, "nodes.csv", &heading)?;
    for node in store.nodes(id).await? {
        let labels: Vec<String> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        table.row(&[
            node.name,
            node.host,
            node.version,
            labels.join(" "),
            optional(node.clock_offset_ns),
            optional(node.clock_error_ns),
            optional(node.clock_drift_ns),
            node.shards.to_string(),
            node.offered.to_string(),
            optional(node.lag_p99_ns),
            node.run_delay_share.to_string(),
            node.throttled_ns.to_string(),
            node.resident_bytes_max.to_string(),
            node.deltas.to_string(),
            optional(node.lost),
        ])?;
    }
    table.finish()
}

async fn events_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    let heading = ["at_unix_ms", "kind", "message", "status", "verdict", "data"];
    let mut table = Table::create(directory, "events.csv", &heading)?;
    for event in store.events(id).await? {
        table.row(&[
            event.at_unix_ms.to_string(),
            event.kind.name().to_owned(),
            event.message,
            optional(event.status.map(|status| status.name())),
            optional(event.verdict.map(|verdict| verdict.name())),
            serde_json::Value::from_iter(event.data).to_string(),
        ])?;
    }
    table.finish()
}

fn quantiles_file(directory: &Path, report: Option<&Report>) -> Result<PathBuf, StoreError> {
    let heading = [
        "group", "step", "quantity", "count", "censored", "overflow", "min_ns", "mean_ns", "max_ns", "quantile",
        "value_ns", "at_least", "lower_ns", "upper_ns",
    ];
    let mut table = Table::create(directory, "quantiles.csv", &heading)?;
    for group in report.iter().flat_map(|report| &report.groups) {
        for step in &group.steps {
            for (quantity, summary) in &step.quantities {
                for quantile in &summary.quantiles {
                    table.row(&[
                        group.name.clone(),
                        step.name.clone(),
                        quantity.name().to_owned(),
                        summary.count.to_string(),
                        summary.censored.to_string(),
                        summary.overflow.to_string(),
                        summary.min_ns.to_string(),
                        summary.mean_ns.to_string(),
                        summary.max_ns.to_string(),
                        quantile.quantile.to_string(),
                        quantile.value_ns.to_string(),
                        quantile.at_least.to_string(),
                        optional(quantile.lower_ns),
                        optional(quantile.upper_ns),
                    ])?;
                }
            }
        }
    }
    table.finish()
}

async fn requests_file(store: &Store, experiment: &StoredExperiment, directory: &Path) -> Result<PathBuf, StoreError> {
    let heading = [
        "node",
        "group",
        "step",
        "index",
        "planned_ns",
        "sent_ns",
        "done_ns",
        "status",
        "outcome",
        "span_id",
        "host",
        "created",
        "sent",
        "done",
    ];
    let mut table = Table::create(directory, "requests.csv", &heading)?;
    let seconds = |run_ns: Option<i64>| {
        optional(experiment.started_unix_ms.zip(run_ns).map(|(started, run_ns)| epoch_seconds(started, run_ns)))
    };
    store
        .for_each_request(&experiment.id, |row| {
            table.row(&[
                row.node,
                row.group_name,
                row.step_name,
                row.idx.to_string(),
                row.planned_ns.to_string(),
                optional(row.sent_ns),
                optional(row.done_ns),
                optional(row.status),
                row.outcome,
                optional(row.span_id.map(hexadecimal)),
                optional(row.host),
                seconds(Some(row.planned_ns)),
                seconds(row.sent_ns),
                seconds(row.done_ns),
            ])
        })
        .await?;
    table.finish()
}

/// Figures of machines, with the columns that Galileo's table has, and their unit.
async fn telemetry_file(store: &Store, id: &str, directory: &Path) -> Result<PathBuf, StoreError> {
    let heading = ["EXP_ID", "TIMESTAMP", "METRIC", "SUBSYSTEM", "NODE", "VALUE", "UNIT"];
    let mut table = Table::create(directory, "telemetry.csv", &heading)?;
    store
        .for_each_telemetry(id, |row| {
            table.row(&[
                id.to_owned(),
                unix_seconds(row.at_unix_ns),
                row.metric,
                row.subsystem,
                row.node,
                row.value.to_string(),
                row.unit,
            ])
        })
        .await?;
    table.finish()
}
