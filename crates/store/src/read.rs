//! Reading what was kept.

use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{NodeReport, Report};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::spec::ExperimentSpec;
use serde::de::{DeserializeOwned, Error as _};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::error::StoreError;
use crate::numbers::uncount;
use crate::rows::{EventRow, ExperimentRow, NodeRow, named, optional_named};
use crate::store::Store;

/// What the store knows of an experiment, without its results.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExperiment {
    /// Identifier.
    pub id: String,
    /// Sequence of the submission in its stream; 0 when only a report was kept.
    pub stream_sequence: u64,
    /// What people call it; the id when it has no name.
    pub name: String,
    /// Who wanted it.
    pub creator: Option<String>,
    /// Where it is in its life.
    pub status: RunStatus,
    /// How it was judged.
    pub verdict: Option<Verdict>,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// When it was admitted, milliseconds since the Unix epoch.
    pub submitted_unix_ms: u64,
    /// When load was first offered, milliseconds since the Unix epoch.
    pub started_unix_ms: Option<u64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_unix_ms: Option<u64>,
    /// Trace id, 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// Whether there is a report of it.
    pub has_report: bool,
}

/// From when on an experiment had a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// The status.
    pub status: RunStatus,
    /// Since when, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

/// The encoded histogram of a quantity of a step; `nuncius-stats` reads the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramRow {
    /// Name of the group.
    pub group: String,
    /// Name of the step.
    pub step: String,
    /// Which quantity.
    pub quantity: Quantity,
    /// As it was given.
    pub bytes: Vec<u8>,
}

/// The state of a run up to a message of its metric stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Last message that is in it.
    pub stream_sequence: u64,
    /// When it was made, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// As it was given.
    pub bytes: Vec<u8>,
}

/// How much of an experiment is in the store, to compare with how much there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Whether its report is there.
    pub has_report: bool,
    /// Whether it has ended, as far as the store knows.
    pub has_ended: bool,
    /// Events.
    pub events: i64,
    /// Merged seconds, late pieces among them.
    pub seconds: i64,
    /// Request records in batches that are whole.
    pub record_rows: i64,
}

impl FromRow<'_, SqliteRow> for Held {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            has_report: row.try_get("has_report")?,
            has_ended: row.try_get("has_ended")?,
            events: row.try_get("events")?,
            seconds: row.try_get("seconds")?,
            record_rows: row.try_get("record_rows")?,
        })
    }
}

