//! Opening and closing the file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _, Sqlite, Transaction};

use crate::error::StoreError;

/// Longest wait for another process that holds the file, in seconds.
const BUSY_SECONDS: u64 = 5;
/// Longest wait for a connection of this process, in seconds: an export may hold one for long.
const ACQUIRE_SECONDS: u64 = 60;
/// Connections that only read.
const READERS: u32 = 4;
/// How often migrations are tried while another process is at it.
const MIGRATE_TRIES: u32 = 20;
/// Pause between two tries, in milliseconds.
const MIGRATE_PAUSE_MS: u64 = 100;

/// An open store. Clones share the connections; several processes may have the same file open.
///
/// Every write is one transaction on the one writing connection of this process, so that writers wait for each other
/// instead of failing; readers see the last finished transaction.
#[derive(Debug, Clone)]
pub struct Store {
    path: Arc<Path>,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens the file at `path`, makes it and its directory when they are not there, and brings its tables to this
    /// version.
    ///
    /// # Errors
    /// When the directory, the file or the tables cannot be made or are not what they should be.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)
                .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
        }
        make_private(path).map_err(|source| StoreError::File { path: path.to_path_buf(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(BUSY_SECONDS))
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let open = |source| StoreError::Open { path: path.to_path_buf(), source };
        let pool = || SqlitePoolOptions::new().acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS));
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        migrate(path, &writer).await?;
        let reading = options.pragma("query_only", "on");
        let readers = pool().max_connections(READERS).connect_with(reading).await.map_err(open)?;
        Ok(Self { path: Arc::from(path), writer, readers })
    }

    /// Waits until what is being written is written, and closes the file. Other clones can no longer be used.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    pub(crate) const fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// A transaction that has the write lock from its beginning: none can fail half-way because another process wrote.
    pub(crate) async fn begin(&self, action: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|source| self.failed(action, "", source))
    }

    /// What a failed statement means.
    pub(crate) fn failed(&self, action: &'static str, id: &str, source: sqlx::Error) -> StoreError {
        StoreError::of_statement(&self.path, action, id, source)
    }

    /// What a document that cannot be read or written means.
    pub(crate) fn json(&self, what: &'static str, id: &str, source: serde_json::Error) -> StoreError {
        StoreError::Json { path: self.path.to_path_buf(), what, id: id.to_owned(), source }
    }

    pub(crate) fn not_found(&self, id: &str) -> StoreError {
        StoreError::NotFound { path: self.path.to_path_buf(), id: id.to_owned() }
    }
}

/// Makes a file that only its owner reads, where there is none: results may tell what is nobody else's business. SQLite
/// gives the files beside it the same permissions. Those of a file that is there are its owner's choice.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The tables, version by version. A number that was released never changes, nor does its text.
fn migrator() -> Migrator {
    let migration = |version, description: &'static str, sql: &'static str| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "experiments", include_str!("../migrations/sqlite/0001_experiments.sql")),
        migration(2, "seconds", include_str!("../migrations/sqlite/0002_seconds.sql")),
    ])
}

/// Brings the tables to this version. Two processes may try at once: SQLite lets one of them win, and the other finds
/// the work done when it tries again.
async fn migrate(path: &Path, writer: &SqlitePool) -> Result<(), StoreError> {
    let migrator = migrator();
    let mut tries = 0;
    loop {
        tries += 1;
        match migrator.run(writer).await {
            Ok(()) => return Ok(()),
            Err(error @ (MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))) if tries < MIGRATE_TRIES => {
                tracing::debug!(path = %path.display(), %error, tries, "migration is tried again");
                tokio::time::sleep(Duration::from_millis(MIGRATE_PAUSE_MS)).await;
            }
            // The file is no database at all: say so, instead of blaming a migration.
            Err(MigrateError::Execute(source)) => return Err(StoreError::Open { path: path.to_path_buf(), source }),
            Err(source) => return Err(StoreError::Migrate { path: path.to_path_buf(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_released_migration_never_changes() {
        let migrator = migrator();
        let told: Vec<(i64, String)> = migrator
            .iter()
            .map(|migration| {
                let sum = migration.checksum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                (migration.version, sum)
            })
            .collect();
        assert_eq!(told, [(1, "b0cc3094e7be564a".to_owned()), (2, "38f17a9e39524900".to_owned())]);
    }
}
