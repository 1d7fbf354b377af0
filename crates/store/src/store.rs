//! Opening and closing a store, and reading rows from it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use futures_util::TryStreamExt as _;
use nuncius_clock::unix_ms;

use crate::backend::{Backend, Dialect};
use crate::error::StoreError;
use crate::lease::Lease;
use crate::limits::StoreLimits;
use crate::mysql::MySqlStore;
use crate::place::{Kind, Place};
use crate::postgres::PostgresStore;
use crate::room::Room;
use crate::sqlite::SqliteStore;
use crate::value::{FromRow, Row, Value};

/// An open store. Clones share the connections; several processes may have the same one open.
///
/// Every write is one transaction on the one writing connection of this process, so that writers wait for each other
/// instead of failing; readers see the last finished transaction. A file that was removed is made anew at the next use.
#[derive(Debug, Clone)]
pub struct Store(Arc<Open>);

#[derive(Debug)]
struct Open {
    place: Place,
    limits: StoreLimits,
    /// Of this process, if it looks after experiments.
    owner: Option<String>,
    lease: Lease,
    room: Room,
    backend: Box<dyn Backend>,
}

impl Store {
    /// Opens the store at `place`, makes a file and its directory when they are not there, and brings its tables to
    /// this version. A database of a server has to be there.
    ///
    /// # Errors
    /// When the directory, the file or the tables cannot be made or are not what they should be; when the server cannot
    /// be reached, or takes neither user nor password.
    pub async fn open(place: impl Into<Place>) -> Result<Self, StoreError> {
        Self::open_within(place, StoreLimits::default()).await
    }

    /// The same with limits of one's own.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_within(place: impl Into<Place>, limits: StoreLimits) -> Result<Self, StoreError> {
        Self::open_with(place.into(), limits, None).await
    }

    /// The same for a process that runs experiments: what it writes of those that have not ended is known as its own
    /// for as long as it lives. It writes once, so that a store that takes nothing is found out now.
    ///
    /// # Errors
    /// As [`Store::open`], and when it cannot be written.
    pub async fn open_as_owner(place: impl Into<Place>, limits: StoreLimits) -> Result<Self, StoreError> {
        let token = format!("{:016x}", random());
        let store = Self::open_with(place.into(), limits, Some(token.clone())).await?;
        store.sign_in(&token, unix_ms()).await?;
        Ok(store)
    }

    async fn open_with(place: Place, limits: StoreLimits, owner: Option<String>) -> Result<Self, StoreError> {
        let name = place.to_string();
        let backend: Box<dyn Backend> = match place.kind() {
            Kind::File(path) => Box::new(SqliteStore::open(path, limits.clone(), owner.clone()).await?),
            Kind::Postgres(options) => Box::new(PostgresStore::open(name, options, limits.clone()).await?),
            Kind::MySql(options) => Box::new(MySqlStore::open(name, options, limits.clone()).await?),
        };
        let (lease, room) = Default::default();
        Ok(Self(Arc::new(Open { place, limits, owner, lease, room, backend })))
    }

    /// Waits until what is being written is written, and closes all connections. Other clones can no longer be used.
    pub async fn close(&self) {
        self.0.lease.end();
        self.0.backend.close().await;
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        self.0.place.to_string()
    }

    /// How often the file was made anew because it had been removed: what was written under another number is gone.
    pub fn generation(&self) -> u64 {
        self.0.backend.generation()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.0.backend.dialect()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0.backend
    }

    pub(crate) fn limits(&self) -> &StoreLimits {
        &self.0.limits
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    pub(crate) fn weak(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    pub(crate) fn random(&self) -> u64 {
        random()
    }

    /// Hands each row that a statement gives to `take`, one by one.
    pub(crate) async fn for_each<T: FromRow>(
        &self,
        (action, id): (&'static str, &str),
        sql: &str,
        values: &[Value<'_>],
        mut take: impl FnMut(T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| self.failed(action, id, source);
        let readers = self.backend().readers().await?;
        let mut rows = readers.rows(sql, values);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            take(T::from_row(&row).map_err(failed)?)?;
        }
        Ok(())
    }

    /// The rows that a statement gives.
    pub(crate) async fn fetch<T: FromRow>(
        &self,
        about: (&'static str, &str),
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.for_each(about, sql, values, |row| {
            found.push(row);
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// The row that a statement gives, if it gives one.
    pub(crate) async fn fetch_first<T: FromRow>(
        &self,
        about: (&'static str, &str),
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(about, sql, values).await?.into_iter().next())
    }

    /// The number that a statement gives as column `found`.
    pub(crate) async fn fetch_number(
        &self,
        about: (&'static str, &str),
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<i64, StoreError> {
        let found: Option<Number> = self.fetch_first(about, sql, values).await?;
        Ok(found.map_or(0, |Number(number)| number))
    }

    /// What a failed statement means.
    pub(crate) fn failed(&self, action: &'static str, id: &str, source: sqlx::Error) -> StoreError {
        StoreError::of_statement(&self.name(), action, id, source)
    }

    /// What a document that cannot be read or written means.
    pub(crate) fn json(&self, what: &'static str, id: &str, source: serde_json::Error) -> StoreError {
        StoreError::Json { store: self.name(), what, id: id.to_owned(), source }
    }

    pub(crate) fn not_found(&self, id: &str) -> StoreError {
        StoreError::NotFound { store: self.name(), id: id.to_owned() }
    }
}

struct Number(i64);

impl FromRow for Number {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("found").map(Self)
    }
}

/// A store that goes when nobody else has it.
#[derive(Debug)]
pub(crate) struct WeakStore(Weak<Open>);

impl WeakStore {
    pub(crate) fn get(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

/// A number that no other process has.
fn random() -> u64 {
    // Its keys are random; the standard library has no other source.
    RandomState::new().hash_one((std::process::id(), unix_ms()))
}
