//! What lists say of experiments.

use nuncius_schemas::head::{ExperimentHead, HeadPlace, shortened};
use nuncius_schemas::redact::redact_url;

use crate::error::StoreError;
use crate::numbers::{count, uncount};
use crate::rows::ExperimentRow;
use crate::store::Store;
use crate::value::{FromRow, Row, Value};

/// What is known of an experiment, and what a list has beside that.
struct HeadRow {
    experiment: ExperimentRow,
    target: Option<String>,
    scheduled: Option<i64>,
    offered: Option<i64>,
}

impl FromRow for HeadRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            experiment: ExperimentRow::from_row(row)?,
            target: row.get("target")?,
            scheduled: row.get("scheduled")?,
            offered: row.get("offered")?,
        })
    }
}

impl Store {
    /// What lists say of the experiments that come after a place, in the order of [`HeadPlace`], at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn heads(&self, after: Option<&HeadPlace>, limit: u32) -> Result<Vec<ExperimentHead>, StoreError> {
        let (before_unix_ms, id) = after.map_or((i64::MAX, ""), |place| (count(place.submitted_unix_ms), &place.id));
        let before = || Value::from(before_unix_ms);
        let rows: Vec<HeadRow> = self
            .fetch(
                ("list experiments", ""),
                "SELECT id, stream_sequence, name, creator, tags, status, verdict, reason, submitted_unix_ms, \
                 started_unix_ms, ended_unix_ms, trace_id, report IS NOT NULL AS has_report, target, scheduled, \
                 offered FROM experiment WHERE submitted_unix_ms < ? OR (submitted_unix_ms = ? AND id > ?) \
                 ORDER BY submitted_unix_ms DESC, id LIMIT ?",
                &[before(), before(), id.into(), i64::from(limit).into()],
            )
            .await?;
        let head = |row: HeadRow| {
            let stored = self.stored(row.experiment)?;
            Ok(ExperimentHead {
                id: stored.id,
                name: stored.name,
                creator: stored.creator,
                tags: stored.tags,
                status: stored.status,
                verdict: stored.verdict,
                reason: stored.reason.as_deref().map(shortened),
                target: row.target.as_deref().map(redact_url),
                scheduled: row.scheduled.map(uncount),
                offered: row.offered.map(uncount),
                submitted_unix_ms: stored.submitted_unix_ms,
                started_unix_ms: stored.started_unix_ms,
                ended_unix_ms: stored.ended_unix_ms,
            })
        };
        rows.into_iter().map(head).collect()
    }
}
