//! The histograms of merged seconds, and what of a run is compared with another, made from them.

use std::collections::BTreeMap;

use nuncius_schemas::comparison::{ComparableRun, PartName};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::second::{Distribution, ExperimentSecond, StepSecond};
use nuncius_schemas::steps::ITERATION;
use nuncius_stats::compare::{ComparedSecond, PartSeries};
use nuncius_stats::encoding::DecodeError;
use nuncius_stats::{Observed, Totals};

use crate::backend::Table;
use crate::error::StoreError;
use crate::numbers::uncount;
use crate::store::Store;
use crate::value::{FromRow, Row as Stored, Value};

pub(crate) const HISTOGRAM: Table = Table {
    name: "second_histogram",
    columns: &[
        "experiment",
        "second",
        "late",
        "group_index",
        "step_index",
        "left_out",
        "response",
        "censored_response",
        "service",
        "censored_service",
    ],
};

/// Group and step by index.
type Key = (i64, i64);

/// One part of one second.
struct Row {
    second: i64,
    key: Key,
    group_name: String,
    step_name: String,
    offered_ns: u64,
    succeeded: u64,
    failed: u64,
    left_out: bool,
    response: [Option<Vec<u8>>; 2],
    service: [Option<Vec<u8>>; 2],
}

impl FromRow for Row {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self {
            second: row.get("second")?,
            key: (row.get("group_index")?, row.get("step_index")?),
            group_name: row.get("group_name")?,
            step_name: row.get("step_name")?,
            offered_ns: uncount(row.get("offered_ns")?),
            succeeded: uncount(row.get("succeeded")?),
            failed: uncount(row.get("failed")?),
            left_out: row.get::<Option<bool>>("left_out")?.unwrap_or(false),
            response: [row.get("response")?, row.get("censored_response")?],
            service: [row.get("service")?, row.get("censored_service")?],
        })
    }
}

/// The histograms of one part of one second, as they are kept.
pub(crate) struct SecondHistograms {
    pub(crate) second: i64,
    pub(crate) late: i64,
    pub(crate) group_index: i64,
    pub(crate) step_index: i64,
    pub(crate) left_out: bool,
    pub(crate) response: Option<Vec<u8>>,
    pub(crate) censored_response: Option<Vec<u8>>,
    pub(crate) service: Option<Vec<u8>>,
    pub(crate) censored_service: Option<Vec<u8>>,
}

impl FromRow for SecondHistograms {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self {
            second: row.get("second")?,
            late: row.get("late")?,
            group_index: row.get("group_index")?,
            step_index: row.get("step_index")?,
            left_out: row.get("left_out")?,
            response: row.get("response")?,
            censored_response: row.get("censored_response")?,
            service: row.get("service")?,
            censored_service: row.get("censored_service")?,
        })
    }
}

/// Which part has response times.
struct Part(Key);

impl FromRow for Part {
    fn from_row(row: &Stored) -> Result<Self, sqlx::Error> {
        Ok(Self((row.get("group_index")?, row.get("step_index")?)))
    }
}

impl Row {
    fn second(&self, quantity: Quantity) -> Result<ComparedSecond, DecodeError> {
        let [completed, censored] = match quantity {
            Quantity::Response => &self.response,
            Quantity::Service | Quantity::Blocked | Quantity::Lag => &self.service,
        };
        let decode = |bytes: &Option<Vec<u8>>| Totals::decode(bytes.as_deref().unwrap_or_default());
        Ok(ComparedSecond {
            latency: Observed { completed: decode(completed)?, censored: decode(censored)? },
            succeeded: self.succeeded,
            failed: self.failed,
            offered_ns: self.offered_ns,
            without_histogram: self.left_out,
        })
    }

    fn part(&self) -> PartName {
        // Whole iterations of a group with several steps; the only step of a group has its own name.
        let step = (self.step_name != ITERATION).then(|| self.step_name.clone());
        PartName { group: self.group_name.clone(), step }
    }
}

