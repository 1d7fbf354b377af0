//! One transaction, within its time.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::backend::{Dialect, Failure, IfThere, Table, Transaction};
use crate::error::StoreError;
use crate::store::Store;
use crate::value::{FromRow, Value};

/// How often a transaction is tried that gave way to another.
const CONFLICT_TRIES: u32 = 5;
/// Longest pause before it is tried again, in milliseconds; longer with each try.
const CONFLICT_PAUSE_MS: u64 = 100;

/// A transaction. Dropped without a commit, nothing of it is kept.
pub(crate) struct Writing<'a> {
    store: &'a Store,
    action: &'static str,
    id: &'a str,
    transaction: Box<dyn Transaction>,
    limit: Duration,
    deadline: Instant,
}

impl Store {
    /// A transaction.
    pub(crate) async fn begin<'a>(&'a self, action: &'static str, id: &'a str) -> Result<Writing<'a>, StoreError> {
        let limit = self.limits().write;
        let deadline = Instant::now() + limit;
        let begun = timeout_at(deadline, self.backend().begin(action, id)).await;
        let transaction = begun.map_err(|_| self.too_slow(action, limit))??;
        Ok(Writing { store: self, action, id, transaction, limit, deadline })
    }

    fn too_slow(&self, action: &'static str, limit: Duration) -> StoreError {
        StoreError::Slow { store: self.name(), action, limit }
    }

    /// Runs what is one transaction, again where it gave way to another.
    pub(crate) async fn settled<T, F>(&self, mut act: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            match act().await {
                Err(error) if error.is_conflict() && tries < CONFLICT_TRIES => {
                    tracing::debug!(%error, tries, "a transaction is tried again");
                    // Two who met once shall not meet again.
                    let pause_ms = self.random() % (CONFLICT_PAUSE_MS * u64::from(tries)) + 1;
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                other => return other,
            }
        }
    }
}

impl Writing<'_> {
    pub(crate) fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    /// Gives what follows as much time as a whole transaction has: for those that are long because they do much.
    pub(crate) fn renew(&mut self) {
        self.deadline = Instant::now() + self.limit;
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let done = timeout_at(self.deadline, self.transaction.execute(sql, values)).await;
        self.told(done)
    }

    /// Writes one row; whether it is new. One that is there already stays as it is.
    pub(crate) async fn insert_new(&mut self, table: &Table, values: &[Value<'_>]) -> Result<bool, StoreError> {
        let done = timeout_at(self.deadline, self.transaction.insert_new(table, values)).await;
        self.told(done)
    }

    /// Writes rows, their values one after the other.
    pub(crate) async fn insert(
        &mut self,
        table: &Table,
        values: &[Value<'_>],
        if_there: IfThere,
    ) -> Result<(), StoreError> {
        let done = timeout_at(self.deadline, self.transaction.insert(table, values, if_there)).await;
        self.told(done)
    }

    /// Runs a statement that gives rows.
    pub(crate) async fn rows<T: FromRow>(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<T>, StoreError> {
        let done = timeout_at(self.deadline, self.transaction.rows(sql, values)).await;
        let rows = self.told(done)?;
        let read: Result<Vec<T>, sqlx::Error> = rows.iter().map(T::from_row).collect();
        read.map_err(|source| self.store.failed(self.action, self.id, source))
    }

    /// Ends the transaction: everything of it is kept.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let done = timeout_at(self.deadline, self.transaction.commit()).await;
        self.told(done)
    }

    fn told<T>(&self, done: Result<Result<T, Failure>, Elapsed>) -> Result<T, StoreError> {
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Failure::Statement(source))) => Err(self.store.failed(self.action, self.id, source)),
            Ok(Err(Failure::TooLarge { bytes, limit })) => {
                Err(StoreError::TooLarge { store: self.store.name(), action: self.action, bytes, limit })
            }
            Err(_) => Err(self.store.too_slow(self.action, self.limit)),
        }
    }
}
