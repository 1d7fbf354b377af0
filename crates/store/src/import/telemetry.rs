//! Telemetry of machines: samples first, so that the store numbers them, then their figures.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::backend::IfThere;
use crate::column_rows::{ColumnRows, FileRow};
use crate::digest::digest;
use crate::import::checks::{self, integer, text};
use crate::import::error::ImportError;
use crate::import::place::{at_file, at_row, of_rows};
use crate::tables::TELEMETRY;
use crate::telemetry::{SAMPLE, SERIES, SERIES_WITH_DIGEST, VALUE};
use crate::value::{FromRow, Row, Value};
use crate::writing::Writing;

/// Samples whose numbers are looked up together.
const SAMPLES_AT_ONCE: i64 = 10_000;
/// Most figures by name: they are in memory.
const SERIES_MAX: usize = 1_000_000;

/// Node, metric, and what it is of.
type Figure = (String, String, String);

/// A sample that the store has.
struct Numbered {
    id: i64,
    node: String,
}

impl FromRow for Numbered {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.get("id")?, node: row.get("node")? })
    }
}

/// A figure that the store has.
struct Series {
    id: i64,
    figure: Figure,
    unit: String,
}

impl FromRow for Series {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let figure = (row.get("node")?, row.get("metric")?, row.get("subsystem")?);
        Ok(Self { id: row.get("id")?, figure, unit: row.get("unit")? })
    }
}

/// Writes the samples; how many there are.
pub(super) async fn samples(
    writing: &mut Writing<'_>,
    experiment: &str,
    mut file: ColumnRows,
) -> Result<u64, ImportError> {
    let mut number = 0;
    while let Some((first, rows)) = file.next_rows().map_err(at_file(&file))? {
        let mut values: Vec<Value<'_>> = Vec::with_capacity(rows.len() * SAMPLE.columns.len());
        for (mut row, at) in rows.into_iter().zip(first..) {
            checks::sample(&mut row, number).map_err(|problem| at_row(file.path(), at, problem))?;
            values.push(experiment.into());
            values.extend(row);
            number += 1;
        }
        writing.renew();
        let done = writing.insert(&SAMPLE, &values, IfThere::Fail).await;
        done.map_err(|error| of_rows(file.path(), first, error))?;
    }
    Ok(number)
}

/// Writes the figures of so many samples; how many there are.
pub(super) async fn figures(
    writing: &mut Writing<'_>,
    experiment: &str,
    mut file: ColumnRows,
    samples: u64,
) -> Result<u64, ImportError> {
    let mut window = Window { ids: VecDeque::new(), first: 0, last_id: 0, samples };
    let mut series = Known::default();
    let mut written = 0;
    while let Some((first, rows)) = file.next_rows().map_err(at_file(&file))? {
        writing.renew();
        series.learn(writing, experiment, &rows).await?;
        if series.by_figure.len() > SERIES_MAX {
            let problem = format!("more than {SERIES_MAX} figures have names of their own");
            return Err(at_row(file.path(), first, problem));
        }
        let mut values: Vec<Value<'_>> = Vec::with_capacity(rows.len() * VALUE.columns.len());
        for (row, at) in rows.iter().zip(first..) {
            let wrong = |problem: String| at_row(file.path(), at, problem);
            checks::is_number(&TELEMETRY, row, "value").map_err(wrong)?;
            let number = integer(&TELEMETRY, row, "sample").and_then(|number| u64::try_from(number).ok());
            let Some(sample) = window.sample(writing, experiment, number).await? else {
                let problem = format!("column `sample`: none of the {samples} samples comes next with this number");
                return Err(wrong(problem));
            };
            let series = series.number(row, &sample.node).map_err(wrong)?;
            let value = checks::value(&TELEMETRY, row, "value").cloned().unwrap_or(Value::Integer(None));
            values.extend([sample.id.into(), series.into(), value]);
        }
        let done = writing.insert(&VALUE, &values, IfThere::Fail).await;
        done.map_err(|error| of_rows(file.path(), first, error))?;
        written += rows.len() as u64;
    }
    Ok(written)
}