impl Store {
    /// What of an experiment is compared with another: each part's seconds with their histograms, in a bounded number
    /// of rows. Latencies are response times where the part has any, else service times.
    ///
    /// # Errors
    /// When the experiment is not known, the store cannot be read, or a histogram in it is not what it should be.
    pub async fn comparable(&self, id: &str) -> Result<ComparableRun, StoreError> {
        self.experiment(id).await?;
        let corrupt = |source| StoreError::Histogram { store: self.name(), id: id.to_owned(), source };
        let about = ("read what is compared", id);
        let with_response: Vec<Part> = self
            .fetch(
                about,
                "SELECT DISTINCT group_index, step_index FROM second_histogram \
                 WHERE experiment = ? AND response IS NOT NULL",
                &[id.into()],
            )
            .await?;
        let quantity_of = |key: Key| match with_response.iter().any(|Part(with)| *with == key) {
            true => Quantity::Response,
            false => Quantity::Service,
        };
        let mut parts: BTreeMap<Key, PartSeries> = BTreeMap::new();
        let mut current: BTreeMap<Key, ComparedSecond> = BTreeMap::new();
        let mut at = None;
        let sql = "SELECT s.second, s.group_index, s.step_index, s.group_name, s.step_name, s.offered_ns, s.succeeded, \
             s.failed, h.left_out, h.response, h.censored_response, h.service, h.censored_service \
             FROM second s LEFT JOIN second_histogram h ON h.experiment = s.experiment AND h.second = s.second \
             AND h.late = s.late AND h.group_index = s.group_index AND h.step_index = s.step_index \
             WHERE s.experiment = ? ORDER BY s.second, s.late, s.group_index, s.step_index";
        let take = |row: Row| {
            if at.replace(row.second).is_some_and(|before| before != row.second) {
                push_all(&mut parts, &mut current).map_err(corrupt)?;
            }
            let quantity = quantity_of(row.key);
            parts.entry(row.key).or_insert_with(|| PartSeries::new(row.part(), quantity));
            let second = row.second(quantity).map_err(corrupt)?;
            match current.get_mut(&row.key) {
                // What came late of it.
                Some(known) => known.add(&second).map_err(corrupt)?,
                None => {
                    current.insert(row.key, second);
                }
            }
            Ok(())
        };
        self.for_each(about, sql, &[id.into()], take).await?;
        push_all(&mut parts, &mut current).map_err(corrupt)?;
        let parts = parts.into_values().map(PartSeries::into_part).collect();
        Ok(ComparableRun { experiment: id.to_owned(), parts })
    }
}

impl Store {
    /// Hands the histograms of each part of each second of an experiment to `take`, in order.
    pub(crate) async fn for_each_second_histogram(
        &self,
        id: &str,
        take: impl FnMut(SecondHistograms) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT * FROM second_histogram WHERE experiment = ? \
                   ORDER BY second, late, group_index, step_index";
        self.for_each(("read the histograms of seconds", id), sql, &[id.into()], take).await
    }
}

/// Ends a second. One in which nothing was offered and nothing ended says nothing: the warm-up, for one.
fn push_all(
    parts: &mut BTreeMap<Key, PartSeries>,
    current: &mut BTreeMap<Key, ComparedSecond>,
) -> Result<(), DecodeError> {
    for (key, second) in std::mem::take(current) {
        if let Some(part) = parts.get_mut(&key).filter(|_| !second.is_empty()) {
            part.push(&second)?;
        }
    }
    Ok(())
}

/// The rows of the histograms of a second.
pub(crate) fn histogram_values<'a>(second: &'a ExperimentSecond, late: i64, values: &mut Vec<Value<'a>>) {
    for group in &second.groups {
        for (_, step) in group.recorders() {
            let StepSecond { response, censored_response, service, censored_service, .. } = step;
            let all = [response, censored_response, service, censored_service];
            if all.iter().all(|series| series.count == 0) {
                continue;
            }
            let is_left_out = all.iter().any(|series| series.count > 0 && series.histogram.is_empty());
            values.extend([
                (&second.experiment).into(),
                i64::from(second.second).into(),
                late.into(),
                i64::from(group.group).into(),
                i64::from(step.step).into(),
                is_left_out.into(),
            ]);
            values.extend(all.map(|series| Value::from(histogram(series))));
        }
    }
}

fn histogram(series: &Distribution) -> Option<&[u8]> {
    (!series.histogram.is_empty()).then_some(series.histogram.as_slice())
}
