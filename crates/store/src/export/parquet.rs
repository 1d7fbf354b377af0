//! One directory of Parquet files for an experiment.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use nuncius_schemas::report::Report;
use nuncius_stats::Totals;
use nuncius_stats::buckets::{BUCKETS, highest_ns, lowest_ns};
use serde_json::value::RawValue;

use crate::columns::ColumnFile;
use crate::contents::{About, CONTENTS, Contents, FORMAT_NUMBER, Listed, format_name, listed};
use crate::error::StoreError;
use crate::numbers::{count, hexadecimal, optional_count};
use crate::read::{StoredExperiment, document};
use crate::store::Store;
use crate::tables::{
    ALWAYS, EVENTS, FileTable, GATES, HISTOGRAMS, NODES, PHASES, QUANTITIES, REPORT, REQUESTS, SAMPLES,
    SECOND_HISTOGRAMS, SECONDS, TELEMETRY, WITH_TELEMETRY,
};
use crate::telemetry::SampleFigure;
use crate::value::Value;

/// Writes the files that docs/exports.md tells of into `directory`, which is made when it is not there; returns them,
/// the one with the list of the others last. What is there of an export before goes first.
///
/// # Errors
/// When the experiment is not there, the store cannot be read, or a file cannot be written.
pub async fn parquet(store: &Store, id: &str, directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let experiment = store.experiment(id).await?;
    let report_text = store.report_json(id).await?;
    let report: Option<Report> =
        report_text.as_deref().map(document).transpose().map_err(|source| store.json("report", id, source))?;
    let about = about(store, experiment).await?;
    let text = serde_json::to_string(&about).map_err(|source| store.json("description", id, source))?;
    std::fs::create_dir_all(directory)
        .map_err(|source| StoreError::Export { path: directory.to_path_buf(), source })?;
    make_room(directory)?;
    let create = |table: &FileTable| ColumnFile::create(&directory.join(table.name), table.columns, &text);
    let mut files = vec![requests(store, id, create(&REQUESTS)?).await?];
    files.push(seconds(store, id, create(&SECONDS)?).await?);
    files.push(second_histograms(store, id, create(&SECOND_HISTOGRAMS)?).await?);
    files.push(quantities(store, id, create(&QUANTITIES)?).await?);
    files.push(histograms(store, id, create(&HISTOGRAMS)?).await?);
    files.push(events(store, id, create(&EVENTS)?).await?);
    files.push(phases(store, id, create(&PHASES)?).await?);
    files.push(nodes(store, id, create(&NODES)?).await?);
    files.push(gates(report.as_ref(), create(&GATES)?)?);
    if store.telemetry_rows(id).await? > 0 {
        let (samples, numbers) = samples(store, id, create(&SAMPLES)?).await?;
        files.push(samples);
        files.push(telemetry(store, id, &numbers, create(&TELEMETRY)?).await?);
    }
    if let Some(report) = report_text {
        files.push(write(&directory.join(REPORT), report.as_bytes())?);
    }
    files.push(contents(store, directory, about, &files)?);
    Ok(files)
}

