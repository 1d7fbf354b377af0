//! Files of request records beyond what the database holds: where they are, how one is written, read, removed.
//!
//! A file counts once it stands in the table `record_file`. It is written under another name before, so that nobody
//! ever finds half of one; whatever else lies in the directory of a run is what somebody left who was ended, and goes
//! when the next file is written.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nuncius_schemas::names::check_token;
use serde_json::json;

use crate::backend::Table;
use crate::column_rows::ColumnRows;
use crate::columns::ColumnFile;
use crate::digest::digest;
use crate::error::StoreError;
use crate::numbers::count;
use crate::rows::RequestRow;
use crate::store::Store;
use crate::tables::REQUESTS;
use crate::value::{FromRow, Row, Value};
use crate::writing::Writing;

/// Rows of one file, at most and at least.
const FILE_ROWS: (u64, u64) = (1_000, 250_000);
/// How the names of files begin and end, and how they end before they are whole.
const BEGINNING: &str = "records-";
const END: &str = ".parquet";
const END_BEFORE: &str = ".parquet.part";
/// Between the name of the database's file and what belongs to it.
const MARK: &str = "-records";

pub(crate) const RECORD_FILE: Table =
    Table { name: "record_file", columns: &["experiment", "number", "directory", "name", "after_row", "row_count"] };

/// Rows of one file, where so many stay in the database.
pub(crate) fn file_rows(records_max: u64) -> u64 {
    let (least, most) = FILE_ROWS;
    records_max.clamp(least, most)
}

/// A file that counts.
#[derive(Debug, Clone)]
pub(crate) struct RecordFile {
    pub(crate) number: i64,
    pub(crate) directory: Option<String>,
    pub(crate) name: String,
    /// The last row of the database that comes before it.
    pub(crate) after_row: i64,
}

impl FromRow for RecordFile {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.get("number")?,
            directory: row.get("directory")?,
            name: row.get("name")?,
            after_row: row.get("after_row")?,
        })
    }
}

/// The directory of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunDirectory {
    pub(crate) path: PathBuf,
    /// As the database tells it; nothing where it is beside it.
    told: Option<String>,
}

/// A file that was written, and does not count yet.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
    name: String,
    rows: u64,
}

impl Store {
    /// Where files of a run are written; `None` where its records all stay in the database.
    pub(crate) fn run_directory(&self, experiment: &str) -> Option<RunDirectory> {
        check_token("experiment", experiment).ok()?;
        if let Some(database) = self.place().path() {
            return Some(RunDirectory { path: beside(database).join(experiment), told: None });
        }
        let directory = std::path::absolute(self.limits().records_directory.as_ref()?).ok()?;
        // Two databases that have one directory do not have one for a run.
        let database = digest(&[&self.name()]).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = directory.join(format!("{experiment}-{database}"));
        let told = Some(path.to_str()?.to_owned());
        Some(RunDirectory { path, told })
    }

    /// Where a file is.
    pub(crate) fn path_of(&self, experiment: &str, file: &RecordFile) -> PathBuf {
        let directory = match (&file.directory, self.place().path()) {
            (Some(directory), _) => PathBuf::from(directory),
            (None, Some(database)) => beside(database).join(experiment),
            (None, None) => PathBuf::new(),
        };
        directory.join(&file.name)
    }

    /// The files of a run, in order.
    pub(crate) async fn record_files(&self, experiment: &str) -> Result<Vec<RecordFile>, StoreError> {
        self.fetch(("read its files of request records", experiment), FILES, &[experiment.into()]).await
    }

    /// Hands each record of a file to `take`.
    pub(crate) fn read_record_file(
        &self,
        experiment: &str,
        file: &RecordFile,
        take: &mut impl FnMut(RequestRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = self.path_of(experiment, file);
        let away = |problem: String| StoreError::RecordsAway { id: experiment.to_owned(), path: path.clone(), problem };
        let mut rows = ColumnRows::open(&path, &REQUESTS, u64::MAX).map_err(|error| away(error.to_string()))?;
        while let Some((first, rows)) = rows.next_rows().map_err(|error| away(error.to_string()))? {
            for (values, at) in rows.into_iter().zip(first..) {
                take(RequestRow::of_values(values).ok_or_else(|| away(format!("row {at} is no record")))?)?;
            }
        }
        Ok(())
    }
}

const FILES: &str = "SELECT number, directory, name, after_row FROM record_file WHERE experiment = ? ORDER BY number";

/// As [`Store::record_files`], within a transaction.
pub(crate) async fn files_within(writing: &mut Writing<'_>, experiment: &str) -> Result<Vec<RecordFile>, StoreError> {
    writing.rows(FILES, &[experiment.into()]).await
}

/// What belongs to a database of one file, beside that.
fn beside(database: &Path) -> PathBuf {
    let mut name: OsString = database.as_os_str().to_owned();
    name.push(MARK);
    PathBuf::from(name)
}

impl RunDirectory {
    /// Removes what nobody counts.
    pub(crate) fn sweep(&self, files: &[RecordFile]) -> Result<(), StoreError> {
        remove_files(&self.path, |name| !files.iter().any(|file| file.name == name))
    }