impl Store {
    /// How much of an experiment is there; nothing at all where it is not known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn held(&self, id: &str) -> Result<Held, StoreError> {
        let held: Option<Held> = sqlx::query_as(
            "SELECT report IS NOT NULL AS has_report, status IN ('finished', 'failed', 'cancelled') AS has_ended, \
             (SELECT count(*) FROM event WHERE experiment = ?1) AS events, \
             (SELECT count(*) FROM (SELECT DISTINCT second, late FROM second WHERE experiment = ?1)) AS seconds, \
             (SELECT coalesce(sum(rows), 0) FROM record_batch WHERE experiment = ?1) AS record_rows \
             FROM experiment WHERE id = ?1",
        )
        .bind(id)
        .fetch_optional(&self.readers().await?)
        .await
        .map_err(|source| self.failed("count what it has of an experiment", id, source))?;
        Ok(held.unwrap_or_default())
    }

    /// The experiments, the latest submission first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_experiments(&self, limit: u32) -> Result<Vec<StoredExperiment>, StoreError> {
        let rows: Vec<ExperimentRow> = sqlx::query_as(
            "SELECT id, stream_sequence, name, creator, status, verdict, reason, submitted_unix_ms, started_unix_ms, \
             ended_unix_ms, trace_id, report IS NOT NULL AS has_report FROM experiment \
             ORDER BY submitted_unix_ms DESC, stream_sequence DESC, id LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers().await?)
        .await
        .map_err(|source| self.failed("list experiments", "", source))?;
        rows.into_iter().map(|row| self.stored(row)).collect()
    }

    /// Ids that begin with `beginning`, in their order, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn ids_beginning_with(&self, beginning: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar("SELECT id FROM experiment WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT ?2")
            .bind(beginning)
            .bind(i64::from(limit))
            .fetch_all(&self.readers().await?)
            .await
            .map_err(|source| self.failed("look for an experiment", beginning, source))
    }

    /// One experiment.
    ///
    /// # Errors
    /// When it is not there, or the store cannot be read.
    pub async fn experiment(&self, id: &str) -> Result<StoredExperiment, StoreError> {
        let row: Option<ExperimentRow> = sqlx::query_as(
            "SELECT id, stream_sequence, name, creator, status, verdict, reason, submitted_unix_ms, started_unix_ms, \
             ended_unix_ms, trace_id, report IS NOT NULL AS has_report FROM experiment WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.readers().await?)
        .await
        .map_err(|source| self.failed("read an experiment", id, source))?;
        self.stored(row.ok_or_else(|| self.not_found(id))?)
    }

    /// The specification of an experiment, redacted; `None` when it has none.
    ///
    /// # Errors
    /// When the experiment is not there, or the store cannot be read.
    pub async fn spec(&self, id: &str) -> Result<Option<ExperimentSpec>, StoreError> {
        let text = self.document("SELECT spec FROM experiment WHERE id = ?", id).await?;
        text.map(|text| document(&text)).transpose().map_err(|source| self.json("specification", id, source))
    }

    /// The report of an experiment; `None` when it has none yet.
    ///
    /// # Errors
    /// When the experiment is not there, or the store cannot be read.
    pub async fn report(&self, id: &str) -> Result<Option<Report>, StoreError> {
        let text = self.report_json(id).await?;
        text.map(|text| document(&text)).transpose().map_err(|source| self.json("report", id, source))
    }

    /// As [`Store::report`], as the JSON text it is kept as.
    pub(crate) async fn report_json(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.document("SELECT report FROM experiment WHERE id = ?", id).await
    }

    async fn document(&self, statement: &'static str, id: &str) -> Result<Option<String>, StoreError> {
        let row: Option<(Option<String>,)> = sqlx::query_as(statement)
            .bind(id)
            .fetch_optional(&self.readers().await?)
            .await
            .map_err(|source| self.failed("read a document", id, source))?;
        row.map(|(text,)| text).ok_or_else(|| self.not_found(id))
    }

    /// The statuses an experiment had, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn phases(&self, id: &str) -> Result<Vec<Phase>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, at_unix_ms FROM phase WHERE experiment = ? ORDER BY at_unix_ms, rowid")
                .bind(id)
                .fetch_all(&self.readers().await?)
                .await
                .map_err(|source| self.failed("read phases", id, source))?;
        rows.into_iter()
            .map(|(status, at)| {
                let status = named(&status).map_err(|source| self.json("phase", id, source))?;
                Ok(Phase { status, at_unix_ms: uncount(at) })
            })
            .collect()
    }

    /// The events of an experiment, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn events(&self, id: &str) -> Result<Vec<ExperimentEvent>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT at_unix_ms, kind, message, status, verdict, data FROM event WHERE experiment = ? \
             ORDER BY at_unix_ms, rowid",
        )
        .bind(id)
        .fetch_all(&self.readers().await?)
        .await
        .map_err(|source| self.failed("read events", id, source))?;
        let event = |row: EventRow| -> Result<ExperimentEvent, serde_json::Error> {
            Ok(ExperimentEvent {
                experiment: id.to_owned(),
                at_unix_ms: uncount(row.at_unix_ms),
                kind: named(&row.kind)?,
                message: row.message,
                status: optional_named(row.status.as_deref())?,
                verdict: optional_named(row.verdict.as_deref())?,
                data: serde_json::from_str(&row.data)?,
            })
        };
        rows.into_iter().map(|row| event(row).map_err(|source| self.json("event", id, source))).collect()
    }

    /// The nodes that took part in an experiment, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn nodes(&self, id: &str) -> Result<Vec<NodeReport>, StoreError> {
        let rows: Vec<NodeRow> = sqlx::query_as("SELECT * FROM node WHERE experiment = ? ORDER BY name")
            .bind(id)
            .fetch_all(&self.readers().await?)
            .await
            .map_err(|source| self.failed("read nodes", id, source))?;
        let node = |row: NodeRow| -> Result<NodeReport, serde_json::Error> {
            Ok(NodeReport {
                name: row.name,
                host: row.host,
                version: row.version,
                labels: serde_json::from_str(&row.labels)?,
                clock_offset_ns: row.clock_offset_ns,
                clock_error_ns: row.clock_error_ns.map(uncount),
                clock_drift_ns: row.clock_drift_ns,
                shards: u32::try_from(row.shards).unwrap_or(u32::MAX),
                offered: uncount(row.offered),
                lag_p99_ns: row.lag_p99_ns.map(uncount),
                run_delay_share: row.run_delay_share,
                throttled_ns: uncount(row.throttled_ns),
                resident_bytes_max: uncount(row.resident_bytes_max),
                deltas: uncount(row.deltas),
                lost: row.lost,
            })
        };
        rows.into_iter().map(|row| node(row).map_err(|source| self.json("node", id, source))).collect()
    }

    /// The histograms of an experiment, by group, step and quantity.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn histograms(&self, id: &str) -> Result<Vec<HistogramRow>, StoreError> {
        let rows: Vec<(String, String, String, Vec<u8>)> = sqlx::query_as(
            "SELECT group_name, step_name, quantity, bytes FROM histogram WHERE experiment = ? \
             ORDER BY group_name, step_name, quantity",
        )
        .bind(id)
        .fetch_all(&self.readers().await?)
        .await
        .map_err(|source| self.failed("read histograms", id, source))?;
        rows.into_iter()
            .map(|(group, step, quantity, bytes)| {
                let quantity = named(&quantity).map_err(|source| self.json("histogram", id, source))?;
                Ok(HistogramRow { group, step, quantity, bytes })
            })
            .collect()
    }

    /// How many request records an experiment has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record_count(&self, id: &str) -> Result<u64, StoreError> {
        let number: i64 = sqlx::query_scalar("SELECT count(*) FROM request WHERE experiment = ?")
            .bind(id)
            .fetch_one(&self.readers().await?)
            .await
            .map_err(|source| self.failed("count request records", id, source))?;
        Ok(uncount(number))
    }

    /// The last checkpoint of a run, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load_checkpoint(&self, id: &str) -> Result<Option<Checkpoint>, StoreError> {
        let row: Option<(i64, i64, Vec<u8>)> =
            sqlx::query_as("SELECT stream_sequence, at_unix_ms, bytes FROM checkpoint WHERE experiment = ?")
                .bind(id)
                .fetch_optional(&self.readers().await?)
                .await
                .map_err(|source| self.failed("read a checkpoint", id, source))?;
        Ok(row.map(|(stream_sequence, at_unix_ms, bytes)| Checkpoint {
            stream_sequence: uncount(stream_sequence),
            at_unix_ms: uncount(at_unix_ms),
            bytes,
        }))
    }

    fn stored(&self, row: ExperimentRow) -> Result<StoredExperiment, StoreError> {
        let json = |source| self.json("status", &row.id, source);
        let status = named(&row.status).map_err(json)?;
        let verdict = optional_named(row.verdict.as_deref()).map_err(json)?;
        Ok(StoredExperiment {
            stream_sequence: uncount(row.stream_sequence),
            name: row.name,
            creator: row.creator,
            status,
            verdict,
            reason: row.reason,
            submitted_unix_ms: uncount(row.submitted_unix_ms),
            started_unix_ms: row.started_unix_ms.map(uncount),
            ended_unix_ms: row.ended_unix_ms.map(uncount),
            trace_id: row.trace_id,
            has_report: row.has_report,
            id: row.id,
        })
    }
}

/// A whole document, as messages are read: that is compiled already.
fn document<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    codec::decode(text.as_bytes()).map_err(serde_json::Error::custom)
}
