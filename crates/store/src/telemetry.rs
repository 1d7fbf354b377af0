//! Telemetry of machines: samples with their figures, each once.

use std::collections::BTreeMap;

use nuncius_schemas::telemetry::{NodeTelemetry, for_each_value};

use crate::backend::{IfThere, Table};
use crate::digest::digest;
use crate::error::StoreError;
use crate::numbers::{bits, count, unbits, uncount};
use crate::store::Store;
use crate::value::{FromRow, Row as Stored, Value};
use crate::writing::Writing;

pub(crate) const SAMPLE: Table = Table {
    name: "telemetry_sample",
    columns: &["experiment", "node", "machine", "epoch", "sequence", "at_unix_ns", "at_monotonic_ns", "row_count"],
};
pub(crate) const SERIES: Table =
    Table { name: "telemetry_series", columns: &["experiment", "node", "metric", "subsystem", "unit"] };
pub(crate) const SERIES_WITH_DIGEST: Table = Table {
    name: "telemetry_series",
    columns: &["experiment", "node", "metric", "subsystem", "unit", "figure_digest"],
};
pub(crate) const VALUE: Table = Table { name: "telemetry_value", columns: &["sample", "series", "value"] };

/// One figure of one node: metric and what it is of.
type Figure = (&'static str, String);

/// Numbers that the store has given to figures of nodes. Kept by whoever stores many samples of an experiment, so that
/// they are looked up once.
#[derive(Debug, Default)]
pub struct TelemetrySeries {
    /// Of which file: one that is made anew gives other numbers.
    generation: u64,
    by_node: Numbers,
}

/// Numbers of figures, by node.
type Numbers = BTreeMap<String, BTreeMap<Figure, i64>>;

struct SampleId(i64);

impl FromRow for SampleId {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        row.get("id").map(Self)
    }
}

struct SeriesId {
    id: i64,
    metric: String,
    subsystem: String,
}

impl FromRow for SeriesId {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.get("id")?, metric: row.get("metric")?, subsystem: row.get("subsystem")? })
    }
}

/// One figure at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryRow {
    /// When, on the node's wall clock, in nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// The figure.
    pub metric: String,
    /// What it is of; empty for the whole machine.
    pub subsystem: String,
    /// The node.
    pub node: String,
    /// How much.
    pub value: f64,
    /// In what; empty for numbers of things.
    pub unit: String,
}

impl FromRow for TelemetryRow {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at_unix_ns: uncount(row.get("at_unix_ns")?),
            metric: row.get("metric")?,
            subsystem: row.get("subsystem")?,
            node: row.get("node")?,
            value: row.get("value")?,
            unit: row.get("unit")?,
        })
    }
}

/// A figure, and the store's number of the sample that it is of.
pub(crate) struct SampleFigure {
    pub(crate) sample: i64,
    pub(crate) row: TelemetryRow,
}

impl FromRow for SampleFigure {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self { sample: row.get("sample")?, row: TelemetryRow::from_row(row)? })
    }
}

/// One message of a sampler, as it is kept, without its figures.
pub(crate) struct Sample {
    pub(crate) id: i64,
    pub(crate) node: String,
    pub(crate) machine: String,
    /// The signed number of the same bits.
    pub(crate) epoch: i64,
    pub(crate) sequence: i64,
    pub(crate) at_unix_ns: i64,
    pub(crate) at_monotonic_ns: i64,
    pub(crate) row_count: i64,
}

impl FromRow for Sample {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.get("id")?,
            node: row.get("node")?,
            machine: row.get("machine")?,
            epoch: row.get("epoch")?,
            sequence: row.get("sequence")?,
            at_unix_ns: row.get("at_unix_ns")?,
            at_monotonic_ns: row.get("at_monotonic_ns")?,
            row_count: row.get("row_count")?,
        })
    }
}

/// What there is of one sampler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryCoverage {
    /// The node.
    pub node: String,
    /// The sampler.
    pub epoch: u64,
    /// Its first message that is stored.
    pub first_sequence: u64,
    /// Its last.
    pub last_sequence: u64,
    /// How many are.
    pub samples: u64,
}