/// Removes what an export before has left: whoever breaks off leaves no list of files that are not there, and no file
/// of another experiment.
fn make_room(directory: &Path) -> Result<(), StoreError> {
    let tables = ALWAYS.into_iter().chain(WITH_TELEMETRY).map(|table| table.name);
    for name in [CONTENTS, REPORT].into_iter().chain(tables) {
        let path = directory.join(name);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Export { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    let write = || {
        let mut file = std::fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| StoreError::Export { path: path.to_path_buf(), source })?;
    Ok(path.to_path_buf())
}

/// Writes what the directory has.
fn contents(store: &Store, directory: &Path, about: About, files: &[PathBuf]) -> Result<PathBuf, StoreError> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let listed =
        |path: &PathBuf| listed(path, &name(path)).map_err(|source| StoreError::Export { path: path.clone(), source });
    let files: Vec<Listed> = files.iter().map(listed).collect::<Result<_, _>>()?;
    let contents = Contents { format: format_name(FORMAT_NUMBER), experiment: about, files };
    let document =
        serde_json::to_vec(&contents).map_err(|source| store.json("description", &contents.experiment.id, source))?;
    write(&directory.join(CONTENTS), &document)
}

/// What each file says of its experiment.
async fn about(store: &Store, experiment: StoredExperiment) -> Result<About, StoreError> {
    let spec = store.spec_json(&experiment.id).await?;
    let spec = spec.map(RawValue::from_string).transpose();
    let spec = spec.map_err(|source| store.json("specification", &experiment.id, source))?;
    Ok(About {
        id: experiment.id,
        stream_sequence: experiment.stream_sequence,
        name: experiment.name,
        creator: experiment.creator,
        status: experiment.status,
        verdict: experiment.verdict,
        reason: experiment.reason,
        submitted_unix_ms: experiment.submitted_unix_ms,
        started_unix_ms: experiment.started_unix_ms,
        ended_unix_ms: experiment.ended_unix_ms,
        trace_id: experiment.trace_id,
        spec,
    })
}

async fn requests(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    store.for_each_request(id, |row| file.row(row.into_values())).await?;
    file.finish()
}

async fn seconds(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    store
        .for_each_second(id, |row| {
            file.row([
                row.second.into(),
                row.late.into(),
                row.group_index.into(),
                row.step_index.into(),
                row.group_name.into(),
                row.step_name.into(),
                row.is_iteration.into(),
                row.length_ns.into(),
                row.offered_ns.into(),
                row.nodes.into(),
                row.scheduled.into(),
                row.offered.into(),
                row.sent.into(),
                row.succeeded.into(),
                row.failed.into(),
                row.censored.into(),
                row.in_flight.into(),
                row.retried.into(),
                row.bytes_sent.into(),
                row.bytes_received.into(),
                row.response_p50_ns.into(),
                row.response_p95_ns.into(),
                row.response_p99_ns.into(),
                row.response_max_ns.into(),
                row.service_p50_ns.into(),
                row.service_p95_ns.into(),
                row.service_p99_ns.into(),
                row.service_max_ns.into(),
                row.blocked_p99_ns.into(),
                row.lag_p99_ns.into(),
                row.statuses.into(),
                row.failures.into(),
            ])
        })
        .await?;
    file.finish()
}

async fn second_histograms(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    store
        .for_each_second_histogram(id, |row| {
            file.row([
                row.second.into(),
                row.late.into(),
                row.group_index.into(),
                row.step_index.into(),
                row.left_out.into(),
                row.response.as_deref().into(),
                row.censored_response.as_deref().into(),
                row.service.as_deref().into(),
                row.censored_service.as_deref().into(),
            ])
        })
        .await?;
    file.finish()
}

/// What is known exactly of each quantity, and its histogram as it is stored.
async fn quantities(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for row in store.histograms(id).await? {
        let corrupt = |source| StoreError::Histogram { store: store.name(), id: id.to_owned(), source };
        let totals = Totals::decode(&row.bytes).map_err(corrupt)?;
        file.row([
            Value::from(&row.group),
            (&row.step).into(),
            row.quantity.name().into(),
            count(totals.count()).into(),
            count(totals.summary().overflow).into(),
            optional_count(totals.min_ns()).into(),
            real(totals.mean_ns()),
            optional_count(totals.max_ns()).into(),
            row.bytes.as_slice().into(),
        ])?;
    }
    file.finish()
}

/// The buckets that are not empty. What lies beyond their range is in a last one, up to the largest observation.
async fn histograms(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for row in store.histograms(id).await? {
        let corrupt = |source| StoreError::Histogram { store: store.name(), id: id.to_owned(), source };
        let totals = Totals::decode(&row.bytes).map_err(corrupt)?;
        let summary = totals.summary();
        let beyond = (summary.overflow > 0).then_some((BUCKETS, summary.overflow));
        for (bucket, observations) in totals.buckets().chain(beyond) {
            let highest = if bucket < BUCKETS { highest_ns(bucket) } else { summary.max_ns };
            file.row([
                Value::from(&row.group),
                (&row.step).into(),
                row.quantity.name().into(),
                count(lowest_ns(bucket)).into(),
                count(highest).into(),
                count(observations).into(),
            ])?;
        }
    }
    file.finish()
}

async fn events(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for event in store.events(id).await? {
        file.row([
            count(event.at_unix_ms).into(),
            event.kind.name().into(),
            event.message.into(),
            event.status.map(|status| status.name()).into(),
            event.verdict.map(|verdict| verdict.name()).into(),
            serde_json::Value::from_iter(event.data).to_string().into(),
        ])?;
    }
    file.finish()
}

async fn phases(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for phase in store.phases(id).await? {
        file.row([Value::from(phase.status.name()), count(phase.at_unix_ms).into()])?;
    }
    file.finish()
}

async fn nodes(store: &Store, id: &str, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for node in store.nodes(id).await? {
        file.row([
            node.name.into(),
            node.host.into(),
            node.version.into(),
            serde_json::Value::from_iter(node.labels).to_string().into(),
            node.clock_offset_ns.into(),
            optional_count(node.clock_error_ns).into(),
            node.clock_drift_ns.into(),
            i64::from(node.shards).into(),
            count(node.offered).into(),
            optional_count(node.lag_p99_ns).into(),
            node.run_delay_share.into(),
            count(node.throttled_ns).into(),
            count(node.resident_bytes_max).into(),
            count(node.deltas).into(),
            (&node.lost).into(),
        ])?;
    }
    file.finish()
}

/// A number that is not there is a value of another kind: it is left out.
fn real(number: Option<f64>) -> Value<'static> {
    number.map_or(Value::Integer(None), Value::from)
}

