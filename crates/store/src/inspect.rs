//! A look at a store without changing it: for whoever asks what is wrong.

use std::path::Path;
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::StoreError;
use crate::place::{Kind, Place};
use crate::{migrations, mysql, postgres};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Version of its tables; 0 for a store without any.
    pub version: i64,
    /// Version that this program knows.
    pub newest: i64,
    /// Another program kept the file locked for as long as was waited.
    pub is_locked: bool,
    /// The server takes no writes.
    pub is_read_only: bool,
}

/// Looks at a store, which is there; waits for a lock, or for a server's answer, for `patience`.
///
/// # Errors
/// When it cannot be opened, reached, read or written, or is no store.
pub async fn inspect(place: impl Into<Place>, patience: Duration) -> Result<Inspection, StoreError> {
    let place = place.into();
    let silent = |_| StoreError::Silent { store: place.to_string(), limit: patience };
    let unreachable = |source| StoreError::Unreachable { store: place.to_string(), source };
    match place.kind() {
        Kind::File(path) => look_at_file(path, patience).await,
        Kind::Postgres(options) => {
            tokio::time::timeout(patience, look_at_postgres(options)).await.map_err(silent)?.map_err(unreachable)
        }
        Kind::MySql(options) => {
            tokio::time::timeout(patience, look_at_mysql(options)).await.map_err(silent)?.map_err(unreachable)
        }
    }
}

async fn look_at_postgres(options: &PgConnectOptions) -> Result<Inspection, sqlx::Error> {
    let mut connection = options.clone().disable_statement_logging().connect().await?;
    let found = Inspection {
        version: postgres::version(&mut connection).await?,
        newest: migrations::newest(&migrations::postgres()),
        is_locked: false,
        is_read_only: postgres::is_read_only(&mut connection).await?,
    };
    let _ = connection.close().await;
    Ok(found)
}

async fn look_at_mysql(options: &MySqlConnectOptions) -> Result<Inspection, sqlx::Error> {
    let mut connection = options.clone().disable_statement_logging().connect().await?;
    let found = Inspection {
        version: mysql::version(&mut connection).await?,
        newest: migrations::newest(&migrations::mysql()),
        is_locked: false,
        is_read_only: mysql::is_read_only(&mut connection).await?,
    };
    let _ = connection.close().await;
    Ok(found)
}

async fn look_at_file(path: &Path, patience: Duration) -> Result<Inspection, StoreError> {
    let open = |source| StoreError::Open { store: path.display().to_string(), source };
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(patience).disable_statement_logging();
    let mut connection = options.connect().await.map_err(open)?;
    let found = look(&mut connection, path).await;
    let _ = connection.close().await;
    found
}

async fn look(connection: &mut SqliteConnection, path: &Path) -> Result<Inspection, StoreError> {
    let open = |source| StoreError::Open { store: path.display().to_string(), source };
    let newest = migrations::newest(&migrations::sqlite());
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await
        .map_err(open)?;
    let version = if tables > 0 {
        let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut *connection)
            .await
            .map_err(open)?;
        version.unwrap_or(0)
    } else {
        0
    };
    let is_locked = match sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await {
        Ok(_) => {
            sqlx::query("ROLLBACK").execute(&mut *connection).await.map_err(open)?;
            false
        }
        Err(error) if error.to_string().contains("locked") => true,
        Err(source) => {
            return Err(StoreError::Database { store: path.display().to_string(), action: "be written", source });
        }
    };
    Ok(Inspection { version, newest, is_locked, is_read_only: false })
}
