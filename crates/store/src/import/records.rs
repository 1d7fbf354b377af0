//! Request records: into the database, and those beyond what it holds into files, as those of a run that goes on.

use crate::backend::IfThere;
use crate::column_rows::ColumnRows;
use crate::error::StoreError;
use crate::import::checks::{request, span_of};
use crate::import::error::ImportError;
use crate::import::place::{at_file, at_row};
use crate::import::put::Put;
use crate::numbers::count;
use crate::record_files::{Growing, RECORD_FILE, RunDirectory, Written, file_rows};
use crate::records::{RECORD_BATCH, REQUEST};
use crate::store::Store;
use crate::value::{FromRow, Row};
use crate::writing::Writing;

/// Files that were written for a run; dropped before they count, they are gone.
#[derive(Default)]
pub(super) struct NewFiles(Vec<Written>);

impl Drop for NewFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(Written::discard);
    }
}

impl NewFiles {
    /// From now on it may be that they count.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

/// A column `found`.
struct Found(i64);

impl FromRow for Found {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("found").map(Self)
    }
}

/// Writes the records of a file; how many there are.
pub(super) async fn records(
    store: &Store,
    put: &mut Put<'_, '_>,
    mut file: ColumnRows,
    new: &mut NewFiles,
) -> Result<u64, ImportError> {
    let (most, at_once) = (store.limits().records_max, file_rows(store.limits().records_max));
    let directory = store.run_directory(put.id).filter(|_| file.rows() >= most.saturating_add(at_once));
    let written = match directory {
        None => put.some(&mut file, &REQUEST, request, u64::MAX).await?,
        Some(directory) => {
            let stay = put.some(&mut file, &REQUEST, request, most).await?;
            stay + beyond(store, put, file, (&directory, at_once), new).await?
        }
    };
    batch(put.writing, put.id, written).await?;
    Ok(written)
}

/// Has records counted among those of batches that are whole.
async fn batch(writing: &mut Writing<'_>, id: &str, records: u64) -> Result<(), StoreError> {
    let values = [id.into(), "".into(), 0i64.into(), 1i64.into(), count(records).into()];
    writing.renew();
    writing.insert(&RECORD_BATCH, &values, IfThere::Fail).await
}

/// Writes what is left of a file into files of the run; how many there are.
async fn beyond(
    store: &Store,
    put: &mut Put<'_, '_>,
    mut file: ColumnRows,
    (directory, at_once): (&RunDirectory, u64),
    new: &mut NewFiles,
) -> Result<u64, ImportError> {
    let row = put.writing.dialect().row_number();
    let sql = format!("SELECT coalesce(max({row}), 0) AS found FROM request WHERE experiment = ?");
    let last: Vec<Found> = put.writing.rows(&sql, &[put.id.into()]).await?;
    let after = last.first().map_or(0, |Found(row)| *row);
    let (mut number, mut growing, mut written) = (0, None, 0);
    while let Some((first, rows)) = file.next_rows().map_err(at_file(&file))? {
        for (row, at) in rows.into_iter().zip(first..) {
            span_of(&row).map_err(|problem| at_row(file.path(), at, problem))?;
            let mut into = match growing.take() {
                Some(growing) => growing,
                None => {
                    number += 1;
                    Growing::create(directory, put.id, number, store.random())?
                }
            };
            into.row(row)?;
            written += 1;
            if into.rows() < at_once {
                growing = Some(into);
            } else {
                finish(put, directory, (number, after), into, new).await?;
            }
        }
    }
    if let Some(growing) = growing {
        finish(put, directory, (number, after), growing, new).await?;
    }
    Ok(written)
}

async fn finish(
    put: &mut Put<'_, '_>,
    directory: &RunDirectory,
    (number, after): (i64, i64),
    growing: Growing,
    new: &mut NewFiles,
) -> Result<(), ImportError> {
    // Known before it may fail: it goes if it does not count.
    new.0.push(growing.finish()?);
    let Some(file) = new.0.last() else { return Ok(()) };
    put.writing.renew();
    let row = directory.row(put.id, number, after, file);
    Ok(put.writing.insert(&RECORD_FILE, &row, IfThere::Fail).await?)
}
