//! The store in a database of MariaDB or MySQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::backend::{Backend, Dialect, Failure, IfThere, Table, Transaction};
use crate::error::StoreError;
use crate::limits::StoreLimits;
use crate::migrations;
use crate::query::{Readers, mysql as query};
use crate::value::{Row, Value};

/// Connections that only read.
const READERS: u32 = 4;
/// Rows of one INSERT.
const ROWS_PER_INSERT: usize = 1_000;
/// Values of one statement, MySQL's own limit.
const VALUES_MAX: usize = 65_535;
/// Room in a message for what stands around the values.
const PACKET_MARGIN_BYTES: usize = 64 * 1024;
/// How long a connection may take to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// One database of a server.
#[derive(Debug)]
pub(crate) struct MySqlStore {
    /// Where it is, as it is shown.
    name: String,
    options: MySqlConnectOptions,
    limits: StoreLimits,
    /// None before its first use, and after something failed on it.
    writer: Arc<Mutex<Option<Writer>>>,
    readers: MySqlPool,
}

#[derive(Debug)]
struct Writer {
    connection: MySqlConnection,
    /// Most bytes of one message, the server's setting.
    packet_bytes_max: usize,
}

impl MySqlStore {
    /// Connects, and brings the tables to this version.
    pub(crate) async fn open(
        name: String,
        options: &MySqlConnectOptions,
        limits: StoreLimits,
    ) -> Result<Self, StoreError> {
        let options = options.clone().disable_statement_logging();
        let readers = MySqlPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(limits.reader)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute("SET SESSION TRANSACTION READ ONLY").await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        let store = Self { name, options, limits, writer: Arc::default(), readers };
        let opened = tokio::time::timeout(store.limits.write, store.prepare()).await;
        opened.map_err(|_| StoreError::Silent { store: store.name.clone(), limit: store.limits.write })??;
        Ok(store)
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let unreachable = |source| StoreError::Unreachable { store: self.name.clone(), source };
        let mut writer = self.connect().await.map_err(unreachable)?;
        let newest = migrations::newest(&migrations::mysql());
        // Who may only read, or may make no tables, finds those that are there.
        if self.checked_version(&mut writer, newest).await? < newest {
            // sqlx's own lock waits for nobody in MariaDB.
            let wait_seconds = i64::try_from(self.limits.write.as_secs().max(1)).unwrap_or(i64::MAX);
            let locked = query(
                "SELECT CAST(coalesce(GET_LOCK(CONCAT('nuncius-', MD5(DATABASE())), ?), 0) AS SIGNED)",
                &[wait_seconds.into()],
            );
            let locked: i64 =
                locked.fetch_one(&mut writer.connection).await.and_then(|row| row.try_get(0)).map_err(unreachable)?;
            if locked != 1 {
                return Err(StoreError::Silent { store: self.name.clone(), limit: self.limits.write });
            }
            if self.checked_version(&mut writer, newest).await? < newest {
                self.migrate(&mut writer).await?;
            }
            let release = query("SELECT RELEASE_LOCK(CONCAT('nuncius-', MD5(DATABASE())))", &[]);
            release.execute(&mut writer.connection).await.map_err(unreachable)?;
        }
        *self.writer.lock().await = Some(writer);
        Ok(())
    }

    async fn checked_version(&self, writer: &mut Writer, newest: i64) -> Result<i64, StoreError> {
        let unreachable = |source| StoreError::Unreachable { store: self.name.clone(), source };
        match version(&mut writer.connection).await.map_err(unreachable)? {
            version if version > newest => Err(StoreError::Newer { store: self.name.clone(), version, newest }),
            version => Ok(version),
        }
    }

    /// Makes the tables; the lock is held.
    async fn migrate(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let mut migrator = migrations::mysql();
        migrator.set_locking(false);
        let failed = |source| migrations::failed(self.name.clone(), &migrations::mysql(), source);
        // Tables are made outside of transactions, and somebody may have been ended in the middle of it: all of it can
        // be done again.
        if has_migrations(&mut writer.connection).await.map_err(|source| failed(source.into()))? {
            let forget = query("DELETE FROM _sqlx_migrations WHERE NOT success", &[]);
            forget.execute(&mut writer.connection).await.map_err(|source| failed(source.into()))?;
        }
        let pool = MySqlPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await;
        let pool = pool.map_err(|source| failed(source.into()))?;
        let done = migrator.run(&pool).await;
        pool.close().await;
        done.map_err(failed)
    }

    async fn connect(&self) -> Result<Writer, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        // Without gaps being locked, nobody is in the way of another's experiments.
        connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        // What does not fit is refused, not cut off.
        let busy_seconds = self.limits.busy.as_secs().max(1);
        let settings = format!(
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), \
             SESSION innodb_lock_wait_timeout = {busy_seconds}, SESSION foreign_key_checks = 1"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
        let bytes: i64 = sqlx::query_scalar("SELECT CAST(@@SESSION.max_allowed_packet AS SIGNED)")
            .fetch_one(&mut connection)
            .await?;
        Ok(Writer { connection, packet_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX) })
    }
}

