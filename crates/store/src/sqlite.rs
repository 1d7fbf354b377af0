//! The store in a file of SQLite, and what is done when it is gone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Executor as _, Sqlite};
use tokio::sync::Mutex;

use crate::backend::{Backend, Dialect, Failure, IfThere, Table, Transaction};
use crate::error::StoreError;
use crate::limits::StoreLimits;
use crate::migrations;
use crate::owner_lock::OwnerLock;
use crate::query::{Readers, sqlite as query};
use crate::value::{Row, Value};

/// Connections that only read.
const READERS: u32 = 4;
/// How often migrations are tried while another process is at it.
const MIGRATE_TRIES: u32 = 20;
/// Pause between two tries, in milliseconds.
const MIGRATE_PAUSE_MS: u64 = 100;
/// How long connections to a file that is gone may take to be closed.
const GONE_PATIENCE: Duration = Duration::from_secs(1);
/// Rows of one INSERT: longer statements are no faster.
const ROWS_PER_INSERT: usize = 500;
/// Values of one statement, SQLite's own limit.
const VALUES_MAX: usize = 32_766;

/// One file. A file that was removed is made anew at the next use.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    path: PathBuf,
    limits: StoreLimits,
    /// Of this process, if it looks after experiments.
    owner: Option<String>,
    pools: Mutex<Pools>,
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

impl SqliteStore {
    /// Opens the file at `path`, makes it and its directory when they are not there, and brings its tables to this
    /// version.
    pub(crate) async fn open(path: &Path, limits: StoreLimits, owner: Option<String>) -> Result<Self, StoreError> {
        let pools = Mutex::new(Pools::open(path, &limits, owner.as_deref(), None).await?);
        let (generation, is_closed) = Default::default();
        Ok(Self { path: path.to_path_buf(), limits, owner, pools, generation, is_closed })
    }

    /// The connections; new ones where the file is no longer the one that the old ones have open.
    async fn pools(&self) -> Result<Pools, StoreError> {
        let path = &self.path;
        let mut pools = self.pools.lock().await;
        // Without an identity the last attempt to make it anew failed half-way.
        let is_same = pools.identity.is_some() && identity(path) == pools.identity;
        if is_same || self.is_closed.load(Ordering::SeqCst) {
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
        *pools = Pools::open(path, &self.limits, self.owner.as_deref(), held).await?;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(pools.clone())
    }
}

#[async_trait]
impl Backend for SqliteStore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn begin(&self, action: &'static str, id: &str) -> Result<Box<dyn Transaction>, StoreError> {
        let failed = |source| StoreError::of_statement(&self.path.display().to_string(), action, id, source);
        let connection = self.pools().await?.writer.acquire().await.map_err(failed)?;
        let mut transaction = SqliteTransaction(Some(connection));
        // It has the write lock from its beginning: none can fail half-way because another process wrote.
        transaction.connection().map_err(failed)?.execute("BEGIN IMMEDIATE").await.map_err(failed)?;
        Ok(Box::new(transaction))
    }

    async fn readers(&self) -> Result<Readers, StoreError> {
        Ok(Readers::Sqlite(self.pools().await?.readers))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let mut pools = self.pools.lock().await;
        pools.readers.close().await;
        pools.writer.close().await;
        pools.owner = None;
    }
}

/// None once the connection was given back.
struct SqliteTransaction(Option<PoolConnection<Sqlite>>);

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

impl SqliteTransaction {
    fn connection(&mut self) -> Result<&mut sqlx::SqliteConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, Failure> {
        Ok(query(sql, values).execute(self.connection()?).await?.rows_affected())
    }

    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let rows = query(sql, values).fetch_all(self.connection()?).await?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    async fn insert_new(&mut self, table: &Table, values: &[Value<'_>]) -> Result<bool, Failure> {
        let sql = format!("{} ON CONFLICT DO NOTHING", table.insert(1));
        Ok(self.execute(&sql, values).await? > 0)
    }

    async fn insert(&mut self, table: &Table, values: &[Value<'_>], if_there: IfThere) -> Result<(), Failure> {
        let columns = table.columns.len();
        let rows = ROWS_PER_INSERT.min(VALUES_MAX / columns);
        for chunk in values.chunks(rows * columns) {
            let mut sql = table.insert(chunk.len() / columns);
            if if_there == IfThere::Keep {
                sql.push_str(" ON CONFLICT DO NOTHING");
            }
            self.execute(&sql, chunk).await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.connection()?.execute("COMMIT").await?;
        // Only now is the connection known to be as it was before.
        drop(self.0.take());
        Ok(())
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
        let open = |source| StoreError::Open { store: path.display().to_string(), source };
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

/// Makes a file that only its owner reads, where there is none: results may tell what is nobody else's business. SQLite
/// gives the files beside it the same permissions. Those of a file that is there are its owner's choice.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Brings the tables to this version. Two processes may try at once: SQLite lets one of them win, and the other finds
/// the work done when it tries again.
async fn migrate(path: &Path, writer: &SqlitePool) -> Result<(), StoreError> {
    let migrator = migrations::sqlite();
    let store = path.display().to_string();
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
            Err(MigrateError::Execute(source)) => return Err(StoreError::Open { store, source }),
            Err(source) => return Err(migrations::failed(store, &migrator, source)),
        }
    }
}
