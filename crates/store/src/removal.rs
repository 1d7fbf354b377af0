//! Removing experiments.

use std::path::PathBuf;

use crate::backend::Dialect;
use crate::error::StoreError;
use crate::record_files::{RecordFile, remove_directories};
use crate::store::Store;
use crate::writing::Writing;

/// Rows of a table that a server deletes at once: one statement for all of a long run would take longer than it may.
const DELETED_AT_ONCE: i64 = 10_000;

/// Statements that delete the next rows of an experiment from tables that may have very many.
const fn portions(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &[],
        Dialect::Postgres => &[
            "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE experiment = ? ORDER BY id LIMIT ?)",
            "DELETE FROM telemetry_value WHERE (sample, series) IN (SELECT v.sample, v.series \
             FROM telemetry_sample s JOIN telemetry_value v ON v.sample = s.id WHERE s.experiment = ? LIMIT ?)",
        ],
        Dialect::MySql => &[
            "DELETE FROM request WHERE experiment = ? ORDER BY id LIMIT ?",
            "DELETE FROM telemetry_value WHERE sample IN (SELECT id FROM telemetry_sample WHERE experiment = ?) \
             LIMIT ?",
        ],
    }
}

impl Store {
    /// Removes an experiment and everything of it; whether it was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, experiment: &str) -> Result<bool, StoreError> {
        let mut directories = self.record_directories(experiment).await?;
        for portion in portions(self.dialect()) {
            while self.settled(|| self.remove_some(experiment, portion)).await? {}
        }
        let was_there = self.settled(|| self.remove_rest(experiment)).await?;
        // After what tells of them: whoever is ended in between leaves files that nobody reads.
        directories.extend(self.run_directory(experiment).map(|directory| directory.path));
        remove_directories(&directories)?;
        Ok(was_there)
    }

    /// Where files of a run's records are.
    async fn record_directories(&self, experiment: &str) -> Result<Vec<PathBuf>, StoreError> {
        let files = self.record_files(experiment).await?;
        Ok(directories_of(self, experiment, &files))
    }

    /// Removes the next rows of an experiment from a table that may have very many; whether there were any.
    async fn remove_some(&self, experiment: &str, portion: &str) -> Result<bool, StoreError> {
        let mut writing = self.begin("remove rows of an experiment", experiment).await?;
        let removed = writing.execute(portion, &[experiment.into(), DELETED_AT_ONCE.into()]).await?;
        writing.commit().await?;
        Ok(removed > 0)
    }

    async fn remove_rest(&self, experiment: &str) -> Result<bool, StoreError> {
        let mut writing = self.begin("remove an experiment", experiment).await?;
        let was_there = remove_row(&mut writing, experiment).await?;
        writing.commit().await?;
        Ok(was_there)
    }
}

/// The directories that files are in, each once.
pub(crate) fn directories_of(store: &Store, experiment: &str, files: &[RecordFile]) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        files.iter().filter_map(|file| Some(store.path_of(experiment, file).parent()?.to_path_buf())).collect();
    directories.dedup();
    directories
}

/// Removes an experiment and everything of it but its files within a transaction.
pub(crate) async fn remove_within(writing: &mut Writing<'_>, experiment: &str) -> Result<(), StoreError> {
    for portion in portions(writing.dialect()) {
        loop {
            writing.renew();
            if writing.execute(portion, &[experiment.into(), DELETED_AT_ONCE.into()]).await? == 0 {
                break;
            }
        }
    }
    writing.renew();
    remove_row(writing, experiment).await.map(drop)
}

/// Removes an experiment's own row, with what refers to it; whether it was there.
async fn remove_row(writing: &mut Writing<'_>, experiment: &str) -> Result<bool, StoreError> {
    let removed = writing.execute("DELETE FROM experiment WHERE id = ?", &[experiment.into()]).await?;
    // What came meanwhile, to a table that does not know of whom its rows are.
    writing.execute("DELETE FROM request WHERE experiment = ?", &[experiment.into()]).await?;
    Ok(removed > 0)
}
