//! Where something is wrong: which file, which row.

use std::path::Path;

use crate::column_rows::{ColumnRows, FileError};
use crate::error::StoreError;
use crate::import::error::ImportError;

/// What is wrong with a file.
pub(super) fn of_file(path: &Path, error: FileError) -> ImportError {
    let path = path.to_path_buf();
    match error {
        FileError::Row { row, problem } => ImportError::Row { path, row, problem },
        error @ (FileError::Unreadable(_)
        | FileError::NotParquet(_)
        | FileError::NoColumn(_)
        | FileError::Column { .. }
        | FileError::TooManyRows { .. }
        | FileError::TooLarge { .. }) => ImportError::Document { path, problem: error.to_string() },
    }
}

/// The same as a function of the error.
pub(super) fn at_file(file: &ColumnRows) -> impl FnOnce(FileError) -> ImportError + use<> {
    let path = file.path().to_path_buf();
    move |error| of_file(&path, error)
}

pub(super) fn at_row(path: &Path, row: u64, problem: String) -> ImportError {
    ImportError::Row { path: path.to_path_buf(), row, problem }
}

/// Why the rows from `first` on were not written: they may be there twice.
pub(super) fn of_rows(path: &Path, first: u64, error: StoreError) -> ImportError {
    if let StoreError::Database { source, .. } = &error
        && source.as_database_error().is_some_and(|error| error.is_unique_violation())
    {
        return at_row(path, first, "this row, or one of the thousand after it, is there twice".to_owned());
    }
    error.into()
}
