//! One transaction. What fails in it takes its connection with it: SQLite may have ended the transaction by itself, and
//! whoever used the connection next would write into something half open.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::query::QueryAs;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Execute, Executor, FromRow, Sqlite};
use tokio::time::{Instant, timeout_at};

use crate::error::StoreError;
use crate::store::Store;

/// A transaction that has the write lock from its beginning: none can fail half-way because another process wrote.
/// Dropped without a commit, nothing of it is kept.
pub(crate) struct Writing<'a> {
    store: &'a Store,
    action: &'static str,
    id: &'a str,
    /// None once the connection was given back.
    connection: Option<PoolConnection<Sqlite>>,
    limit: Duration,
    deadline: Instant,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}

impl<'a> Writing<'a> {
    pub(crate) async fn begin(store: &'a Store, action: &'static str, id: &'a str) -> Result<Self, StoreError> {
        let limit = store.limits().write;
        let deadline = Instant::now() + limit;
        let mut writing = Self { store, action, id, connection: None, limit, deadline };
        let acquired = timeout_at(deadline, async {
            let pool = store.writer().await?;
            pool.acquire().await.map_err(|source| store.failed(action, id, source))
        });
        let acquired = acquired.await.map_err(|_| writing.too_slow())?;
        writing.connection = Some(acquired?);
        writing.execute(sqlx::query("BEGIN IMMEDIATE")).await?;
        Ok(writing)
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) async fn execute<'q>(&mut self, statement: impl Execute<'q, Sqlite> + 'q) -> Result<u64, StoreError> {
        let connection =
            self.connection.as_mut().ok_or_else(|| self.store.failed(self.action, self.id, sqlx::Error::PoolClosed))?;
        match timeout_at(self.deadline, (&mut **connection).execute(statement)).await {
            Ok(Ok(done)) => Ok(done.rows_affected()),
            Ok(Err(source)) => Err(self.store.failed(self.action, self.id, source)),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Runs a statement that gives rows.
    pub(crate) async fn rows<'q, T>(
        &mut self,
        statement: QueryAs<'q, Sqlite, T, SqliteArguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'q,
    {
        let connection =
            self.connection.as_mut().ok_or_else(|| self.store.failed(self.action, self.id, sqlx::Error::PoolClosed))?;
        match timeout_at(self.deadline, statement.fetch_all(&mut **connection)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(source)) => Err(self.store.failed(self.action, self.id, source)),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Ends the transaction: everything of it is kept.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.execute(sqlx::query("COMMIT")).await?;
        // Only now is the connection known to be as it was before.
        drop(self.connection.take());
        Ok(())
    }

    fn too_slow(&self) -> StoreError {
        StoreError::Slow { path: self.store.path().to_path_buf(), action: self.action, limit: self.limit }
    }
}
