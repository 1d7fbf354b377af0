//! Request records: batches of rows, each batch once.

use nuncius_schemas::record::{BATCH_ROWS_MAX, RecordBatch};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::steps::StepTable;

use crate::backend::{IfThere, Table};
use crate::error::StoreError;
use crate::numbers::{bits, count};
use crate::store::Store;
use crate::value::Value;

pub(crate) const RECORD_BATCH: Table =
    Table { name: "record_batch", columns: &["experiment", "node", "epoch", "sequence", "row_count"] };
pub(crate) const REQUEST: Table = Table {
    name: "request",
    columns: &[
        "experiment",
        "node",
        "group_name",
        "step_name",
        "idx",
        "planned_ns",
        "sent_ns",
        "done_ns",
        "status",
        "outcome",
        "span_id",
        "host",
    ],
};

/// Names of the groups and steps that a batch refers to by index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepNames {
    groups: Vec<(String, StepTable)>,
}

impl StepNames {
    /// The names that reports show: with several steps, one past the last is the whole `iteration`.
    pub fn of(spec: &ExperimentSpec) -> Self {
        Self { groups: spec.groups.iter().map(|group| (group.name.clone(), group.step_table())).collect() }
    }

    /// Names of the group and step at these indices.
    pub fn get(&self, group: u16, step: u16) -> Option<(&str, &str)> {
        let (name, steps) = self.groups.get(usize::from(group))?;
        Some((name, steps.name(step)?))
    }
}

impl Store {
    /// Keeps a batch of request records in one transaction; one that is there already (known by node, epoch and
    /// sequence) changes nothing. Returns how many rows were added. Where a run has more than the database is to hold,
    /// the oldest of those beyond that move to a file.
    ///
    /// # Errors
    /// When the columns disagree, the batch is too long, an index names no step, the experiment is not known, or the
    /// store cannot be written; then nothing of the batch is kept.
    pub async fn add_records(&self, batch: &RecordBatch, names: &StepNames) -> Result<u64, StoreError> {
        let (values, length) = values(batch, names)?;
        let added = self.settled(|| self.add_records_once(batch, &values, length)).await?;
        if added > 0 {
            self.make_room(&batch.experiment, added).await;
        }
        Ok(added)
    }

    async fn add_records_once(
        &self,
        batch: &RecordBatch,
        values: &[Value<'_>],
        length: u64,
    ) -> Result<u64, StoreError> {
        let mut writing = self.begin("write request records", &batch.experiment).await?;
        let of_batch = [
            (&batch.experiment).into(),
            (&batch.node).into(),
            bits(batch.epoch).into(),
            count(batch.sequence).into(),
            count(length).into(),
        ];
        let is_new = writing.insert_new(&RECORD_BATCH, &of_batch).await?;
        if is_new {
            writing.insert(&REQUEST, values, IfThere::Fail).await?;
        }
        writing.commit().await?;
        Ok(if is_new { length } else { 0 })
    }
}

/// The columns of a batch as the values of rows, and how many rows; what was never sent, answered or traced is absent
/// instead of 0 or −1.
fn values<'a>(batch: &'a RecordBatch, names: &'a StepNames) -> Result<(Vec<Value<'a>>, u64), StoreError> {
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
    let mut values = Vec::with_capacity(length * REQUEST.columns.len());
    for (row, ((((group, step), index), ((planned_ns, sent_ns), done_ns)), ((status, outcome), span_id))) in
        places.zip(times).zip(ends).enumerate()
    {
        let (group, step) = names
            .get(*group, *step)
            .ok_or_else(|| refused(format!("group {group} has no step {step} in the specification")))?;
        let host =
            batch.host(row).map_err(|number| refused(format!("it tells of host {number} and not its address")))?;
        values.extend([
            (&batch.experiment).into(),
            (&batch.node).into(),
            group.into(),
            step.into(),
            count(*index).into(),
            count(*planned_ns).into(),
            some(*sent_ns).into(),
            some(*done_ns).into(),
            (*status >= 0).then(|| i64::from(*status)).into(),
            outcome.name().into(),
            (*span_id != 0).then(|| bits(*span_id)).into(),
            Value::Text(host.map(Into::into)),
        ]);
    }
    Ok((values, length as u64))
}
