//! Rows of files into tables, a batch at a time.

use crate::backend::{IfThere, Table};
use crate::column_rows::{ColumnRows, FileRow};
use crate::import::error::ImportError;
use crate::import::place::{at_file, at_row, of_rows};
use crate::value::Value;
use crate::writing::Writing;

/// Where rows go.
pub(super) struct Put<'p, 'w> {
    pub(super) writing: &'p mut Writing<'w>,
    pub(super) id: &'p str,
}

impl Put<'_, '_> {
    /// Writes the rows of a file; `check` makes of each what the table has, beside the experiment. How many there are.
    pub(super) async fn rows(
        &mut self,
        mut file: ColumnRows,
        table: &Table,
        check: impl Fn(&mut FileRow) -> Result<(), String>,
    ) -> Result<u64, ImportError> {
        self.some(&mut file, table, check, u64::MAX).await
    }

    /// The same of the next rows alone, of which there are at least so many if there are any more.
    pub(super) async fn some(
        &mut self,
        file: &mut ColumnRows,
        table: &Table,
        check: impl Fn(&mut FileRow) -> Result<(), String>,
        least: u64,
    ) -> Result<u64, ImportError> {
        let mut written = 0;
        while written < least
            && let Some((first, rows)) = file.next_rows().map_err(at_file(file))?
        {
            let number = rows.len();
            let mut values: Vec<Value<'_>> = Vec::with_capacity(number * table.columns.len());
            for (mut row, at) in rows.into_iter().zip(first..) {
                check(&mut row).map_err(|problem| at_row(file.path(), at, problem))?;
                values.push(self.id.into());
                values.extend(row);
            }
            self.writing.renew();
            let done = self.writing.insert(table, &values, IfThere::Fail).await;
            done.map_err(|error| of_rows(file.path(), first, error))?;
            written += number as u64;
        }
        Ok(written)
    }
}
