//! One JSON document of an experiment.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::epoch_seconds;
use crate::error::StoreError;
use crate::numbers::hexadecimal;
use crate::read::{HistogramRow, StoredExperiment};
use crate::rows::RequestRow;
use crate::seconds::SecondRow;
use crate::store::Store;
use crate::telemetry::TelemetryRow;

/// Writes everything of an experiment as one JSON object: `experiment`, `spec`, `report`, `phases`, `events`,
/// `seconds`, `nodes`, `histograms` (bytes in hexadecimal), `requests` and `telemetry`; the last two and seconds one a
/// line.
///
/// # Errors
/// When the experiment is not there, the store cannot be read, or `writer` cannot be written to.
pub async fn json<W: Write + Send>(store: &Store, id: &str, mut writer: W) -> Result<(), StoreError> {
    let experiment = store.experiment(id).await?;
    let spec = store.spec(id).await?;
    let report = store.report_json(id).await?;
    let phases: Vec<_> = store
        .phases(id)
        .await?
        .into_iter()
        .map(|phase| json!({ "status": phase.status.name(), "at_unix_ms": phase.at_unix_ms }))
        .collect();
    let histograms: Vec<_> = store.histograms(id).await?.iter().map(histogram_value).collect();
    let out = &mut writer;
    begin(out, "experiment", &experiment_value(&experiment), b"{\n")?;
    begin(out, "spec", &spec, b",\n")?;
    // The report is kept as text: it is passed on as it is.
    raw(out, ",\n\"report\": ", report.as_deref().unwrap_or("null"))?;
    begin(out, "phases", &phases, b",\n")?;
    begin(out, "events", &store.events(id).await?, b",\n")?;
    raw(out, ",\n\"seconds\": [", "")?;
    let mut first = true;
    store
        .for_each_second(id, |row| {
            raw(out, if std::mem::take(&mut first) { "\n" } else { ",\n" }, "")?;
            value(out, &second_value(row))
        })
        .await?;
    raw(out, "\n]", "")?;
    begin(out, "nodes", &store.nodes(id).await?, b",\n")?;
    begin(out, "histograms", &histograms, b",\n")?;
    raw(out, ",\n\"requests\": [", "")?;
    let mut first = true;
    store
        .for_each_request(id, |row| {
            raw(out, if std::mem::take(&mut first) { "\n" } else { ",\n" }, "")?;
            value(out, &request_value(row, experiment.started_unix_ms))
        })
        .await?;
    raw(out, "\n],\n\"telemetry\": [", "")?;
    let mut first = true;
    store
        .for_each_telemetry(id, |row| {
            raw(out, if std::mem::take(&mut first) { "\n" } else { ",\n" }, "")?;
            value(out, &telemetry_value(row))
        })
        .await?;
    raw(out, "\n]\n}\n", "")?;
    writer.flush().map_err(cannot_write)
}

fn cannot_write(source: std::io::Error) -> StoreError {
    StoreError::Export { path: PathBuf::from("-"), source }
}

fn raw<W: Write>(out: &mut W, before: &str, text: &str) -> Result<(), StoreError> {
    out.write_all(before.as_bytes()).and_then(|()| out.write_all(text.as_bytes())).map_err(cannot_write)
}

fn value<W: Write, T: Serialize>(out: &mut W, value: &T) -> Result<(), StoreError> {
    serde_json::to_writer(out, value).map_err(|error| cannot_write(error.into()))
}

/// `before`, the name of a member and its value.
fn begin<W: Write, T: Serialize>(out: &mut W, name: &str, member: &T, before: &[u8]) -> Result<(), StoreError> {
    out.write_all(before).map_err(cannot_write)?;
    write!(out, "\"{name}\": ").map_err(cannot_write)?;
    value(out, member)
}

fn experiment_value(experiment: &StoredExperiment) -> serde_json::Value {
    json!({
        "id": experiment.id,
        "stream_sequence": experiment.stream_sequence,
        "name": experiment.name,
        "creator": experiment.creator,
        "status": experiment.status.name(),
        "verdict": experiment.verdict.map(|verdict| verdict.name()),
        "reason": experiment.reason,
        "submitted_unix_ms": experiment.submitted_unix_ms,
        "started_unix_ms": experiment.started_unix_ms,
        "ended_unix_ms": experiment.ended_unix_ms,
        "trace_id": experiment.trace_id,
    })
}

fn histogram_value(histogram: &HistogramRow) -> serde_json::Value {
    let hexadecimal: String = histogram.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "group": histogram.group,
        "step": histogram.step,
        "quantity": histogram.quantity.name(),
        "bytes": hexadecimal,
    })
}

/// A row, with statuses and failures as they are rather than as text.
fn second_value(row: SecondRow) -> serde_json::Value {
    let (statuses, failures) = (parsed(&row.statuses), parsed(&row.failures));
    let mut value = json!(row);
    if let Some(map) = value.as_object_mut() {
        map.insert("statuses".to_owned(), statuses);
        map.insert("failures".to_owned(), failures);
    }
    value
}

fn parsed(text: &str) -> serde_json::Value {
    // Written by this program; a text that is none is passed on as the text it is.
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn telemetry_value(row: TelemetryRow) -> serde_json::Value {
    json!({
        "at_unix_ns": row.at_unix_ns,
        "node": row.node,
        "metric": row.metric,
        "subsystem": row.subsystem,
        "value": row.value,
        "unit": row.unit,
    })
}

fn request_value(row: RequestRow, started_unix_ms: Option<u64>) -> serde_json::Value {
    // A number: an f64 holds seconds of this century to less than a microsecond.
    let seconds = |run_ns: Option<i64>| -> Option<f64> {
        let (started, run_ns) = started_unix_ms.zip(run_ns)?;
        epoch_seconds(started, run_ns).parse().ok()
    };
    json!({
        "node": row.node,
        "group": row.group_name,
        "step": row.step_name,
        "index": row.idx,
        "planned_ns": row.planned_ns,
        "sent_ns": row.sent_ns,
        "done_ns": row.done_ns,
        "status": row.status,
        "outcome": row.outcome,
        "span_id": row.span_id.map(hexadecimal),
        "host": row.host,
        "created": seconds(Some(row.planned_ns)),
        "sent": seconds(row.sent_ns),
        "done": seconds(row.done_ns),
    })
}