impl FromRow for TelemetryCoverage {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self {
            node: row.get("node")?,
            epoch: unbits(row.get("epoch")?),
            first_sequence: uncount(row.get("first_sequence")?),
            last_sequence: uncount(row.get("last_sequence")?),
            samples: uncount(row.get("samples")?),
        })
    }
}

/// How many figures a sample has that are stored: those that are numbers.
pub fn telemetry_rows(sample: &NodeTelemetry) -> u64 {
    let mut rows = 0;
    for_each_value(sample, |value| rows += u64::from(value.value.is_finite()));
    rows
}

/// A figure before it is written.
struct Row {
    figure: Figure,
    unit: &'static str,
    value: f64,
}

fn rows_of(sample: &NodeTelemetry) -> Vec<Row> {
    let mut rows = Vec::new();
    for_each_value(sample, |value| {
        // What is no number means nothing, and not every database has it.
        if value.value.is_finite() {
            let figure = (value.metric.name, value.subsystem.to_owned());
            rows.push(Row { figure, unit: value.metric.unit.name(), value: value.value });
        }
    });
    rows
}

impl Store {
    /// Keeps samples of machines with an experiment, in one transaction; one that is there already changes nothing.
    /// Returns how many figures were added.
    ///
    /// # Errors
    /// When the experiment is not known, or the store cannot be written; then nothing of them is kept.
    pub async fn add_telemetry(
        &self,
        experiment: &str,
        samples: &[NodeTelemetry],
        series: &mut TelemetrySeries,
    ) -> Result<u64, StoreError> {
        if series.generation != self.generation() {
            *series = TelemetrySeries { generation: self.generation(), ..TelemetrySeries::default() };
        }
        // Numbers that are given now are known only once all is written.
        let known = &series.by_node;
        let (added, fresh) = self.settled(|| self.add_telemetry_once(experiment, samples, known)).await?;
        for (node, figures) in fresh {
            series.by_node.entry(node).or_default().extend(figures);
        }
        Ok(added)
    }

    async fn add_telemetry_once(
        &self,
        experiment: &str,
        samples: &[NodeTelemetry],
        known: &Numbers,
    ) -> Result<(u64, Numbers), StoreError> {
        let mut writing = self.begin("write telemetry", experiment).await?;
        let mut fresh = Numbers::new();
        let mut added = 0;
        let mut values: Vec<Value<'_>> = Vec::new();
        for sample in samples {
            let rows = rows_of(sample);
            let Some(id) = insert_sample(&mut writing, experiment, sample, rows.len()).await? else { continue };
            let known = known.get(&sample.node);
            let given = fresh.entry(sample.node.clone()).or_default();
            let is_known =
                |figure: &Figure| known.is_some_and(|known| known.contains_key(figure)) || given.contains_key(figure);
            let unknown: Vec<&Row> = rows.iter().filter(|row| !is_known(&row.figure)).collect();
            if !unknown.is_empty() {
                insert_series(&mut writing, experiment, &sample.node, &unknown, given).await?;
            }
            let number = |figure: &Figure| known.and_then(|known| known.get(figure)).or_else(|| given.get(figure));
            // A figure that a sample has twice counts once, as it was told first.
            let mut numbered: BTreeMap<i64, f64> = BTreeMap::new();
            for row in &rows {
                if let Some(number) = number(&row.figure) {
                    numbered.entry(*number).or_insert(row.value);
                }
            }
            added += numbered.len() as u64;
            for (series, value) in numbered {
                values.extend([id.into(), series.into(), value.into()]);
            }
        }
        writing.insert(&VALUE, &values, IfThere::Fail).await?;
        writing.commit().await?;
        Ok((added, fresh))
    }

