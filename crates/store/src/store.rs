//! Opening and closing the file, and what is done when it is gone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};
use tokio::sync::Mutex;

use crate::error::StoreError;
use crate::limits::StoreLimits;
use crate::owner::OwnerLock;
use crate::writing::Writing;

/// Connections that only read.
const READERS: u32 = 4;
/// How often migrations are tried while another process is at it.
const MIGRATE_TRIES: u32 = 20;
/// Pause between two tries, in milliseconds.
const MIGRATE_PAUSE_MS: u64 = 100;
/// How long connections to a file that is gone may take to be closed.
const GONE_PATIENCE: Duration = Duration::from_secs(1);

/// An open store. Clones share the connections; several processes may have the same file open.
///
/// Every write is one transaction on the one writing connection of this process, so that writers wait for each other
/// instead of failing; readers see the last finished transaction. A file that was removed is made anew at the next use.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    limits: StoreLimits,
    /// Of this process, if it looks after experiments.
    owner: Option<String>,
    pools: Mutex<Pools>,
    /// How often the file was made anew.
    generation: AtomicU64,
    is_closed: AtomicBool,
}

/// Connections to one file.
#[derive(Debug, Clone)]
struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Device and number of the file that they have open.
    identity: Option<(u64, u64)>,
    owner: Option<OwnerLock>,
}

impl Store {
    /// Opens the file at `path`, makes it and its directory when they are not there, and brings its tables to this
    /// version.
    ///
    /// # Errors
    /// When the directory, the file or the tables cannot be made or are not what they should be.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), StoreLimits::default(), None).await
    }

    /// The same for a process that runs experiments: what it writes of those that have not ended is known as its own
    /// for as long as it lives. It writes once, so that a store that takes nothing is found out now.
    ///
    /// # Errors
    /// As [`Store::open`], and when it cannot be written.
    pub async fn open_as_owner(path: impl AsRef<Path>, limits: StoreLimits) -> Result<Self, StoreError> {
        let token = format!("{:016x}", random());
        let store = Self::open_with(path.as_ref(), limits, Some(token.clone())).await?;
        store.sign_in(&token, unix_ms()).await?;
        Ok(store)
    }

    async fn open_with(path: &Path, limits: StoreLimits, owner: Option<String>) -> Result<Self, StoreError> {
        let pools = Mutex::new(Pools::open(path, &limits, owner.as_deref(), None).await?);
        let (generation, is_closed) = Default::default();
        let shared = Shared { path: path.to_path_buf(), limits, owner, pools, generation, is_closed };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits until what is being written is written, and closes the file. Other clones can no longer be used.
    pub async fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        let mut pools = self.shared.pools.lock().await;
        pools.readers.close().await;
        pools.writer.close().await;
        pools.owner = None;
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// How often the file was made anew because it had been removed: what was written under another number is gone.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn limits(&self) -> &StoreLimits {
        &self.shared.limits
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.shared.owner.as_deref()
    }

    pub(crate) async fn writer(&self) -> Result<SqlitePool, StoreError> {
        Ok(self.pools().await?.writer)
    }

    pub(crate) async fn readers(&self) -> Result<SqlitePool, StoreError> {
        Ok(self.pools().await?.readers)
    }

    /// The connections; new ones where the file is no longer the one that the old ones have open.
    async fn pools(&self) -> Result<Pools, StoreError> {
        let Shared { path, limits, owner, .. } = &*self.shared;
        let mut pools = self.shared.pools.lock().await;
        // Without an identity the last attempt to make it anew failed half-way.
        let is_same = pools.identity.is_some() && identity(path) == pools.identity;
        if is_same || self.shared.is_closed.load(Ordering::SeqCst) {
            return Ok(pools.clone());
        }
        tracing::warn!(path = %path.display(), "the store is no longer the file that was opened: it is made anew");
        pools.identity = None;
        let old = pools.clone();
        let closing = tokio::spawn(async move {
            old.readers.close().await;
            old.writer.close().await;
        });
        // SQLite leaves the files of another alone, should this take longer.
        let _ = tokio::time::timeout(GONE_PATIENCE, closing).await;
        let held = pools.owner.clone();
        *pools = Pools::open(path, limits, owner.as_deref(), held).await?;
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        Ok(pools.clone())
    }

    /// A transaction.
    pub(crate) async fn begin<'a>(&'a self, action: &'static str, id: &'a str) -> Result<Writing<'a>, StoreError> {
        Writing::begin(self, action, id).await
    }

    /// What a failed statement means.
    pub(crate) fn failed(&self, action: &'static str, id: &str, source: sqlx::Error) -> StoreError {
        StoreError::of_statement(self.path(), action, id, source)
    }

    /// What a document that cannot be read or written means.
    pub(crate) fn json(&self, what: &'static str, id: &str, source: serde_json::Error) -> StoreError {
        StoreError::Json { path: self.path().to_path_buf(), what, id: id.to_owned(), source }
    }

    pub(crate) fn not_found(&self, id: &str) -> StoreError {
        StoreError::NotFound { path: self.path().to_path_buf(), id: id.to_owned() }
    }
}

impl Pools {
    /// `held` is the lock of this process, where it has one already.
    async fn open(
        path: &Path,
        limits: &StoreLimits,
        owner: Option<&str>,
        held: Option<OwnerLock>,
    ) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)
                .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
        }
        make_private(path).map_err(|source| StoreError::File { path: path.to_path_buf(), source })?;
        let owner = match held.filter(OwnerLock::is_in_place) {
            Some(held) => Some(held),
            None => owner.map(|token| OwnerLock::take(path, token)).transpose()?,
        };
        let identity = identity(path);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(limits.busy)
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let open = |source| StoreError::Open { path: path.to_path_buf(), source };
        let pool = |limit| SqlitePoolOptions::new().acquire_timeout(limit);
        let mut tries = 0;
        let writer = loop {
            tries += 1;
            match pool(limits.write).max_connections(1).connect_with(options.clone()).await {
                // Of two who turn a new file to its journal at once, SQLite refuses one without waiting.
                Err(error) if is_busy(&error) && tries < MIGRATE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(MIGRATE_PAUSE_MS)).await;
                }
                outcome => break outcome.map_err(open)?,
            }
        };
        migrate(path, &writer).await?;
        let reading = options.pragma("query_only", "on");
        let readers = pool(limits.reader).max_connections(READERS).connect_with(reading).await.map_err(open)?;
        Ok(Self { writer, readers, identity, owner })
    }
}

/// Whether another connection has the file at this moment.
fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "5")
}

/// Device and number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// A number that no other process has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Its keys are random; the standard library has no other source.
    RandomState::new().hash_one((std::process::id(), unix_ms()))
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
pub(crate) fn migrator() -> Migrator {
    let migration = |version, description: &'static str, sql: &'static str| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "experiments", include_str!("../migrations/sqlite/0001_experiments.sql")),
        migration(2, "seconds", include_str!("../migrations/sqlite/0002_seconds.sql")),
        migration(3, "owners", include_str!("../migrations/sqlite/0003_owners.sql")),
        migration(4, "telemetry", include_str!("../migrations/sqlite/0004_telemetry.sql")),
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
        let known = ["b0cc3094e7be564a", "38f17a9e39524900", "8ef1f3f294f89b38", "8711809f1c8e71d8"];
        let known: Vec<(i64, String)> = (1..).zip(known.map(str::to_owned)).collect();
        assert_eq!(told, known);
    }
}
