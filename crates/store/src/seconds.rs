//! Merged seconds: kept row by row as they close, read back in order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nuncius_schemas::second::ExperimentSecond;
use serde::Serialize;

use crate::backend::{IfThere, Table};
use crate::comparable::{HISTOGRAM, histogram_values};
use crate::error::StoreError;
use crate::numbers::{count, optional_count};
use crate::store::Store;
use crate::value::{FromRow, Row, Value};
use crate::writing::Writing;

pub(crate) const SECOND: Table = Table {
    name: "second",
    columns: &[
        "experiment",
        "second",
        "late",
        "group_index",
        "step_index",
        "group_name",
        "step_name",
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
    ],
};

/// What one step of a group, or its whole iterations, did in one second; or what came late of that (`late` > 0), to be
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecondRow {
    /// Second of run time.
    pub second: i64,
    /// 0, or the number of a piece that came too late to be part of the second.
    pub late: i64,
    /// Index of the group in the specification.
    pub group_index: i64,
    /// Index of the step in the group; one past the last for whole iterations.
    pub step_index: i64,
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

impl FromRow for SecondRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            second: row.get("second")?,
            late: row.get("late")?,
            group_index: row.get("group_index")?,
            step_index: row.get("step_index")?,
            group_name: row.get("group_name")?,
            step_name: row.get("step_name")?,
            is_iteration: row.get("is_iteration")?,
            length_ns: row.get("length_ns")?,
            offered_ns: row.get("offered_ns")?,
            nodes: row.get("nodes")?,
            scheduled: row.get("scheduled")?,
            offered: row.get("offered")?,
            sent: row.get("sent")?,
            succeeded: row.get("succeeded")?,
            failed: row.get("failed")?,
            censored: row.get("censored")?,
            in_flight: row.get("in_flight")?,
            retried: row.get("retried")?,
            bytes_sent: row.get("bytes_sent")?,
            bytes_received: row.get("bytes_received")?,
            response_p50_ns: row.get("response_p50_ns")?,
            response_p95_ns: row.get("response_p95_ns")?,
            response_p99_ns: row.get("response_p99_ns")?,
            response_max_ns: row.get("response_max_ns")?,
            service_p50_ns: row.get("service_p50_ns")?,
            service_p95_ns: row.get("service_p95_ns")?,
            service_p99_ns: row.get("service_p99_ns")?,
            service_max_ns: row.get("service_max_ns")?,
            blocked_p99_ns: row.get("blocked_p99_ns")?,
            lag_p99_ns: row.get("lag_p99_ns")?,
            statuses: row.get("statuses")?,
            failures: row.get("failures")?,
        })
    }
}

impl Store {
    /// Hands each row of the seconds of an experiment to `take`, in order: by second, group and step. Row by row, so
    /// that a long run needs no more memory.
    ///
    /// # Errors
    /// When the store cannot be read, or `take` fails.
    pub async fn for_each_second(
        &self,
        id: &str,
        take: impl FnMut(SecondRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT * FROM second WHERE experiment = ? ORDER BY second, late, group_index, step_index";
        self.for_each(("read seconds", id), sql, &[id.into()], take).await
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

/// Writes seconds, in place of what is there of them; of several times the same one the last counts.
pub(crate) async fn insert_seconds(
    store: &Store,
    writing: &mut Writing<'_>,
    seconds: &[&ExperimentSecond],
) -> Result<(), StoreError> {
    let seconds: BTreeMap<(&str, i64, i64), &ExperimentSecond> = seconds
        .iter()
        .map(|second| ((second.experiment.as_str(), i64::from(second.second), late(second)), *second))
        .collect();
    if seconds.is_empty() {
        return Ok(());
    }
    let mut which = String::new();
    let mut keys: Vec<Value<'_>> = Vec::new();
    let mut rows: Vec<Value<'_>> = Vec::new();
    let mut histograms: Vec<Value<'_>> = Vec::new();
    for (&(experiment, at, late), &second) in &seconds {
        let or = if which.is_empty() { "" } else { " OR " };
        let _ = write!(which, "{or}(experiment = ? AND second = ? AND late = ?)");
        keys.extend([experiment.into(), at.into(), late.into()]);
        second_values(store, second, late, &mut rows)?;
        histogram_values(second, late, &mut histograms);
    }
    for table in [&SECOND, &HISTOGRAM] {
        writing.execute(&format!("DELETE FROM {} WHERE {which}", table.name), &keys).await?;
    }
    writing.insert(&SECOND, &rows, IfThere::Fail).await?;
    writing.insert(&HISTOGRAM, &histograms, IfThere::Fail).await
}

/// 0, or the number of a piece that came late.
fn late(second: &ExperimentSecond) -> i64 {
    if second.late { i64::from(second.revision) } else { 0 }
}

fn second_values<'a>(
    store: &Store,
    second: &'a ExperimentSecond,
    late: i64,
    values: &mut Vec<Value<'a>>,
) -> Result<(), StoreError> {
    let json = |source| store.json("second", &second.experiment, source);
    for group in &second.groups {
        for (is_iteration, step) in group.recorders() {
            values.extend([
                (&second.experiment).into(),
                i64::from(second.second).into(),
                late.into(),
                i64::from(group.group).into(),
                i64::from(step.step).into(),
                (&group.name).into(),
                (&step.name).into(),
                is_iteration.into(),
                count(if second.late { 0 } else { second.length_ns }).into(),
                count(group.offered_ns).into(),
                count(second.nodes.len() as u64).into(),
                optional_count(group.scheduled.filter(|_| is_iteration)).into(),
                count(step.offered).into(),
                count(step.sent).into(),
                count(step.succeeded).into(),
                count(step.failed).into(),
                count(step.censored).into(),
                count(step.in_flight).into(),
                count(step.retried).into(),
                count(step.bytes_sent).into(),
                count(step.bytes_received).into(),
                optional_count(step.response.p50_ns).into(),
                optional_count(step.response.p95_ns).into(),
                optional_count(step.response.p99_ns).into(),
                optional_count(step.response.max_ns).into(),
                optional_count(step.service.p50_ns).into(),
                optional_count(step.service.p95_ns).into(),
                optional_count(step.service.p99_ns).into(),
                optional_count(step.service.max_ns).into(),
                optional_count(step.blocked.p99_ns).into(),
                optional_count(step.lag.p99_ns).into(),
                serde_json::to_string(&step.statuses).map_err(json)?.into(),
                serde_json::to_string(&step.failures).map_err(json)?.into(),
            ]);
        }
    }
    Ok(())
}
