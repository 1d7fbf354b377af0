//! What the store asks of a database: one writer, some readers, rows in and out. Three are there: SQLite, PostgreSQL
//! and MySQL with MariaDB, each with its own tables, its own ways to write many rows, and its own errors.

use std::fmt::{Debug, Write as _};

use async_trait::async_trait;

use crate::error::StoreError;
use crate::query::Readers;
use crate::value::{Row, Value};

/// Whose SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// The column that numbers the rows of a table in the order in which they came.
    pub(crate) const fn row_number(self) -> &'static str {
        match self {
            Self::Sqlite => "rowid",
            Self::Postgres | Self::MySql => "id",
        }
    }

    /// The type that sums are cast to.
    pub(crate) const fn integer(self) -> &'static str {
        match self {
            Self::Sqlite => "INTEGER",
            Self::Postgres => "BIGINT",
            Self::MySql => "SIGNED",
        }
    }

    /// The end of a SELECT that keeps others from its rows; in a file of SQLite there are no others that write.
    pub(crate) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE",
        }
    }

    /// Whether texts that are too long for an index stand in it by their digest.
    pub(crate) const fn has_digests(self) -> bool {
        match self {
            Self::Sqlite => false,
            Self::Postgres | Self::MySql => true,
        }
    }

    /// The end of an INSERT that gives these columns of a row that is there already its values. `keys` are its key.
    pub(crate) fn or_update(self, keys: &str, columns: &[&str]) -> String {
        let mut text = match self {
            Self::Sqlite | Self::Postgres => format!(" ON CONFLICT ({keys}) DO UPDATE SET "),
            Self::MySql => " ON DUPLICATE KEY UPDATE ".to_owned(),
        };
        for (index, column) in columns.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let new = self.new_value(column);
            let _ = write!(text, "{comma}{column} = {new}");
        }
        text
    }

    /// What an INSERT has for a column, in its end.
    pub(crate) fn new_value(self, column: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("excluded.{column}"),
            Self::MySql => format!("VALUES({column})"),
        }
    }
}

/// A table that many rows are written into at once.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
}

impl Table {
    /// An INSERT of this many rows.
    pub(crate) fn insert(&self, rows: usize) -> String {
        let values = vec!["?"; self.columns.len()].join(",");
        let mut text = format!("INSERT INTO {} ({}) VALUES ", self.name, self.columns.join(", "));
        text.reserve(rows * (values.len() + 3));
        for index in 0..rows {
            text.push_str(if index > 0 { ",(" } else { "(" });
            text.push_str(&values);
            text.push(')');
        }
        text
    }
}

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfThere {
    /// They are not: it is an error.
    Fail,
    /// They stay as they are.
    Keep,
}

/// Why a statement was not run.
#[derive(Debug)]
pub(crate) enum Failure {
    Statement(sqlx::Error),
    /// The server takes no message of this size.
    TooLarge {
        bytes: usize,
        limit: usize,
    },
}

impl From<sqlx::Error> for Failure {
    fn from(source: sqlx::Error) -> Self {
        Self::Statement(source)
    }
}

/// A database. Statements have `?` for their values.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync {
    /// Whose SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Begins a transaction on the one connection that writes, once the one before has ended.
    async fn begin(&self, action: &'static str, id: &str) -> Result<Box<dyn Transaction>, StoreError>;

    /// The connections that only read.
    async fn readers(&self) -> Result<Readers, StoreError>;

    /// How often the database was made anew because it had been removed.
    fn generation(&self) -> u64;

    /// Waits until what is being written is written, and closes all connections.
    async fn close(&self);
}

/// A transaction. Dropped without a commit, nothing of it is kept, and its connection is never used again: the server
/// may have ended the transaction by itself, and whoever used the connection next would write into something half open.
#[async_trait]
pub(crate) trait Transaction: Send {
    /// Runs a statement; how many rows it changed.
    async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, Failure>;

    /// Runs a statement that gives rows.
    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure>;

    /// Writes one row; whether it is new. One that is there already stays as it is.
    async fn insert_new(&mut self, table: &Table, values: &[Value<'_>]) -> Result<bool, Failure>;

    /// Writes rows, their values one after the other.
    async fn insert(&mut self, table: &Table, values: &[Value<'_>], if_there: IfThere) -> Result<(), Failure>;

    /// Ends the transaction: everything of it is kept.
    async fn commit(&mut self) -> Result<(), Failure>;
}
