//! What goes into a statement and what comes out of one, the same for every database.

use std::borrow::Cow;

use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, MySql, Postgres, Row as _, Sqlite, Type};

/// A value of a statement. Absent ones say of what type they would be: PostgreSQL wants to know.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Integer(Option<i64>),
    Real(f64),
    Flag(bool),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
}

impl Value<'_> {
    /// The text, where it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            Self::Integer(_) | Self::Real(_) | Self::Flag(_) | Self::Bytes(_) => None,
        }
    }

    /// The text as its own, where it is one.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => text.map(Cow::into_owned),
            Self::Integer(_) | Self::Real(_) | Self::Flag(_) | Self::Bytes(_) => None,
        }
    }

    /// The bytes, where it has some.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => bytes.as_deref(),
            Self::Integer(_) | Self::Real(_) | Self::Flag(_) | Self::Text(_) => None,
        }
    }

    /// The integer, where it is one.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => *number,
            Self::Real(_) | Self::Flag(_) | Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// The number, where it is one that need not be whole.
    pub(crate) fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(*number),
            Self::Integer(_) | Self::Flag(_) | Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// About how many bytes it takes in a message.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Integer(_) | Self::Real(_) | Self::Flag(_) => 8,
            Self::Text(text) => text.as_ref().map_or(1, |text| text.len() + 9),
            Self::Bytes(bytes) => bytes.as_ref().map_or(1, |bytes| bytes.len() + 9),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    /// PostgreSQL has no NUL in a text; for the same text in each database, none has.
    fn from(text: Cow<'a, str>) -> Self {
        let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text };
        Self::Text(Some(text))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Cow::Borrowed(text).into()
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Cow::Borrowed(text.as_str()).into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Cow::<str>::Owned(text).into()
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().into()
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(bytes)))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self::Bytes(bytes.map(Cow::Borrowed))
    }
}

impl From<[u8; 32]> for Value<'_> {
    fn from(digest: [u8; 32]) -> Self {
        Self::Bytes(Some(Cow::Owned(digest.to_vec())))
    }
}

/// A row that a database gave.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    MySql(MySqlRow),
}

/// What a column can be read as, in every database.
pub(crate) trait Readable:
    for<'r> Decode<'r, Sqlite>
    + Type<Sqlite>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + for<'r> Decode<'r, MySql>
    + Type<MySql>
{
}

impl<T> Readable for T where
    T: for<'r> Decode<'r, Sqlite>
        + Type<Sqlite>
        + for<'r> Decode<'r, Postgres>
        + Type<Postgres>
        + for<'r> Decode<'r, MySql>
        + Type<MySql>
{
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// When there is no such column, or it is of another type.
    pub(crate) fn get<T: Readable>(&self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
            Self::MySql(row) => row.try_get(column),
        }
    }
}

/// What a row is read as.
pub(crate) trait FromRow: Sized {
    /// # Errors
    /// As [`Row::get`].
    fn from_row(row: &Row) -> Result<Self, sqlx::Error>;
}