/// The version of the tables; 0 where there are none.
pub(crate) async fn version(connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
    if !has_migrations(connection).await? {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut *connection)
        .await?;
    Ok(version.unwrap_or(0))
}

/// Whether tables were ever made.
async fn has_migrations(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let known: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'",
    )
    .fetch_one(connection)
    .await?;
    Ok(known > 0)
}

/// Whether it takes no writes.
pub(crate) async fn is_read_only(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let told: i64 = sqlx::query_scalar("SELECT CAST(@@GLOBAL.read_only AS SIGNED)").fetch_one(connection).await?;
    Ok(told != 0)
}

#[async_trait]
impl Backend for MySqlStore {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    async fn begin(&self, action: &'static str, id: &str) -> Result<Box<dyn Transaction>, StoreError> {
        let failed = |source| StoreError::of_statement(&self.name, action, id, source);
        let mut place = Arc::clone(&self.writer).lock_owned().await;
        let mut known = place.take();
        if let Some(writer) = &mut known
            && writer.connection.execute("START TRANSACTION").await.is_err()
        {
            // The server has ended it meanwhile.
            known = None;
        }
        let writer = match known {
            Some(writer) => writer,
            None => {
                let mut writer = self.connect().await.map_err(failed)?;
                writer.connection.execute("START TRANSACTION").await.map_err(failed)?;
                writer
            }
        };
        Ok(Box::new(MySqlTransaction { place, writer: Some(writer) }))
    }

    async fn readers(&self) -> Result<Readers, StoreError> {
        Ok(Readers::MySql(self.readers.clone()))
    }

    fn generation(&self) -> u64 {
        0
    }

    async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.take() {
            let _ = tokio::time::timeout(CLOSE_PATIENCE, writer.connection.close()).await;
        }
    }
}

struct MySqlTransaction {
    /// Where the connection goes back to.
    place: OwnedMutexGuard<Option<Writer>>,
    writer: Option<Writer>,
}

impl MySqlTransaction {
    fn writer(&mut self) -> Result<&mut Writer, sqlx::Error> {
        self.writer.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

#[async_trait]
impl Transaction for MySqlTransaction {
    async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, Failure> {
        let writer = self.writer()?;
        // The server would end the connection.
        let bytes: usize = values.iter().map(Value::size_bytes).sum();
        let limit = writer.packet_bytes_max;
        if bytes.saturating_add(PACKET_MARGIN_BYTES) > limit.max(2 * PACKET_MARGIN_BYTES) {
            return Err(Failure::TooLarge { bytes, limit });
        }
        Ok(query(sql, values).execute(&mut writer.connection).await?.rows_affected())
    }

    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let rows = query(sql, values).fetch_all(&mut self.writer()?.connection).await?;
        Ok(rows.into_iter().map(Row::MySql).collect())
    }

    async fn insert_new(&mut self, table: &Table, values: &[Value<'_>]) -> Result<bool, Failure> {
        match self.execute(&table.insert(1), values).await {
            Ok(_) => Ok(true),
            // Only the statement is undone, not the transaction. INSERT IGNORE would swallow everything else, too.
            Err(Failure::Statement(error))
                if error.as_database_error().is_some_and(|error| error.is_unique_violation()) =>
            {
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn insert(&mut self, table: &Table, values: &[Value<'_>], if_there: IfThere) -> Result<(), Failure> {
        let columns = table.columns.len();
        let rows_max = ROWS_PER_INSERT.min(VALUES_MAX / columns);
        let bytes_max = self.writer()?.packet_bytes_max / 2;
        let mut rest = values;
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(rows_within(rest, columns, rows_max, bytes_max) * columns);
            let mut sql = table.insert(chunk.len() / columns);
            if let (IfThere::Keep, Some(column)) = (if_there, table.columns.first()) {
                sql.push_str(&format!(" ON DUPLICATE KEY UPDATE {column} = {column}"));
            }
            self.execute(&sql, chunk).await?;
            rest = later;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.writer()?.connection.execute("COMMIT").await?;
        *self.place = self.writer.take();
        Ok(())
    }
}

/// How many of the next rows go into one statement: at least one.
fn rows_within(values: &[Value<'_>], columns: usize, rows_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fitting = values.chunks(columns).take(rows_max).take_while(|row| {
        bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        bytes <= bytes_max
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_as_many_rows_as_its_message_may_have_bytes_and_at_least_one() {
        let values: Vec<Value<'_>> = (0..20).map(Value::from).collect();
        assert_eq!(rows_within(&values, 2, 100, 1_000), 10);
        assert_eq!(rows_within(&values, 2, 3, 1_000), 3);
        assert_eq!(rows_within(&values, 2, 100, 40), 2);
        assert_eq!(rows_within(&values, 2, 100, 1), 1);
        assert_eq!(rows_within(&values[..2], 2, 100, 40), 1);
    }
}
