//! Merged seconds: kept row by row as they close, read back in order.

use futures_util::TryStreamExt as _;
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, StepSecond};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite};

use crate::error::StoreError;
use crate::numbers::{count, optional_count};
use crate::store::Store;
use crate::write::Piece;
use crate::writing::Writing;

/// Rows of one INSERT: 32 columns × 200 stay well below SQLite's 32 766 values.
const ROWS_PER_INSERT: usize = 200;

/// What one step of a group, or its whole iterations, did in one second; or what came late of that (`late` > 0), to be
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecondRow {
    /// Second of run time.
    pub second: i64,
    /// 0, or the number of a piece that came too late to be part of the second.
    pub late: i64,
    /// Name of the group.
    #[serde(rename = "group")]
    pub group_name: String,
    /// Name of the step; `iteration` for whole iterations of a group with several steps.
    #[serde(rename = "step")]
    pub step_name: String,
    /// Whole iterations are counted; the only step of a group is its iteration, too.
    pub is_iteration: bool,
    /// How long the run was under way in the second, in nanoseconds.
    pub length_ns: i64,
    /// How long the group's load was offered in the second, in nanoseconds.
    pub offered_ns: i64,
    /// Nodes that told of it.
    pub nodes: i64,
    /// Iterations that the schedule holds; only where iterations are counted, in the open model.
    pub scheduled: Option<i64>,
    /// Taken from the schedule, or begun.
    pub offered: i64,
    /// Written to a connection.
    pub sent: i64,
    /// Ended as expected.
    pub succeeded: i64,
    /// Ended otherwise.
    pub failed: i64,
    /// Unanswered or unsent at the stop.
    pub censored: i64,
    /// Under way at the end of the second.
    pub in_flight: i64,
    /// Sent again because the server had closed the connection without seeing the request.
    pub retried: i64,
    /// Bytes written to connections.
    pub bytes_sent: i64,
    /// Bytes read from connections.
    pub bytes_received: i64,
    /// In nanoseconds, as all that follow.
    pub response_p50_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub response_p95_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub response_p99_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub response_max_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub service_p50_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub service_p95_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub service_p99_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub service_max_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub blocked_p99_ns: Option<i64>,
    /// See `response_p50_ns`.
    pub lag_p99_ns: Option<i64>,
    /// Answers by status, as JSON: `[{"status":200,"count":9}]`.
    pub statuses: String,
    /// Failures by kind, as JSON.
    pub failures: String,
}

impl FromRow<'_, SqliteRow> for SecondRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            second: row.try_get("second")?,
            late: row.try_get("late")?,
            group_name: row.try_get("group_name")?,
            step_name: row.try_get("step_name")?,
            is_iteration: row.try_get("is_iteration")?,
            length_ns: row.try_get("length_ns")?,
            offered_ns: row.try_get("offered_ns")?,
            nodes: row.try_get("nodes")?,
            scheduled: row.try_get("scheduled")?,
            offered: row.try_get("offered")?,
            sent: row.try_get("sent")?,
            succeeded: row.try_get("succeeded")?,
            failed: row.try_get("failed")?,
            censored: row.try_get("censored")?,
            in_flight: row.try_get("in_flight")?,
            retried: row.try_get("retried")?,
            bytes_sent: row.try_get("bytes_sent")?,
            bytes_received: row.try_get("bytes_received")?,
            response_p50_ns: row.try_get("response_p50_ns")?,
            response_p95_ns: row.try_get("response_p95_ns")?,
            response_p99_ns: row.try_get("response_p99_ns")?,
            response_max_ns: row.try_get("response_max_ns")?,
            service_p50_ns: row.try_get("service_p50_ns")?,
            service_p95_ns: row.try_get("service_p95_ns")?,
            service_p99_ns: row.try_get("service_p99_ns")?,
            service_max_ns: row.try_get("service_max_ns")?,
            blocked_p99_ns: row.try_get("blocked_p99_ns")?,
            lag_p99_ns: row.try_get("lag_p99_ns")?,
            statuses: row.try_get("statuses")?,
            failures: row.try_get("failures")?,
        })
    }
}

/// A row before it is written.
struct Row<'a> {
    group: &'a GroupSecond,
    step: &'a StepSecond,
    is_iteration: bool,
    statuses: String,
    failures: String,
}