fn gates(report: Option<&Report>, mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    for gate in report.iter().flat_map(|report| &report.gates) {
        file.row([
            (&gate.gate).into(),
            gate.outcome.name().into(),
            real(gate.observed),
            real(gate.lower),
            real(gate.upper),
            count(gate.samples).into(),
            gate.worst_window_second.map(i64::from).into(),
            (&gate.reason).into(),
        ])?;
    }
    file.finish()
}

/// The samples, numbered from 0 on; gives the store's numbers of them.
async fn samples(store: &Store, id: &str, mut file: ColumnFile) -> Result<(PathBuf, Vec<i64>), StoreError> {
    let mut numbers = Vec::new();
    store
        .for_each_sample(id, |sample| {
            let number = count(numbers.len() as u64);
            numbers.push(sample.id);
            file.row([
                number.into(),
                sample.node.into(),
                sample.machine.into(),
                hexadecimal(sample.epoch).into(),
                sample.sequence.into(),
                sample.at_unix_ns.into(),
                sample.at_monotonic_ns.into(),
                sample.row_count.into(),
            ])
        })
        .await?;
    Ok((file.finish()?, numbers))
}

/// The figures of samples that have these numbers in the store.
async fn telemetry(store: &Store, id: &str, samples: &[i64], mut file: ColumnFile) -> Result<PathBuf, StoreError> {
    store
        .for_each_figure(id, |SampleFigure { sample, row }| {
            // One that came only now is in no list: it is left for the next export.
            let Ok(number) = samples.binary_search(&sample) else { return Ok(()) };
            file.row([
                count(row.at_unix_ns).into(),
                row.node.into(),
                row.metric.into(),
                row.subsystem.into(),
                row.value.into(),
                row.unit.into(),
                count(number as u64).into(),
            ])
        })
        .await?;
    file.finish()
}
