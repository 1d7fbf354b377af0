//! Telemetry of machines: samples with their figures, each once.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use nuncius_schemas::telemetry::{NodeTelemetry, for_each_value};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite};

use crate::error::StoreError;
use crate::numbers::{bits, count, unbits, uncount};
use crate::store::Store;
use crate::writing::Writing;

/// Rows of one INSERT: 5 columns × 500 stay well below SQLite's 32 766 values.
const ROWS_PER_INSERT: usize = 500;

/// One figure of one node: metric and what it is of.
type Figure = (&'static str, String);

/// Numbers that the store has given to figures of nodes. Kept by whoever stores many samples of an experiment, so that
/// they are looked up once.
#[derive(Debug, Default)]
pub struct TelemetrySeries {
    /// Of which file: one that is made anew gives other numbers.
    generation: u64,
    by_node: BTreeMap<String, BTreeMap<Figure, i64>>,
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

impl FromRow<'_, SqliteRow> for TelemetryRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at_unix_ns: uncount(row.try_get("at_unix_ns")?),
            metric: row.try_get("metric")?,
            subsystem: row.try_get("subsystem")?,
            node: row.try_get("node")?,
            value: row.try_get("value")?,
            unit: row.try_get("unit")?,
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

impl FromRow<'_, SqliteRow> for TelemetryCoverage {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            node: row.try_get("node")?,
            epoch: unbits(row.try_get("epoch")?),
            first_sequence: uncount(row.try_get("first_sequence")?),
            last_sequence: uncount(row.try_get("last_sequence")?),
            samples: uncount(row.try_get("samples")?),
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
        // What is no number means nothing, and SQLite has none of it.
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
        let mut writing = self.begin("write telemetry", experiment).await?;
        if series.generation != self.generation() {
            *series = TelemetrySeries { generation: self.generation(), ..TelemetrySeries::default() };
        }
        // Numbers that are given now are known only once all is written.
        let mut fresh: BTreeMap<String, BTreeMap<Figure, i64>> = BTreeMap::new();
        let mut added = 0;
        for sample in samples {
            let rows = rows_of(sample);
            let Some(id) = insert_sample(&mut writing, experiment, sample, rows.len()).await? else { continue };
            let known = series.by_node.get(&sample.node);
            let given = fresh.entry(sample.node.clone()).or_default();
            let is_known =
                |figure: &Figure| known.is_some_and(|known| known.contains_key(figure)) || given.contains_key(figure);
            let unknown: Vec<&Row> = rows.iter().filter(|row| !is_known(&row.figure)).collect();
            if !unknown.is_empty() {
                insert_series(&mut writing, experiment, &sample.node, &unknown, given).await?;
            }
            let number = |figure: &Figure| known.and_then(|known| known.get(figure)).or_else(|| given.get(figure));
            let numbered: Vec<(i64, f64)> =
                rows.iter().filter_map(|row| Some((*number(&row.figure)?, row.value))).collect();
            for chunk in numbered.chunks(ROWS_PER_INSERT) {
                let mut insert =
                    QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO telemetry_value (sample, series, value) ");
                insert.push_values(chunk, |mut values, (series, value)| {
                    values.push_bind(id).push_bind(*series).push_bind(*value);
                });
                added += writing.execute(insert.build()).await?;
            }
        }
        writing.commit().await?;
        for (node, figures) in fresh {
            series.by_node.entry(node).or_default().extend(figures);
        }
        Ok(added)
    }

    /// How many figures of machines an experiment has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn telemetry_rows(&self, experiment: &str) -> Result<u64, StoreError> {
        let pool = self.readers().await?;
        let statement = "SELECT coalesce(sum(rows), 0) FROM telemetry_sample WHERE experiment = ?";
        let rows = sqlx::query_scalar::<_, i64>(statement).bind(experiment).fetch_one(&pool).await;
        rows.map(uncount).map_err(|source| self.failed("read telemetry", experiment, source))
    }

    /// What an experiment has of each sampler.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn telemetry_coverage(&self, experiment: &str) -> Result<Vec<TelemetryCoverage>, StoreError> {
        let pool = self.readers().await?;
        let statement = "SELECT node, epoch, min(sequence) AS first_sequence, max(sequence) AS last_sequence, \
                         count(*) AS samples FROM telemetry_sample WHERE experiment = ? \
                         GROUP BY node, epoch ORDER BY node, epoch";
        let rows = sqlx::query_as(statement).bind(experiment).fetch_all(&pool).await;
        rows.map_err(|source| self.failed("read telemetry", experiment, source))
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
        let failed = |source| self.failed("read telemetry", id, source);
        let pool = self.readers().await?;
        // CROSS JOIN keeps SQLite to this order of tables, in which nothing has to be sorted.
        let mut rows = sqlx::query_as::<_, TelemetryRow>(
            "SELECT sample.at_unix_ns, series.metric, series.subsystem, sample.node, value.value, series.unit \
             FROM telemetry_sample AS sample CROSS JOIN telemetry_value AS value CROSS JOIN telemetry_series AS series \
             WHERE sample.experiment = ? AND value.sample = sample.id AND series.id = value.series \
             ORDER BY sample.id, value.series",
        )
        .bind(id)
        .fetch(&pool);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            take(row)?;
        }
        Ok(())
    }
}

/// Writes a sample without its figures; its number, or none where it is there already.
async fn insert_sample(
    writing: &mut Writing<'_>,
    experiment: &str,
    sample: &NodeTelemetry,
    rows: usize,
) -> Result<Option<i64>, StoreError> {
    let statement = sqlx::query_as::<_, (i64,)>(
        "INSERT INTO telemetry_sample (experiment, node, machine, epoch, sequence, at_unix_ns, at_monotonic_ns, rows) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(experiment)
    .bind(&sample.node)
    .bind(&sample.machine)
    .bind(bits(sample.epoch))
    .bind(count(sample.sequence))
    .bind(count(sample.at_unix_ns))
    .bind(count(sample.at_monotonic_ns))
    .bind(count(rows as u64));
    Ok(writing.rows(statement).await?.first().map(|(id,)| *id))
}

/// Has numbers given to figures of a node.
async fn insert_series(
    writing: &mut Writing<'_>,
    experiment: &str,
    node: &str,
    unknown: &[&Row],
    given: &mut BTreeMap<Figure, i64>,
) -> Result<(), StoreError> {
    for chunk in unknown.chunks(ROWS_PER_INSERT) {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO telemetry_series (experiment, node, metric, subsystem, unit) ");
        insert.push_values(chunk, |mut values, row| {
            values
                .push_bind(experiment)
                .push_bind(node)
                .push_bind(row.figure.0)
                .push_bind(&row.figure.1)
                .push_bind(row.unit);
        });
        insert.push(" ON CONFLICT DO NOTHING");
        writing.execute(insert.build()).await?;
    }
    let names: BTreeMap<&str, &'static str> = unknown.iter().map(|row| (row.figure.0, row.figure.0)).collect();
    let statement = sqlx::query_as::<_, (i64, String, String)>(
        "SELECT id, metric, subsystem FROM telemetry_series WHERE experiment = ? AND node = ?",
    )
    .bind(experiment)
    .bind(node);
    for (id, metric, subsystem) in writing.rows(statement).await? {
        if let Some(name) = names.get(metric.as_str()) {
            given.insert((name, subsystem), id);
        }
    }
    Ok(())
}
