//! Writing experiments, their events and their results.

use std::collections::BTreeMap;

use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::head::shown_tags;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::report::{NodeReport, Report};
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::second::ExperimentSecond;
use nuncius_schemas::spec::ExperimentSpec;

use crate::backend::{Dialect, IfThere, Table};
use crate::digest::digest;
use crate::error::StoreError;
use crate::numbers::{count, optional_count};
use crate::seconds::insert_seconds;
use crate::store::Store;
use crate::value::Value;
use crate::writing::Writing;

pub(crate) const PHASE: Table = Table { name: "phase", columns: &["experiment", "status", "at_unix_ms"] };
pub(crate) const EVENT: Table =
    Table { name: "event", columns: &["experiment", "at_unix_ms", "kind", "message", "status", "verdict", "data"] };
pub(crate) const EVENT_WITH_DIGEST: Table = Table {
    name: "event",
    columns: &["experiment", "at_unix_ms", "kind", "message", "status", "verdict", "data", "message_digest"],
};
pub(crate) const NODE: Table = Table {
    name: "node",
    columns: &[
        "experiment",
        "name",
        "host",
        "version",
        "labels",
        "clock_offset_ns",
        "clock_error_ns",
        "clock_drift_ns",
        "shards",
        "offered",
        "lag_p99_ns",
        "run_delay_share",
        "throttled_ns",
        "resident_bytes_max",
        "deltas",
        "lost",
    ],
};

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

    /// Keeps a merged second; one that is kept already is replaced, a late piece is kept beside it. A second is given
    /// whole, not in parts.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn put_second(&self, second: &ExperimentSecond) -> Result<(), StoreError> {
        self.keep(&[Piece::Second(second)]).await
    }

    /// Keeps pieces of one experiment, which is known or among them, in their order and in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of them is kept.
    pub async fn keep(&self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
        self.settled(|| self.keep_once(pieces)).await
    }

    async fn keep_once(&self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
        let id = pieces.first().map_or("", Piece::experiment);
        let mut writing = self.begin("write an experiment", id).await?;
        let mut seconds = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Experiment(record) => self.put_experiment(&mut writing, record).await?,
                Piece::Event(event) => {
                    insert_event(&mut writing, &event.experiment, event, &event_data(self, event)?).await?;
                    if let Some(status) = event.status {
                        insert_phase(&mut writing, &event.experiment, status, event.at_unix_ms).await?;
                    }
                }
                Piece::Second(second) => seconds.push(*second),
            }
        }
        insert_seconds(self, &mut writing, &seconds).await?;
        writing.commit().await
    }

    async fn put_experiment(&self, writing: &mut Writing<'_>, record: &RunRecord) -> Result<(), StoreError> {
        let spec = redact_spec(&record.spec);
        let document = serde_json::to_string(&spec).map_err(|source| self.json("specification", &record.id, source))?;
        let owner = self.owner().filter(|_| !record.status.is_terminal());
        let target = spec.groups.first().map(|group| group.target.as_str());
        let mut sql = "INSERT INTO experiment (id, stream_sequence, name, creator, status, verdict, reason, spec, \
             submitted_unix_ms, started_unix_ms, ended_unix_ms, trace_id, owner, target, tags) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            .to_owned();
        let columns = [
            "stream_sequence",
            "name",
            "creator",
            "status",
            "verdict",
            "reason",
            "spec",
            "submitted_unix_ms",
            "started_unix_ms",
            "ended_unix_ms",
            "owner",
            "target",
            "tags",
        ];
        sql.push_str(&self.dialect().or_update("id", &columns));
        sql.push_str(&or_as_it_was(self.dialect(), "trace_id"));
        let values = [
            (&record.id).into(),
            count(record.stream_sequence).into(),
            record.spec.name.as_ref().unwrap_or(&record.id).into(),
            (&record.spec.creator).into(),
            record.status.name().into(),
            record.verdict.map(|verdict| verdict.name()).into(),
            (&record.reason).into(),
            document.into(),
            count(record.submitted_unix_ms).into(),
            optional_count(record.started_unix_ms).into(),
            optional_count(record.ended_unix_ms).into(),
            record.traceparent.as_deref().and_then(trace_id).into(),
            owner.into(),
            target.into(),
            self.tags(&record.id, &spec)?.into(),
        ];
        writing.execute(&sql, &values).await.map(drop)
    }

    /// What lists show of the metadata, as JSON.
    fn tags(&self, id: &str, spec: &ExperimentSpec) -> Result<String, StoreError> {
        serde_json::to_string(&shown_tags(&spec.metadata)).map_err(|source| self.json("tags", id, source))
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
        self.settled(|| self.set_report_once(&report, &document, spec.as_deref())).await
    }

    async fn set_report_once(&self, report: &Report, document: &str, spec: Option<&str>) -> Result<(), StoreError> {
        let mut writing = self.begin("write a report", &report.id).await?;
        let mut sql = "INSERT INTO experiment (id, stream_sequence, name, creator, status, verdict, reason, spec, \
             report, submitted_unix_ms, started_unix_ms, ended_unix_ms, trace_id, target, tags, scheduled, offered) \
             VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            .to_owned();
        let columns = [
            "name",
            "status",
            "verdict",
            "reason",
            "report",
            "started_unix_ms",
            "ended_unix_ms",
            "scheduled",
            "offered",
        ];
        sql.push_str(&self.dialect().or_update("id", &columns));
        for column in ["spec", "trace_id", "target", "tags"] {
            sql.push_str(&or_as_it_was(self.dialect(), column));
        }
        let target = report.spec.as_ref().and_then(|spec| spec.groups.first()).map(|group| group.target.as_str());
        let tags = report.spec.as_ref().map(|spec| self.tags(&report.id, spec)).transpose()?;
        let values = [
            (&report.id).into(),
            (&report.name).into(),
            (&report.creator).into(),
            report.status.name().into(),
            report.verdict.map(|verdict| verdict.name()).into(),
            report.reasons.first().map(String::as_str).into(),
            spec.into(),
            document.into(),
            count(report.submitted_unix_ms).into(),
            optional_count(report.started_unix_ms).into(),
            optional_count(report.ended_unix_ms).into(),
            (&report.trace_id).into(),
            target.into(),
            (&tags).into(),
            count(report.scheduled).into(),
            count(report.offered).into(),
        ];
        writing.execute(&sql, &values).await?;
        writing.execute("DELETE FROM node WHERE experiment = ?", &[(&report.id).into()]).await?;
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
        let once = async || {
            let mut writing = self.begin("write a phase", experiment).await?;
            insert_phase(&mut writing, experiment, status, at_unix_ms).await?;
            writing.commit().await
        };
        self.settled(once).await
    }

    /// Keeps an event; the same one twice (a replay of the stream) is kept once.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written.
    pub async fn add_event(&self, event: &ExperimentEvent) -> Result<(), StoreError> {
        let data = event_data(self, event)?;
        let once = async || {
            let mut writing = self.begin("write an event", &event.experiment).await?;
            insert_event(&mut writing, &event.experiment, event, &data).await?;
            writing.commit().await
        };
        self.settled(once).await
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
        let dialect = self.dialect();
        let mut values: Vec<Value<'_>> =
            vec![experiment.into(), group.into(), step.into(), quantity.name().into(), bytes.into()];
        let (columns, places, keys) = if dialect.has_digests() {
            values.push(digest(&[group, step, quantity.name()]).into());
            (", name_digest", ", ?", "experiment, name_digest")
        } else {
            ("", "", "experiment, group_name, step_name, quantity")
        };
        let mut sql = format!(
            "INSERT INTO histogram (experiment, group_name, step_name, quantity, bytes{columns}) \
             VALUES (?, ?, ?, ?, ?{places})"
        );
        sql.push_str(&dialect.or_update(keys, &["bytes"]));
        self.execute_alone("write a histogram", experiment, &sql, &values).await
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
        let insert = "INSERT INTO checkpoint (experiment, stream_sequence, at_unix_ms, bytes) VALUES (?, ?, ?, ?)";
        let update = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => {
                " ON CONFLICT (experiment) DO UPDATE SET stream_sequence = excluded.stream_sequence, \
                 at_unix_ms = excluded.at_unix_ms, bytes = excluded.bytes \
                 WHERE excluded.stream_sequence >= checkpoint.stream_sequence"
            }
            // From left to right: the sequence of the one that is there is needed until the last.
            Dialect::MySql => {
                " ON DUPLICATE KEY UPDATE \
                 bytes = IF(VALUES(stream_sequence) >= stream_sequence, VALUES(bytes), bytes), \
                 at_unix_ms = IF(VALUES(stream_sequence) >= stream_sequence, VALUES(at_unix_ms), at_unix_ms), \
                 stream_sequence = GREATEST(VALUES(stream_sequence), stream_sequence)"
            }
        };
        let values = [experiment.into(), count(stream_sequence).into(), count(at_unix_ms).into(), bytes.into()];
        self.execute_alone("write a checkpoint", experiment, &format!("{insert}{update}"), &values).await
    }

    /// Runs one statement as a transaction.
    async fn execute_alone(
        &self,
        action: &'static str,
        experiment: &str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<(), StoreError> {
        let once = async || {
            let mut writing = self.begin(action, experiment).await?;
            writing.execute(sql, values).await?;
            writing.commit().await
        };
        self.settled(once).await
    }
}