/// The samples from the present one on, as far as they were looked up.
struct Window {
    ids: VecDeque<Numbered>,
    /// Place of the first of them among all.
    first: u64,
    last_id: i64,
    samples: u64,
}

impl Window {
    /// The sample at this place among all, which is not before the last that was asked for; none where there is none.
    async fn sample(
        &mut self,
        writing: &mut Writing<'_>,
        experiment: &str,
        number: Option<u64>,
    ) -> Result<Option<&Numbered>, ImportError> {
        let Some(number) = number.filter(|number| (self.first..self.samples).contains(number)) else { return Ok(None) };
        loop {
            while self.first < number && self.ids.pop_front().is_some() {
                self.first += 1;
            }
            if !self.ids.is_empty() {
                return Ok(self.ids.front());
            }
            let sql = "SELECT id, node FROM telemetry_sample WHERE experiment = ? AND id > ? ORDER BY id LIMIT ?";
            let after = [experiment.into(), self.last_id.into(), SAMPLES_AT_ONCE.into()];
            self.ids = writing.rows::<Numbered>(sql, &after).await?.into();
            match self.ids.back() {
                Some(last) => self.last_id = last.id,
                None => return Ok(None),
            }
        }
    }
}

/// The figures that the store has numbers for.
#[derive(Default)]
struct Known {
    by_figure: BTreeMap<Figure, (i64, String)>,
    last_id: i64,
}

fn figure(row: &FileRow) -> Figure {
    let part = |name| text(&TELEMETRY, row, name).to_owned();
    (part("node"), part("metric"), part("subsystem"))
}

impl Known {
    /// Has numbers given to the figures of these rows that have none, in the order in which they come.
    async fn learn(
        &mut self,
        writing: &mut Writing<'_>,
        experiment: &str,
        rows: &[FileRow],
    ) -> Result<(), ImportError> {
        let has_digests = writing.dialect().has_digests();
        let mut seen: BTreeSet<Figure> = BTreeSet::new();
        let mut values: Vec<Value<'_>> = Vec::new();
        for row in rows {
            let figure = figure(row);
            if self.by_figure.contains_key(&figure) || !seen.insert(figure.clone()) {
                continue;
            }
            let (node, metric, subsystem) = figure;
            let hash = digest(&[&metric, &subsystem]);
            let unit = text(&TELEMETRY, row, "unit");
            values.extend([experiment.into(), node.into(), metric.into(), subsystem.into(), unit.into()]);
            if has_digests {
                values.push(hash.into());
            }
        }
        if values.is_empty() {
            return Ok(());
        }
        let table = if has_digests { &SERIES_WITH_DIGEST } else { &SERIES };
        writing.insert(table, &values, IfThere::Keep).await?;
        let sql = "SELECT id, node, metric, subsystem, unit FROM telemetry_series WHERE experiment = ? AND id > ? \
                   ORDER BY id";
        for Series { id, figure, unit } in writing.rows(sql, &[experiment.into(), self.last_id.into()]).await? {
            self.last_id = id;
            self.by_figure.insert(figure, (id, unit));
        }
        Ok(())
    }

    /// The number of a row's figure, which is of a sample of this node.
    fn number(&self, row: &FileRow, node: &str) -> Result<i64, String> {
        let figure = figure(row);
        if figure.0 != node {
            return Err(format!("column `node`: it is of `{}`, and its sample of `{node}`", figure.0));
        }
        let (id, unit) = self.by_figure.get(&figure).ok_or_else(|| format!("`{}` has no number", figure.1))?;
        let told = text(&TELEMETRY, row, "unit");
        if unit == told {
            return Ok(*id);
        }
        Err(format!("column `unit`: it is `{told}`, and was `{unit}` before"))
    }
}
