//! Rows as they are stored.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::numbers::{from_hexadecimal, hexadecimal};
use crate::value::{FromRow, Row, Value};

/// A row of `experiment` without its documents.
#[derive(Debug)]
pub(crate) struct ExperimentRow {
    pub(crate) id: String,
    pub(crate) stream_sequence: i64,
    pub(crate) name: String,
    pub(crate) creator: Option<String>,
    /// As JSON.
    pub(crate) tags: Option<String>,
    pub(crate) status: String,
    pub(crate) verdict: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) submitted_unix_ms: i64,
    pub(crate) started_unix_ms: Option<i64>,
    pub(crate) ended_unix_ms: Option<i64>,
    pub(crate) trace_id: Option<String>,
    pub(crate) has_report: bool,
}

impl FromRow for ExperimentRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.get("id")?,
            stream_sequence: row.get("stream_sequence")?,
            name: row.get("name")?,
            creator: row.get("creator")?,
            tags: row.get("tags")?,
            status: row.get("status")?,
            verdict: row.get("verdict")?,
            reason: row.get("reason")?,
            submitted_unix_ms: row.get("submitted_unix_ms")?,
            started_unix_ms: row.get("started_unix_ms")?,
            ended_unix_ms: row.get("ended_unix_ms")?,
            trace_id: row.get("trace_id")?,
            has_report: row.get("has_report")?,
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

impl FromRow for EventRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at_unix_ms: row.get("at_unix_ms")?,
            kind: row.get("kind")?,
            message: row.get("message")?,
            status: row.get("status")?,
            verdict: row.get("verdict")?,
            data: row.get("data")?,
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

impl FromRow for NodeRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.get("name")?,
            host: row.get("host")?,
            version: row.get("version")?,
            labels: row.get("labels")?,
            clock_offset_ns: row.get("clock_offset_ns")?,
            clock_error_ns: row.get("clock_error_ns")?,
            clock_drift_ns: row.get("clock_drift_ns")?,
            shards: row.get("shards")?,
            offered: row.get("offered")?,
            lag_p99_ns: row.get("lag_p99_ns")?,
            run_delay_share: row.get("run_delay_share")?,
            throttled_ns: row.get("throttled_ns")?,
            resident_bytes_max: row.get("resident_bytes_max")?,
            deltas: row.get("deltas")?,
            lost: row.get("lost")?,
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
    pub(crate) host: Option<String>,
}

impl FromRow for RequestRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            node: row.get("node")?,
            group_name: row.get("group_name")?,
            step_name: row.get("step_name")?,
            idx: row.get("idx")?,
            planned_ns: row.get("planned_ns")?,
            sent_ns: row.get("sent_ns")?,
            done_ns: row.get("done_ns")?,
            status: row.get("status")?,
            outcome: row.get("outcome")?,
            span_id: row.get("span_id")?,
            host: row.get("host")?,
        })
    }
}

impl RequestRow {
    /// Its values as files of Parquet have them, in the order of their columns.
    pub(crate) fn into_values(self) -> [Value<'static>; 11] {
        [
            self.node.into(),
            self.group_name.into(),
            self.step_name.into(),
            self.idx.into(),
            self.planned_ns.into(),
            self.sent_ns.into(),
            self.done_ns.into(),
            self.status.into(),
            self.outcome.into(),
            self.span_id.map_or(Value::Text(None), |id| hexadecimal(id).into()),
            Value::Text(self.host.map(Into::into)),
        ]
    }

    /// Back from [`Self::into_values`]; `None` where they are not such.
    pub(crate) fn of_values(values: impl IntoIterator<Item = Value<'static>>) -> Option<Self> {
        let mut values = values.into_iter();
        let mut text = || values.next()?.into_text();
        let (node, group_name, step_name) = (text()?, text()?, text()?);
        let mut integer = || values.next()?.as_integer();
        let (idx, planned_ns, sent_ns, done_ns, status) = (integer()?, integer()?, integer(), integer(), integer());
        let outcome = values.next()?.into_text()?;
        let span_id = match values.next()?.into_text() {
            Some(text) => Some(from_hexadecimal(&text)?),
            None => None,
        };
        let host = values.next()?.into_text();
        Some(Self { node, group_name, step_name, idx, planned_ns, sent_ns, done_ns, status, outcome, span_id, host })
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
