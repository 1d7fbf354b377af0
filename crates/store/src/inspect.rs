//! A look at a file without changing it: for whoever asks what is wrong.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::StoreError;
use crate::store::migrator;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Version of its tables; 0 for a file without any.
    pub version: i64,
    /// Version that this program knows.
    pub newest: i64,
    /// Another program kept it locked for as long as was waited.
    pub is_locked: bool,
}

/// Looks at the file at `path`, which is there; waits for its lock for `patience`.
///
/// # Errors
/// When it cannot be opened, read or written, or is no store.
pub async fn inspect(path: &Path, patience: Duration) -> Result<Inspection, StoreError> {
    let open = |source| StoreError::Open { path: path.to_path_buf(), source };
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(patience).disable_statement_logging();
    let mut connection = options.connect().await.map_err(open)?;
    let found = look(&mut connection, path).await;
    let _ = connection.close().await;
    found
}

async fn look(connection: &mut SqliteConnection, path: &Path) -> Result<Inspection, StoreError> {
    let open = |source| StoreError::Open { path: path.to_path_buf(), source };
    let newest = migrator().iter().map(|migration| migration.version).max().unwrap_or(0);
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
        Err(source) => return Err(StoreError::Database { path: path.to_path_buf(), action: "be written", source }),
    };
    Ok(Inspection { version, newest, is_locked })
}
