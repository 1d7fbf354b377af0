//! Reading what was kept.

use std::collections::BTreeMap;

use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{NodeReport, Report};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::tag::tags_of;
use serde::de::{DeserializeOwned, Error as _};

use crate::error::StoreError;
use crate::numbers::uncount;
use crate::rows::{EventRow, ExperimentRow, NodeRow, named, optional_named};
use crate::store::Store;
use crate::value::{FromRow, Row, Value};

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
    /// What it is found by: the short entries of its metadata.
    pub tags: BTreeMap<String, String>,
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

impl FromRow for Held {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            has_report: row.get("has_report")?,
            has_ended: row.get("has_ended")?,
            events: row.get("events")?,
            seconds: row.get("seconds")?,
            record_rows: row.get("record_rows")?,
        })
    }
}

impl FromRow for Checkpoint {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            stream_sequence: uncount(row.get("stream_sequence")?),
            at_unix_ms: uncount(row.get("at_unix_ms")?),
            bytes: row.get("bytes")?,
        })
    }
}

/// A column `text`.
struct Text(Option<String>);

impl FromRow for Text {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("text").map(Self)
    }
}

struct PhaseRow {
    status: String,
    at_unix_ms: i64,
}

impl FromRow for PhaseRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { status: row.get("status")?, at_unix_ms: row.get("at_unix_ms")? })
    }
}

struct NamedBytes {
    group: String,
    step: String,
    quantity: String,
    bytes: Vec<u8>,
}

impl FromRow for NamedBytes {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            group: row.get("group_name")?,
            step: row.get("step_name")?,
            quantity: row.get("quantity")?,
            bytes: row.get("bytes")?,
        })
    }
}

/// What lists and heads of experiments are read from.
const EXPERIMENT_COLUMNS: &str = "SELECT id, stream_sequence, name, creator, tags, status, verdict, reason, \
     submitted_unix_ms, started_unix_ms, ended_unix_ms, trace_id, report IS NOT NULL AS has_report FROM experiment";