/// The end of an INSERT, after others: a column that keeps its value where there is no new one.
fn or_as_it_was(dialect: Dialect, column: &str) -> String {
    format!(", {column} = coalesce({}, experiment.{column})", dialect.new_value(column))
}

/// The trace id in a W3C trace context: `00-<32 digits>-<16 digits>-01`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn event_data(store: &Store, event: &ExperimentEvent) -> Result<String, StoreError> {
    serde_json::to_string(&event.data).map_err(|source| store.json("event", &event.experiment, source))
}

pub(crate) async fn insert_phase(
    writing: &mut Writing<'_>,
    experiment: &str,
    status: RunStatus,
    at_unix_ms: u64,
) -> Result<(), StoreError> {
    let values = [experiment.into(), status.name().into(), count(at_unix_ms).into()];
    writing.insert_new(&PHASE, &values).await.map(drop)
}

async fn insert_event(
    writing: &mut Writing<'_>,
    experiment: &str,
    event: &ExperimentEvent,
    data: &str,
) -> Result<(), StoreError> {
    let mut values: Vec<Value<'_>> = vec![
        experiment.into(),
        count(event.at_unix_ms).into(),
        event.kind.name().into(),
        (&event.message).into(),
        event.status.map(|status| status.name()).into(),
        event.verdict.map(|verdict| verdict.name()).into(),
        data.into(),
    ];
    let table = if writing.dialect().has_digests() {
        values.push(digest(&[&event.message]).into());
        &EVENT_WITH_DIGEST
    } else {
        &EVENT
    };
    writing.insert_new(table, &values).await.map(drop)
}

async fn insert_nodes(writing: &mut Writing<'_>, experiment: &str, nodes: &[NodeReport]) -> Result<(), StoreError> {
    // Of several with one name the last counts.
    let by_name: BTreeMap<&str, &NodeReport> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(by_name.len() * NODE.columns.len());
    for node in by_name.into_values() {
        values.extend([
            experiment.into(),
            (&node.name).into(),
            (&node.host).into(),
            (&node.version).into(),
            serde_json::Value::from_iter(node.labels.clone()).to_string().into(),
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
        ]);
    }
    writing.insert(&NODE, &values, IfThere::Fail).await
}
