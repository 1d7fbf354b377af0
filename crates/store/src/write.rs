//! Writing experiments, their events and their results.

use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::report::{NodeReport, Report};
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::second::ExperimentSecond;
use sqlx::{QueryBuilder, Sqlite};

use crate::error::StoreError;
use crate::numbers::{count, optional_count};
use crate::seconds::insert_second;
use crate::store::Store;
use crate::writing::Writing;

/// Rows of one INSERT of nodes: 16 columns × 500 stay well below SQLite's 32 766 values.
const ROWS_PER_INSERT: usize = 500;

/// Something to keep of an experiment.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// What is known of it; a second time, what has changed.
    Experiment(&'a RunRecord),
    /// An event; one that tells a status is the beginning of that phase, too.
    Event(&'a ExperimentEvent),
    /// A merged second; see [`Store::put_second`].
    Second(&'a ExperimentSecond),
}

impl Piece<'_> {
    fn experiment(&self) -> &str {
        match self {
            Self::Experiment(record) => &record.id,
            Self::Event(event) => &event.experiment,
            Self::Second(second) => &second.experiment,
        }
    }
}

impl Store {
    /// Keeps what is known of an experiment; a second time, what has changed. Its report stays.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn upsert_experiment(&self, record: &RunRecord) -> Result<(), StoreError> {
        self.keep(&[Piece::Experiment(record)]).await
    }

    /// Keeps pieces of one experiment, which is known or among them, in their order and in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of them is kept.
    pub async fn keep(&self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
        let id = pieces.first().map_or("", Piece::experiment);
        let mut writing = self.begin("write an experiment", id).await?;
        for piece in pieces {
            match piece {
                Piece::Experiment(record) => self.put_experiment(&mut writing, record).await?,
                Piece::Event(event) => {
                    insert_event(&mut writing, &event.experiment, event, &event_data(self, event)?).await?;
                    if let Some(status) = event.status {
                        insert_phase(&mut writing, &event.experiment, status, event.at_unix_ms).await?;
                    }
                }
                Piece::Second(second) => insert_second(self, &mut writing, second).await?,
            }
        }
        writing.commit().await
    }

    async fn put_experiment(&self, writing: &mut Writing<'_>, record: &RunRecord) -> Result<(), StoreError> {
        let spec = serde_json::to_string(&redact_spec(&record.spec))
            .map_err(|source| self.json("specification", &record.id, source))?;
        let owner = self.owner().filter(|_| !record.status.is_terminal());
        let statement = sqlx::query(
            "INSERT INTO experiment (id, stream_sequence, name, creator, status, verdict, reason, spec, \
             submitted_unix_ms, started_unix_ms, ended_unix_ms, trace_id, owner) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET stream_sequence = excluded.stream_sequence, name = excluded.name, \
             creator = excluded.creator, status = excluded.status, verdict = excluded.verdict, \
             reason = excluded.reason, spec = excluded.spec, submitted_unix_ms = excluded.submitted_unix_ms, \
             started_unix_ms = excluded.started_unix_ms, ended_unix_ms = excluded.ended_unix_ms, \
             trace_id = coalesce(excluded.trace_id, trace_id), owner = excluded.owner",
        )
        .bind(&record.id)
        .bind(count(record.stream_sequence))
        .bind(record.spec.name.as_ref().unwrap_or(&record.id))
        .bind(&record.spec.creator)
        .bind(record.status.name())
        .bind(record.verdict.map(|verdict| verdict.name()))
        .bind(&record.reason)
        .bind(spec)
        .bind(count(record.submitted_unix_ms))
        .bind(optional_count(record.started_unix_ms))
        .bind(optional_count(record.ended_unix_ms))
        .bind(record.traceparent.as_deref().and_then(trace_id))
        .bind(owner);
        writing.execute(statement).await.map(drop)
    }

    /// Keeps a report: the document, its nodes and events, and the status, in one transaction; a second
    /// report of the same experiment replaces the first.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn set_report(&self, report: &Report) -> Result<(), StoreError> {
        let mut report = report.clone();
        report.spec = report.spec.as_ref().map(redact_spec);
        let json = |source| self.json("report", &report.id, source);
        let document = serde_json::to_string(&report).map_err(json)?;
        let spec = report.spec.as_ref().map(serde_json::to_string).transpose().map_err(json)?;
        let mut writing = self.begin("write a report", &report.id).await?;
        let statement = sqlx::query(
            "INSERT INTO experiment (id, stream_sequence, name, creator, status, verdict, reason, spec, report, \
             submitted_unix_ms, started_unix_ms, ended_unix_ms, trace_id) \
             VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, status = excluded.status, \
             verdict = excluded.verdict, reason = excluded.reason, report = excluded.report, \
             spec = coalesce(excluded.spec, spec), started_unix_ms = excluded.started_unix_ms, \
             ended_unix_ms = excluded.ended_unix_ms, trace_id = coalesce(excluded.trace_id, trace_id)",
        )
        .bind(&report.id)
        .bind(&report.name)
        .bind(&report.creator)
        .bind(report.status.name())
        .bind(report.verdict.map(|verdict| verdict.name()))
        .bind(report.reasons.first())
        .bind(spec)
        .bind(document)
        .bind(count(report.submitted_unix_ms))
        .bind(optional_count(report.started_unix_ms))
        .bind(optional_count(report.ended_unix_ms))
        .bind(&report.trace_id);
        writing.execute(statement).await?;
        writing.execute(sqlx::query("DELETE FROM node WHERE experiment = ?").bind(&report.id)).await?;
        insert_nodes(&mut writing, &report.id, &report.nodes).await?;
        for event in &report.events {
            let data = event_data(self, event)?;
            insert_event(&mut writing, &report.id, event, &data).await?;
        }
        writing.commit().await
    }

    /// Keeps that the experiment had `status` from `at_unix_ms` on.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn add_phase(&self, experiment: &str, status: RunStatus, at_unix_ms: u64) -> Result<(), StoreError> {
        let mut writing = self.begin("write a phase", experiment).await?;
        insert_phase(&mut writing, experiment, status, at_unix_ms).await?;
        writing.commit().await
    }

    /// Keeps an event; the same one twice (a replay of the stream) is kept once.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn add_event(&self, event: &ExperimentEvent) -> Result<(), StoreError> {
        let data = event_data(self, event)?;
        let mut writing = self.begin("write an event", &event.experiment).await?;
        insert_event(&mut writing, &event.experiment, event, &data).await?;
        writing.commit().await
    }

    /// Keeps the encoded histogram of a quantity of a step; a second one replaces the first.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn put_histogram(
        &self,
        experiment: &str,
        group: &str,
        step: &str,
        quantity: Quantity,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut writing = self.begin("write a histogram", experiment).await?;
        let statement = sqlx::query(
            "INSERT INTO histogram (experiment, group_name, step_name, quantity, bytes) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (experiment, group_name, step_name, quantity) DO UPDATE SET bytes = excluded.bytes",
        )
        .bind(experiment)
        .bind(group)
        .bind(step)
        .bind(quantity.name())
        .bind(bytes);
        writing.execute(statement).await?;
        writing.commit().await
    }

    /// Keeps the state of a run up to `stream_sequence`, in place of the one before; an older one changes nothing.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn checkpoint(
        &self,
        experiment: &str,
        stream_sequence: u64,
        at_unix_ms: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut writing = self.begin("write a checkpoint", experiment).await?;
        let statement = sqlx::query(
            "INSERT INTO checkpoint (experiment, stream_sequence, at_unix_ms, bytes) VALUES (?, ?, ?, ?) \
             ON CONFLICT (experiment) DO UPDATE SET stream_sequence = excluded.stream_sequence, \
             at_unix_ms = excluded.at_unix_ms, bytes = excluded.bytes \
             WHERE excluded.stream_sequence >= checkpoint.stream_sequence",
        )
        .bind(experiment)
        .bind(count(stream_sequence))
        .bind(count(at_unix_ms))
        .bind(bytes);
        writing.execute(statement).await?;
        writing.commit().await
    }

    /// Removes an experiment and everything of it; whether it was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, experiment: &str) -> Result<bool, StoreError> {
        let mut writing = self.begin("remove an experiment", experiment).await?;
        let removed = writing.execute(sqlx::query("DELETE FROM experiment WHERE id = ?").bind(experiment)).await?;
        writing.commit().await?;
        Ok(removed > 0)
    }
}