impl Store {
    /// How much of an experiment is there; nothing at all where it is not known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn held(&self, id: &str) -> Result<Held, StoreError> {
        let sql = format!(
            "SELECT report IS NOT NULL AS has_report, status IN ('finished', 'failed', 'cancelled') AS has_ended, \
             (SELECT count(*) FROM event WHERE experiment = ?) AS events, \
             (SELECT count(*) FROM (SELECT DISTINCT second, late FROM second WHERE experiment = ?) AS told) \
             AS seconds, \
             (SELECT CAST(coalesce(sum(row_count), 0) AS {}) FROM record_batch WHERE experiment = ?) AS record_rows \
             FROM experiment WHERE id = ?",
            self.dialect().integer()
        );
        let id_value = || Value::from(id);
        let about = ("count what it has of an experiment", id);
        let held = self.fetch_first(about, &sql, &[id_value(), id_value(), id_value(), id_value()]).await?;
        Ok(held.unwrap_or_default())
    }

    /// The experiments, the latest submission first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_experiments(&self, limit: u32) -> Result<Vec<StoredExperiment>, StoreError> {
        let sql = format!("{EXPERIMENT_COLUMNS} ORDER BY submitted_unix_ms DESC, stream_sequence DESC, id LIMIT ?");
        let rows: Vec<ExperimentRow> = self.fetch(("list experiments", ""), &sql, &[i64::from(limit).into()]).await?;
        rows.into_iter().map(|row| self.stored(row)).collect()
    }

    /// Ids that begin with `beginning`, in their order, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn ids_beginning_with(&self, beginning: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        // Ids are compared byte by byte, and none has a byte like those at the end of what comes after.
        let values = [beginning.into(), format!("{beginning}\u{10ffff}").into(), i64::from(limit).into()];
        let sql = "SELECT id AS text FROM experiment WHERE id >= ? AND id < ? ORDER BY id LIMIT ?";
        let found: Vec<Text> = self.fetch(("look for an experiment", beginning), sql, &values).await?;
        Ok(found.into_iter().filter_map(|Text(id)| id).collect())
    }

    /// One experiment.
    ///
    /// # Errors
    /// When it is not there, or the store cannot be read.
    pub async fn experiment(&self, id: &str) -> Result<StoredExperiment, StoreError> {
        let sql = format!("{EXPERIMENT_COLUMNS} WHERE id = ?");
        let row: Option<ExperimentRow> = self.fetch_first(("read an experiment", id), &sql, &[id.into()]).await?;
        self.stored(row.ok_or_else(|| self.not_found(id))?)
    }

    /// The specification of an experiment, redacted; `None` when it has none.
    ///
    /// # Errors
    /// When the experiment is not there, or the store cannot be read.
    pub async fn spec(&self, id: &str) -> Result<Option<ExperimentSpec>, StoreError> {
        let text = self.spec_json(id).await?;
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

    /// As [`Store::spec`], as the JSON text it is kept as.
    pub(crate) async fn spec_json(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.document("SELECT spec AS text FROM experiment WHERE id = ?", id).await
    }

    /// As [`Store::report`], as the JSON text it is kept as.
    pub(crate) async fn report_json(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.document("SELECT report AS text FROM experiment WHERE id = ?", id).await
    }

    async fn document(&self, statement: &'static str, id: &str) -> Result<Option<String>, StoreError> {
        let row: Option<Text> = self.fetch_first(("read a document", id), statement, &[id.into()]).await?;
        row.map(|Text(text)| text).ok_or_else(|| self.not_found(id))
    }

    /// The statuses an experiment had, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn phases(&self, id: &str) -> Result<Vec<Phase>, StoreError> {
        let sql = format!(
            "SELECT status, at_unix_ms FROM phase WHERE experiment = ? ORDER BY at_unix_ms, {}",
            self.dialect().row_number()
        );
        let rows: Vec<PhaseRow> = self.fetch(("read phases", id), &sql, &[id.into()]).await?;
        rows.into_iter()
            .map(|PhaseRow { status, at_unix_ms }| {
                let status = named(&status).map_err(|source| self.json("phase", id, source))?;
                Ok(Phase { status, at_unix_ms: uncount(at_unix_ms) })
            })
            .collect()
    }

    /// The events of an experiment, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn events(&self, id: &str) -> Result<Vec<ExperimentEvent>, StoreError> {
        let sql = format!(
            "SELECT at_unix_ms, kind, message, status, verdict, data FROM event WHERE experiment = ? \
             ORDER BY at_unix_ms, {}",
            self.dialect().row_number()
        );
        let rows: Vec<EventRow> = self.fetch(("read events", id), &sql, &[id.into()]).await?;
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
        let sql = "SELECT * FROM node WHERE experiment = ? ORDER BY name";
        let rows: Vec<NodeRow> = self.fetch(("read nodes", id), sql, &[id.into()]).await?;
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
        let sql = "SELECT group_name, step_name, quantity, bytes FROM histogram WHERE experiment = ?";
        let mut rows: Vec<NamedBytes> = self.fetch(("read histograms", id), sql, &[id.into()]).await?;
        // Here, since to MySQL names are alike that differ in the spaces at their ends.
        rows.sort_by(|a, b| (&a.group, &a.step, &a.quantity).cmp(&(&b.group, &b.step, &b.quantity)));
        rows.into_iter()
            .map(|NamedBytes { group, step, quantity, bytes }| {
                let quantity = named(&quantity).map_err(|source| self.json("histogram", id, source))?;
                Ok(HistogramRow { group, step, quantity, bytes })
            })
            .collect()
    }

    /// The last checkpoint of a run, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load_checkpoint(&self, id: &str) -> Result<Option<Checkpoint>, StoreError> {
        let sql = "SELECT stream_sequence, at_unix_ms, bytes FROM checkpoint WHERE experiment = ?";
        self.fetch_first(("read a checkpoint", id), sql, &[id.into()]).await
    }

    pub(crate) fn stored(&self, row: ExperimentRow) -> Result<StoredExperiment, StoreError> {
        let json = |source| self.json("status", &row.id, source);
        let status = named(&row.status).map_err(json)?;
        let verdict = optional_named(row.verdict.as_deref()).map_err(json)?;
        // What an earlier version left is all metadata.
        let tags = row.tags.as_deref().map(serde_json::from_str).transpose();
        let tags = tags.map_err(|source| self.json("tags", &row.id, source))?;
        Ok(StoredExperiment {
            stream_sequence: uncount(row.stream_sequence),
            name: row.name,
            creator: row.creator,
            tags: tags.as_ref().map(tags_of).unwrap_or_default(),
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
pub(crate) fn document<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    codec::decode(text.as_bytes()).map_err(serde_json::Error::custom)
}
