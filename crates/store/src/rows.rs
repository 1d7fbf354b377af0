//! Rows as SQLite gives them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::FromRow;

/// A row of `experiment` without its documents.
#[derive(Debug, FromRow)]
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

/// A row of `event`.
#[derive(Debug, FromRow)]
pub(crate) struct EventRow {
    pub(crate) at_unix_ms: i64,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) status: Option<String>,
    pub(crate) verdict: Option<String>,
    pub(crate) data: String,
}

/// A row of `node`.
#[derive(Debug, FromRow)]
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

/// A row of `request`.
#[derive(Debug, FromRow)]
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

/// A name that a wire type writes, as that type again.
pub(crate) fn named<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, serde_json::Error> {
    T::deserialize(StrDeserializer::<ValueError>::new(name)).map_err(serde::de::Error::custom)
}

/// As [`named`], if there is one.
pub(crate) fn optional_named<T: DeserializeOwned>(name: Option<&str>) -> Result<Option<T>, serde_json::Error> {
    name.map(named).transpose()
}