    /// The row that has a file count.
    pub(crate) fn row<'a>(
        &'a self,
        experiment: &'a str,
        number: i64,
        after_row: i64,
        file: &'a Written,
    ) -> [Value<'a>; 6] {
        let told = Value::from(&self.told);
        [experiment.into(), number.into(), told, (&file.name).into(), after_row.into(), count(file.rows).into()]
    }
}

/// Removes files of records whose names are meant from a directory, and the directory once it is empty.
fn remove_files(directory: &Path, is_meant: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let failed = |source| StoreError::RecordFiles { action: "removed from", path: directory.to_path_buf(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_gone = entry.file_name().to_str().is_some_and(|name| name.starts_with(BEGINNING) && is_meant(name));
        if is_gone {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Removes the directories that files of a run were in, with what is left of those.
pub(crate) fn remove_directories(directories: &[PathBuf]) -> Result<(), StoreError> {
    for directory in directories {
        remove_files(directory, |_| true)?;
        // What is somebody else's stays, and so does its directory; that which is beside a database goes with the last.
        let is_gone = std::fs::remove_dir(directory).is_ok();
        let is_beside = |parent: &&Path| parent.as_os_str().as_encoded_bytes().ends_with(MARK.as_bytes());
        if let Some(parent) = directory.parent().filter(is_beside).filter(|_| is_gone) {
            let _ = std::fs::remove_dir(parent);
        }
    }
    Ok(())
}

/// A file that is being written, under a name that nobody reads; dropped, it is gone.
pub(crate) struct Growing {
    file: Option<ColumnFile>,
    directory: PathBuf,
    before: PathBuf,
    name: String,
    rows: u64,
}

impl Drop for Growing {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.before);
        }
    }
}

impl Growing {
    /// Begins a file of a run, and makes its directory where there is none.
    pub(crate) fn create(
        directory: &RunDirectory,
        experiment: &str,
        number: i64,
        token: u64,
    ) -> Result<Self, StoreError> {
        let stem = format!("{BEGINNING}{number:06}-{token:016x}");
        let before = directory.path.join(format!("{stem}{END_BEFORE}"));
        let open = || {
            // For their owner alone, as the database is.
            DirBuilder::new().recursive(true).mode(0o700).create(&directory.path)?;
            File::options().write(true).create_new(true).mode(0o600).open(&before)
        };
        let file = open().map_err(|source| cannot_write(&directory.path, source))?;
        let about = json!({ "id": experiment }).to_string();
        let file = ColumnFile::over(file, &before, REQUESTS.columns, &about).map_err(of_records)?;
        let (directory, name) = (directory.path.clone(), format!("{stem}{END}"));
        Ok(Self { file: Some(file), directory, before, name, rows: 0 })
    }

    /// How many it has.
    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a record: its values as an export has them.
    pub(crate) fn row<'a>(&mut self, values: impl IntoIterator<Item = Value<'a>>) -> Result<(), StoreError> {
        self.rows += 1;
        match &mut self.file {
            Some(file) => file.row(values).map_err(of_records),
            None => Ok(()),
        }
    }

    /// Has the disk take the whole, under its own name.
    pub(crate) fn finish(mut self) -> Result<Written, StoreError> {
        if let Some(file) = self.file.take() {
            let done = file.finish().map_err(of_records).and_then(|_| {
                let path = self.directory.join(&self.name);
                let renamed =
                    std::fs::rename(&self.before, &path).and_then(|()| File::open(&self.directory)?.sync_all());
                renamed.map_err(|source| cannot_write(&self.directory, source))
            });
            if let Err(error) = done {
                let _ = std::fs::remove_file(&self.before);
                return Err(error);
            }
        }
        let name = std::mem::take(&mut self.name);
        Ok(Written { path: self.directory.join(&name), name, rows: self.rows })
    }
}

impl Written {
    /// How many it has.
    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Removes it, as it will not count.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn cannot_write(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::RecordFiles { action: "written to", path: path.to_path_buf(), source }
}

/// What goes wrong with a file that no export writes.
fn of_records(error: StoreError) -> StoreError {
    match error {
        StoreError::Export { path, source } => cannot_write(&path, source),
        other => other,
    }
}
