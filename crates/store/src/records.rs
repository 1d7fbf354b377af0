//! Request records: batches of rows, each batch once.

use nuncius_schemas::record::{BATCH_ROWS_MAX, RecordBatch};
use nuncius_schemas::spec::ExperimentSpec;
use sqlx::{QueryBuilder, Sqlite};

use crate::error::StoreError;
use crate::numbers::{bits, count};
use crate::store::Store;

/// Rows of one INSERT: 11 columns × 500 are 5 500 values, below SQLite's 32 766; longer statements are no faster.
const ROWS_PER_INSERT: usize = 500;

/// Names of the groups and steps that a batch refers to by index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepNames {
    groups: Vec<(String, Vec<String>)>,
}

impl StepNames {
    /// The names that reports show: with several steps, one past the last is the whole `iteration`.
    pub fn of(spec: &ExperimentSpec) -> Self {
        let groups = spec
            .groups
            .iter()
            .map(|group| {
                let mut steps = group.step_names();
                if steps.len() > 1 {
                    steps.push("iteration".to_owned());
                }
                (group.name.clone(), steps)
            })
            .collect();
        Self { groups }
    }

    /// Names of the group and step at these indices.
    pub fn get(&self, group: u16, step: u16) -> Option<(&str, &str)> {
        let (name, steps) = self.groups.get(usize::from(group))?;
        Some((name, steps.get(usize::from(step))?))
    }
}

/// One row, ready to be bound.
struct Row<'a> {
    group: &'a str,
    step: &'a str,
    index: i64,
    planned_ns: i64,
    sent_ns: Option<i64>,
    done_ns: Option<i64>,
    status: Option<i16>,
    outcome: &'static str,
    span_id: Option<i64>,
}

impl Store {
    /// Keeps a batch of request records in one transaction; one that is there already (known by node, epoch and
    /// sequence) changes nothing. Returns how many rows were added.
    ///
    /// # Errors
    /// When the columns disagree, the batch is too long, an index names no step, the experiment is not known, or the
    /// store cannot be written; then nothing of the batch is kept.
    pub async fn add_records(&self, batch: &RecordBatch, names: &StepNames) -> Result<u64, StoreError> {
        let rows = rows(batch, names)?;
        let mut writing = self.begin("write request records", &batch.experiment).await?;
        let statement = sqlx::query(
            "INSERT INTO record_batch (experiment, node, epoch, sequence, rows) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&batch.experiment)
        .bind(&batch.node)
        .bind(bits(batch.epoch))
        .bind(count(batch.sequence))
        .bind(count(rows.len() as u64));
        if writing.execute(statement).await? == 0 {
            writing.commit().await?;
            return Ok(0);
        }
        for chunk in rows.chunks(ROWS_PER_INSERT) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO request (experiment, node, group_name, step_name, idx, planned_ns, sent_ns, done_ns, \
                 status, outcome, span_id) ",
            );
            insert.push_values(chunk, |mut values, row| {
                values
                    .push_bind(&batch.experiment)
                    .push_bind(&batch.node)
                    .push_bind(row.group)
                    .push_bind(row.step)
                    .push_bind(row.index)
                    .push_bind(row.planned_ns)
                    .push_bind(row.sent_ns)
                    .push_bind(row.done_ns)
                    .push_bind(row.status)
                    .push_bind(row.outcome)
                    .push_bind(row.span_id);
            });
            writing.execute(insert.build()).await?;
        }
        writing.commit().await?;
        Ok(rows.len() as u64)
    }
}

/// The columns of a batch as rows with names; what was never sent, answered or traced is absent instead of 0 or −1.
fn rows<'a>(batch: &RecordBatch, names: &'a StepNames) -> Result<Vec<Row<'a>>, StoreError> {
    let refused = |problem: String| StoreError::Batch {
        id: batch.experiment.clone(),
        node: batch.node.clone(),
        sequence: batch.sequence,
        problem,
    };
    let length = batch.rows().ok_or_else(|| refused("its columns differ in length".to_owned()))?;
    if length > BATCH_ROWS_MAX {
        return Err(refused(format!("it has {length} rows, the limit is {BATCH_ROWS_MAX}")));
    }
    let times = batch.planned_ns.iter().zip(&batch.sent_ns).zip(&batch.done_ns);
    let ends = batch.status.iter().zip(&batch.outcome).zip(&batch.span_id);
    let places = batch.group.iter().zip(&batch.step).zip(&batch.index);
    let some = |ns: u64| (ns > 0).then(|| count(ns));
    places
        .zip(times)
        .zip(ends)
        .map(|((((group, step), index), ((planned_ns, sent_ns), done_ns)), ((status, outcome), span_id))| {
            let (group, step) = names
                .get(*group, *step)
                .ok_or_else(|| refused(format!("group {group} has no step {step} in the specification")))?;
            Ok(Row {
                group,
                step,
                index: count(*index),
                planned_ns: count(*planned_ns),
                sent_ns: some(*sent_ns),
                done_ns: some(*done_ns),
                status: (*status >= 0).then_some(*status),
                outcome: outcome.name(),
                span_id: (*span_id != 0).then(|| bits(*span_id)),
            })
        })
        .collect()
}