impl Store {
    /// Keeps a merged second; one that is kept already is replaced, a late piece is kept beside it. A second is given
    /// whole, not in parts.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn put_second(&self, second: &ExperimentSecond) -> Result<(), StoreError> {
        self.keep(&[Piece::Second(second)]).await
    }

    /// Hands each row of the seconds of an experiment to `take`, in order: by second, group and step. Row by row, so
    /// that a long run needs no more memory.
    ///
    /// # Errors
    /// When the store cannot be read, or `take` fails.
    pub async fn for_each_second(
        &self,
        id: &str,
        mut take: impl FnMut(SecondRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| self.failed("read seconds", id, source);
        let pool = self.readers().await?;
        let mut rows = sqlx::query_as::<_, SecondRow>(
            "SELECT * FROM second WHERE experiment = ? ORDER BY second, late, group_index, step_index",
        )
        .bind(id)
        .fetch(&pool);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            take(row)?;
        }
        Ok(())
    }

    /// The rows of the seconds of an experiment, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn seconds(&self, id: &str) -> Result<Vec<SecondRow>, StoreError> {
        let mut rows = Vec::new();
        self.for_each_second(id, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }
}

/// Writes the rows of a second.
pub(crate) async fn insert_second(
    store: &Store,
    writing: &mut Writing<'_>,
    second: &ExperimentSecond,
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for group in &second.groups {
        let is_only = group.iterations.is_none() && group.steps.len() == 1;
        let steps = group.steps.iter().map(|step| (is_only, step));
        for (is_iteration, step) in steps.chain(group.iterations.iter().map(|step| (true, step))) {
            let json = |source| store.json("second", &second.experiment, source);
            rows.push(Row {
                group,
                step,
                is_iteration,
                statuses: serde_json::to_string(&step.statuses).map_err(json)?,
                failures: serde_json::to_string(&step.failures).map_err(json)?,
            });
        }
    }
    let late = if second.late { i64::from(second.revision) } else { 0 };
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO second (experiment, second, late, group_index, step_index, group_name, step_name, \
             is_iteration, length_ns, offered_ns, nodes, scheduled, offered, sent, succeeded, failed, censored, \
             in_flight, retried, bytes_sent, bytes_received, response_p50_ns, response_p95_ns, response_p99_ns, \
             response_max_ns, service_p50_ns, service_p95_ns, service_p99_ns, service_max_ns, blocked_p99_ns, \
             lag_p99_ns, statuses, failures) ",
        );
        insert.push_values(chunk, |mut values, row| {
            let Row { group, step, is_iteration, statuses, failures } = row;
            values
                .push_bind(&second.experiment)
                .push_bind(i64::from(second.second))
                .push_bind(late)
                .push_bind(i64::from(group.group))
                .push_bind(i64::from(step.step))
                .push_bind(&group.name)
                .push_bind(&step.name)
                .push_bind(*is_iteration)
                .push_bind(count(if second.late { 0 } else { second.length_ns }))
                .push_bind(count(group.offered_ns))
                .push_bind(count(second.nodes.len() as u64))
                .push_bind(optional_count(group.scheduled.filter(|_| *is_iteration)))
                .push_bind(count(step.offered))
                .push_bind(count(step.sent))
                .push_bind(count(step.succeeded))
                .push_bind(count(step.failed))
                .push_bind(count(step.censored))
                .push_bind(count(step.in_flight))
                .push_bind(count(step.retried))
                .push_bind(count(step.bytes_sent))
                .push_bind(count(step.bytes_received))
                .push_bind(optional_count(step.response.p50_ns))
                .push_bind(optional_count(step.response.p95_ns))
                .push_bind(optional_count(step.response.p99_ns))
                .push_bind(optional_count(step.response.max_ns))
                .push_bind(optional_count(step.service.p50_ns))
                .push_bind(optional_count(step.service.p95_ns))
                .push_bind(optional_count(step.service.p99_ns))
                .push_bind(optional_count(step.service.max_ns))
                .push_bind(optional_count(step.blocked.p99_ns))
                .push_bind(optional_count(step.lag.p99_ns))
                .push_bind(statuses)
                .push_bind(failures);
        });
        writing.execute(insert.build()).await?;
    }
    Ok(())
}
