//! Rows as SQLite gives them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

/// A row of `experiment` without its documents.
#[derive(Debug)]
pub(crate) struct ExperimentRow {
    pub(crate) id: String,
    pub(crate) stream_sequence: i64,
    pub(crate) name: String,
    pub(crate) creator: Option<String>,
    pub(crate) status: String,
    pub(crate) verdict: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) submitted_unix_ms: i64,
    pub(crate) started_unix_ms: Option<i64>,
    pub(crate) ended_unix_ms: Option<i64>,
    pub(crate) trace_id: Option<String>,
    pub(crate) has_report: bool,
}

impl FromRow<'_, SqliteRow> for ExperimentRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            stream_sequence: row.try_get("stream_sequence")?,
            name: row.try_get("name")?,
            creator: row.try_get("creator")?,
            status: row.try_get("status")?,
            verdict: row.try_get("verdict")?,
            reason: row.try_get("reason")?,
            submitted_unix_ms: row.try_get("submitted_unix_ms")?,
            started_unix_ms: row.try_get("started_unix_ms")?,
            ended_unix_ms: row.try_get("ended_unix_ms")?,
            trace_id: row.try_get("trace_id")?,
            has_report: row.try_get("has_report")?,
        })
    }
}

/// A row of `event`.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) at_unix_ms: i64,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) status: Option<String>,
    pub(crate) verdict: Option<String>,
    pub(crate) data: String,
}

impl FromRow<'_, SqliteRow> for EventRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at_unix_ms: row.try_get("at_unix_ms")?,
            kind: row.try_get("kind")?,
            message: row.try_get("message")?,
            status: row.try_get("status")?,
            verdict: row.try_get("verdict")?,
            data: row.try_get("data")?,
        })
    }
}

/// A row of `node`.
#[derive(Debug)]
pub(crate) struct NodeRow {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) labels: String,
    pub(crate) clock_offset_ns: Option<i64>,
    pub(crate) clock_error_ns: Option<i64>,
    pub(crate) clock_drift_ns: Option<i64>,
    pub(crate) shards: i64,
    pub(crate) offered: i64,
    pub(crate) lag_p99_ns: Option<i64>,
    pub(crate) run_delay_share: f64,
    pub(crate) throttled_ns: i64,
    pub(crate) resident_bytes_max: i64,
    pub(crate) deltas: i64,
    pub(crate) lost: Option<String>,
}

impl FromRow<'_, SqliteRow> for NodeRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            host: row.try_get("host")?,
            version: row.try_get("version")?,
            labels: row.try_get("labels")?,
            clock_offset_ns: row.try_get("clock_offset_ns")?,
            clock_error_ns: row.try_get("clock_error_ns")?,
            clock_drift_ns: row.try_get("clock_drift_ns")?,
            shards: row.try_get("shards")?,
            offered: row.try_get("offered")?,
            lag_p99_ns: row.try_get("lag_p99_ns")?,
            run_delay_share: row.try_get("run_delay_share")?,
            throttled_ns: row.try_get("throttled_ns")?,
            resident_bytes_max: row.try_get("resident_bytes_max")?,
            deltas: row.try_get("deltas")?,
            lost: row.try_get("lost")?,
        })
    }
}

/// A row of `request`.
#[derive(Debug)]
pub(crate) struct RequestRow {
    pub(crate) node: String,
    pub(crate) group_name: String,
    pub(crate) step_name: String,
    pub(crate) idx: i64,
    pub(crate) planned_ns: i64,
    pub(crate) sent_ns: Option<i64>,
    pub(crate) done_ns: Option<i64>,
    pub(crate) status: Option<i64>,
    pub(crate) outcome: String,
    pub(crate) span_id: Option<i64>,
}

impl FromRow<'_, SqliteRow> for RequestRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            node: row.try_get("node")?,
            group_name: row.try_get("group_name")?,
            step_name: row.try_get("step_name")?,
            idx: row.try_get("idx")?,
            planned_ns: row.try_get("planned_ns")?,
            sent_ns: row.try_get("sent_ns")?,
            done_ns: row.try_get("done_ns")?,
            status: row.try_get("status")?,
            outcome: row.try_get("outcome")?,
            span_id: row.try_get("span_id")?,
        })
    }
}

/// A name that a wire type writes, as that type again.
pub(crate) fn named<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, serde_json::Error> {
    T::deserialize(StrDeserializer::<ValueError>::new(name)).map_err(serde::de::Error::custom)
}

/// As [`named`], if there is one.
pub(crate) fn optional_named<T: DeserializeOwned>(name: Option<&str>) -> Result<Option<T>, serde_json::Error> {
    name.map(named).transpose()
}