/// The trace id in a W3C trace context: `00-<32 digits>-<16 digits>-01`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn event_data(store: &Store, event: &ExperimentEvent) -> Result<String, StoreError> {
    serde_json::to_string(&event.data).map_err(|source| store.json("event", &event.experiment, source))
}

async fn insert_phase(
    writing: &mut Writing<'_>,
    experiment: &str,
    status: RunStatus,
    at_unix_ms: u64,
) -> Result<(), StoreError> {
    let statement = "INSERT INTO phase (experiment, status, at_unix_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    writing.execute(sqlx::query(statement).bind(experiment).bind(status.name()).bind(count(at_unix_ms))).await.map(drop)
}

async fn insert_event(
    writing: &mut Writing<'_>,
    experiment: &str,
    event: &ExperimentEvent,
    data: &str,
) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO event (experiment, at_unix_ms, kind, message, status, verdict, data) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(experiment)
    .bind(count(event.at_unix_ms))
    .bind(event.kind.name())
    .bind(&event.message)
    .bind(event.status.map(|status| status.name()))
    .bind(event.verdict.map(|verdict| verdict.name()))
    .bind(data);
    writing.execute(statement).await.map(drop)
}

async fn insert_nodes(writing: &mut Writing<'_>, experiment: &str, nodes: &[NodeReport]) -> Result<(), StoreError> {
    for chunk in nodes.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO node (experiment, name, host, version, labels, clock_offset_ns, clock_error_ns, \
             clock_drift_ns, shards, offered, lag_p99_ns, run_delay_share, throttled_ns, resident_bytes_max, deltas, \
             lost) ",
        );
        insert.push_values(chunk, |mut row, node| {
            row.push_bind(experiment)
                .push_bind(&node.name)
                .push_bind(&node.host)
                .push_bind(&node.version)
                .push_bind(serde_json::Value::from_iter(node.labels.clone()).to_string())
                .push_bind(node.clock_offset_ns)
                .push_bind(optional_count(node.clock_error_ns))
                .push_bind(node.clock_drift_ns)
                .push_bind(i64::from(node.shards))
                .push_bind(count(node.offered))
                .push_bind(optional_count(node.lag_p99_ns))
                .push_bind(node.run_delay_share)
                .push_bind(count(node.throttled_ns))
                .push_bind(count(node.resident_bytes_max))
                .push_bind(count(node.deltas))
                .push_bind(&node.lost);
        });
        writing.execute(insert.build()).await?;
    }
    Ok(())
}
