//! Statements with their values, as each database takes them.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::mysql::{MySqlArguments, MySqlPool};
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{AssertSqlSafe, MySql, Postgres, Sqlite};

use crate::value::{Row, Value};

pub(crate) fn sqlite(sql: &str, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Real(number) => query.bind(*number),
            Value::Flag(flag) => query.bind(*flag),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(bytes.as_deref()),
        };
    }
    query
}

pub(crate) fn postgres(sql: &str, values: &[Value<'_>]) -> Query<'static, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(numbered(sql)));
    for value in values {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Real(number) => query.bind(*number),
            Value::Flag(flag) => query.bind(*flag),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(bytes.as_deref()),
        };
    }
    query
}

pub(crate) fn mysql(sql: &str, values: &[Value<'_>]) -> Query<'static, MySql, MySqlArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Real(number) => query.bind(*number),
            Value::Flag(flag) => query.bind(*flag),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(bytes.as_deref()),
        };
    }
    query
}

/// PostgreSQL numbers the places of values: `$1`, `$2`. No statement of ours has a question mark elsewhere.
fn numbered(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 64);
    for (number, part) in sql.split('?').enumerate() {
        if number > 0 {
            text.push('$');
            text.push_str(&number.to_string());
        }
        text.push_str(part);
    }
    text
}

/// Connections that only read.
#[derive(Debug, Clone)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

impl Readers {
    /// The rows that a statement gives, one by one.
    pub(crate) fn rows<'a>(&'a self, sql: &str, values: &[Value<'_>]) -> BoxStream<'a, Result<Row, sqlx::Error>> {
        match self {
            Self::Sqlite(pool) => sqlite(sql, values).fetch(pool).map(|row| row.map(Row::Sqlite)).boxed(),
            Self::Postgres(pool) => postgres(sql, values).fetch(pool).map(|row| row.map(Row::Postgres)).boxed(),
            Self::MySql(pool) => mysql(sql, values).fetch(pool).map(|row| row.map(Row::MySql)).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_values_are_numbered() {
        assert_eq!(numbered("a = ? AND (b = ? OR c = ?)"), "a = $1 AND (b = $2 OR c = $3)");
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
    }
}
