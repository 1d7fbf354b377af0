//! The store in a database of PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::backend::{Backend, Dialect, Failure, IfThere, Table, Transaction};
use crate::error::StoreError;
use crate::limits::StoreLimits;
use crate::migrations;
use crate::query::{Readers, postgres as query};
use crate::value::{Row, Value};

/// Connections that only read.
const READERS: u32 = 4;
/// How long a connection may take to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Rows of one INSERT, where rows may be there already.
const ROWS_PER_INSERT: usize = 500;
/// What COPY begins with in its binary form: the signature, no flags, no extension. See "Binary Format" in PostgreSQL's
/// documentation of COPY.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And what it ends with.
const COPY_TAIL: [u8; 2] = (-1i16).to_be_bytes();

/// One database of a server.
#[derive(Debug)]
pub(crate) struct PostgresStore {
    /// Where it is, as it is shown.
    name: String,
    options: PgConnectOptions,
    limits: StoreLimits,
    /// None before its first use, and after something failed on it.
    writer: Arc<Mutex<Option<PgConnection>>>,
    readers: PgPool,
}

impl PostgresStore {
    /// Connects, and brings the tables to this version.
    pub(crate) async fn open(
        name: String,
        options: &PgConnectOptions,
        limits: StoreLimits,
    ) -> Result<Self, StoreError> {
        let options = options.clone().disable_statement_logging();
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(limits.reader)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute("SET default_transaction_read_only = on").await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        let store = Self { name, options, limits, writer: Arc::default(), readers };
        let opened = tokio::time::timeout(store.limits.write, store.prepare()).await;
        opened.map_err(|_| StoreError::Silent { store: store.name.clone(), limit: store.limits.write })??;
        Ok(store)
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let unreachable = |source| StoreError::Unreachable { store: self.name.clone(), source };
        let mut connection = self.connect().await.map_err(unreachable)?;
        let migrator = migrations::postgres();
        let newest = migrations::newest(&migrator);
        // Who may only read, or may make no tables, finds those that are there.
        match version(&mut connection).await.map_err(unreachable)? {
            version if version == newest => {}
            version if version > newest => {
                return Err(StoreError::Newer { store: self.name.clone(), version, newest });
            }
            _ => {
                let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await;
                let pool = pool.map_err(unreachable)?;
                let done = migrator.run(&pool).await;
                pool.close().await;
                done.map_err(|source| migrations::failed(self.name.clone(), &migrator, source))?;
            }
        }
        *self.writer.lock().await = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let busy_ms = self.limits.busy.as_millis();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("SET lock_timeout = {busy_ms}")))).await?;
        Ok(connection)
    }
}

/// The version of the tables; 0 where there are none.
pub(crate) async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let known: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text").fetch_one(&mut *connection).await?;
    if known.is_none() {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut *connection)
        .await?;
    Ok(version.unwrap_or(0))
}

/// Whether it takes no writes: a standby, or one that was told so.
pub(crate) async fn is_read_only(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let told: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(connection).await?;
    Ok(told == "on")
}

#[async_trait]
impl Backend for PostgresStore {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn begin(&self, action: &'static str, id: &str) -> Result<Box<dyn Transaction>, StoreError> {
        let failed = |source| StoreError::of_statement(&self.name, action, id, source);
        let mut place = Arc::clone(&self.writer).lock_owned().await;
        let mut known = place.take();
        if let Some(connection) = &mut known
            && connection.execute("BEGIN").await.is_err()
        {
            // The server has ended it meanwhile.
            known = None;
        }
        let connection = match known {
            Some(connection) => connection,
            None => {
                let mut connection = self.connect().await.map_err(failed)?;
                connection.execute("BEGIN").await.map_err(failed)?;
                connection
            }
        };
        Ok(Box::new(PostgresTransaction { place, connection: Some(connection) }))
    }

    async fn readers(&self) -> Result<Readers, StoreError> {
        Ok(Readers::Postgres(self.readers.clone()))
    }

    fn generation(&self) -> u64 {
        0
    }

    async fn close(&self) {
        self.readers.close().await;
        if let Some(connection) = self.writer.lock().await.take() {
            let _ = tokio::time::timeout(CLOSE_PATIENCE, connection.close()).await;
        }
    }
}

struct PostgresTransaction {
    /// Where the connection goes back to.
    place: OwnedMutexGuard<Option<PgConnection>>,
    connection: Option<PgConnection>,
}

impl PostgresTransaction {
    fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, Failure> {
        Ok(query(sql, values).execute(self.connection()?).await?.rows_affected())
    }

    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let rows = query(sql, values).fetch_all(self.connection()?).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    async fn insert_new(&mut self, table: &Table, values: &[Value<'_>]) -> Result<bool, Failure> {
        let sql = format!("{} ON CONFLICT DO NOTHING", table.insert(1));
        Ok(self.execute(&sql, values).await? > 0)
    }

    async fn insert(&mut self, table: &Table, values: &[Value<'_>], if_there: IfThere) -> Result<(), Failure> {
        let columns = table.columns.len();
        if values.is_empty() {
            return Ok(());
        }
        match if_there {
            IfThere::Fail => {
                let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.columns.join(", "));
                let rows = copied(values, columns);
                let mut copy = self.connection()?.copy_in_raw(&sql).await?;
                copy.send(rows).await?;
                copy.finish().await?;
            }
            IfThere::Keep => {
                for chunk in values.chunks(ROWS_PER_INSERT * columns) {
                    let sql = format!("{} ON CONFLICT DO NOTHING", table.insert(chunk.len() / columns));
                    self.execute(&sql, chunk).await?;
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.connection()?.execute("COMMIT").await?;
        *self.place = self.connection.take();
        Ok(())
    }
}

/// Rows as COPY takes them.
fn copied(values: &[Value<'_>], columns: usize) -> Vec<u8> {
    let size: usize = values.iter().map(Value::size_bytes).sum();
    let mut out = Vec::with_capacity(COPY_HEAD.len() + size + values.len() * 4 + COPY_TAIL.len());
    out.extend_from_slice(COPY_HEAD);
    let count = u16::try_from(columns).unwrap_or(u16::MAX).to_be_bytes();
    for row in values.chunks(columns) {
        out.extend_from_slice(&count);
        for value in row {
            match value {
                Value::Integer(Some(number)) => field(&mut out, &number.to_be_bytes()),
                Value::Real(number) => field(&mut out, &number.to_be_bytes()),
                Value::Flag(flag) => field(&mut out, &[u8::from(*flag)]),
                Value::Text(Some(text)) => field(&mut out, text.as_bytes()),
                Value::Bytes(Some(bytes)) => field(&mut out, bytes),
                Value::Integer(None) | Value::Text(None) | Value::Bytes(None) => {
                    out.extend_from_slice(&(-1i32).to_be_bytes());
                }
            }
        }
    }
    out.extend_from_slice(&COPY_TAIL);
    out
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    // PostgreSQL takes no field of a gigabyte; it says so.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_binary_form_of_copy() {
        let values = [Value::from(7), Value::Text(None), Value::from("ab"), Value::from(true)];
        let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        expected.extend_from_slice(b"\0\x04\0\0\0\x08\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\0\0\0\x02ab\0\0\0\x01\x01");
        expected.extend_from_slice(b"\xff\xff");
        assert_eq!(copied(&values, 4), expected);
    }
}