    /// How many figures of machines an experiment has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn telemetry_rows(&self, experiment: &str) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT CAST(coalesce(sum(row_count), 0) AS {}) AS found FROM telemetry_sample WHERE experiment = ?",
            self.dialect().integer()
        );
        self.fetch_number(("read telemetry", experiment), &sql, &[experiment.into()]).await.map(uncount)
    }

    /// What an experiment has of each sampler.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn telemetry_coverage(&self, experiment: &str) -> Result<Vec<TelemetryCoverage>, StoreError> {
        let sql = "SELECT node, epoch, min(sequence) AS first_sequence, max(sequence) AS last_sequence, \
                   count(*) AS samples FROM telemetry_sample WHERE experiment = ? \
                   GROUP BY node, epoch ORDER BY node, epoch";
        self.fetch(("read telemetry", experiment), sql, &[experiment.into()]).await
    }

    /// Hands each figure of the machines of an experiment to `take`, sample by sample as they came. Row by row, so that
    /// a long run needs no more memory.
    ///
    /// # Errors
    /// When the store cannot be read, or `take` fails.
    pub async fn for_each_telemetry(
        &self,
        id: &str,
        mut take: impl FnMut(TelemetryRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.for_each_figure(id, |figure| take(figure.row)).await
    }

    /// The same with the samples that figures are of.
    pub(crate) async fn for_each_figure(
        &self,
        id: &str,
        take: impl FnMut(SampleFigure) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // CROSS JOIN keeps SQLite to this order of tables, in which nothing has to be sorted.
        let sql = "SELECT s.id AS sample, s.at_unix_ns, f.metric, f.subsystem, s.node, v.value, f.unit \
             FROM telemetry_sample s CROSS JOIN telemetry_value v CROSS JOIN telemetry_series f \
             WHERE s.experiment = ? AND v.sample = s.id AND f.id = v.series ORDER BY s.id, v.series";
        self.for_each(("read telemetry", id), sql, &[id.into()], take).await
    }

    /// Hands each sample of the machines of an experiment to `take`, as they came.
    pub(crate) async fn for_each_sample(
        &self,
        id: &str,
        take: impl FnMut(Sample) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT * FROM telemetry_sample WHERE experiment = ? ORDER BY id";
        self.for_each(("read telemetry", id), sql, &[id.into()], take).await
    }
}

/// Writes a sample without its figures; its number, or none where it is there already.
async fn insert_sample(
    writing: &mut Writing<'_>,
    experiment: &str,
    sample: &NodeTelemetry,
    rows: usize,
) -> Result<Option<i64>, StoreError> {
    let values = [
        experiment.into(),
        (&sample.node).into(),
        (&sample.machine).into(),
        bits(sample.epoch).into(),
        count(sample.sequence).into(),
        count(sample.at_unix_ns).into(),
        count(sample.at_monotonic_ns).into(),
        count(rows as u64).into(),
    ];
    if !writing.insert_new(&SAMPLE, &values).await? {
        return Ok(None);
    }
    let sql = "SELECT id FROM telemetry_sample WHERE experiment = ? AND node = ? AND epoch = ? AND sequence = ?";
    let key = [experiment.into(), (&sample.node).into(), bits(sample.epoch).into(), count(sample.sequence).into()];
    let found: Vec<SampleId> = writing.rows(sql, &key).await?;
    Ok(found.first().map(|SampleId(id)| *id))
}

/// Has numbers given to figures of a node.
async fn insert_series(
    writing: &mut Writing<'_>,
    experiment: &str,
    node: &str,
    unknown: &[&Row],
    given: &mut BTreeMap<Figure, i64>,
) -> Result<(), StoreError> {
    let table = if writing.dialect().has_digests() { &SERIES_WITH_DIGEST } else { &SERIES };
    let mut values: Vec<Value<'_>> = Vec::new();
    for row in unknown {
        let (metric, subsystem) = &row.figure;
        values.extend([experiment.into(), node.into(), (*metric).into(), subsystem.into(), row.unit.into()]);
        if writing.dialect().has_digests() {
            values.push(digest(&[metric, subsystem]).into());
        }
    }
    writing.insert(table, &values, IfThere::Keep).await?;
    let names: BTreeMap<&str, &'static str> = unknown.iter().map(|row| (row.figure.0, row.figure.0)).collect();
    let sql = "SELECT id, metric, subsystem FROM telemetry_series WHERE experiment = ? AND node = ?";
    for SeriesId { id, metric, subsystem } in writing.rows(sql, &[experiment.into(), node.into()]).await? {
        if let Some(name) = names.get(metric.as_str()) {
            given.insert((name, subsystem), id);
        }
    }
    Ok(())
}
