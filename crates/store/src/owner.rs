//! Who looks after the experiments of a file that have not ended: a process that lives, or one that is gone.
//!
//! A process that writes holds a lock on a file of its own beside the database. The system gives that up with the
//! process, however it ends, and no number of a process is ever taken for that of another.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nuncius_schemas::run::{RunStatus, Verdict};

use crate::error::StoreError;
use crate::numbers::count;
use crate::rows::named;
use crate::store::Store;

/// Stands between the name of the database and the token.
const MARK: &str = "-owner-";

/// The lock of one process; given up with the last copy.
#[derive(Debug, Clone)]
pub(crate) struct OwnerLock(Arc<OwnerFile>);

#[derive(Debug)]
struct OwnerFile {
    path: PathBuf,
    lock: File,
}

impl OwnerFile {
    /// Whether the file that is locked is still the one that others find.
    fn is_in_place(&self) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let locked = self.lock.metadata().ok().map(identity);
        locked.is_some() && locked == std::fs::metadata(&self.path).ok().map(identity)
    }
}

impl Drop for OwnerFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn path_of(database: &Path, token: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(MARK);
    name.push(token);
    PathBuf::from(name)
}

impl OwnerLock {
    /// Makes and locks the file of `token`.
    pub(crate) fn take(database: &Path, token: &str) -> Result<Self, StoreError> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = path_of(database, token);
        let failed = |source| StoreError::File { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        file.try_lock().map_err(|error| failed(error.into()))?;
        Ok(Self(Arc::new(OwnerFile { path: path.clone(), lock: file })))
    }

    /// Whether others still see that it is held.
    pub(crate) fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }
}

/// Whether the process with this token lives.
fn is_alive(database: &Path, token: &str) -> bool {
    // What no process of ours could have written names no file of ours either.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let path = path_of(database, token);
    match File::options().write(true).open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => {
                let _ = std::fs::remove_file(&path);
                false
            }
            // Held; or it cannot be told, and nobody is to be taken for dead by mistake.
            Err(_) => true,
        },
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// An experiment that has not ended, as far as the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unended {
    /// Identifier.
    pub id: String,
    /// Where it was last.
    pub status: RunStatus,
    /// Whether a process that lives looks after it; this one counts as well.
    pub has_owner: bool,
    /// Whether that is this process.
    pub is_own: bool,
}

impl Store {
    /// The experiments that have not ended, at most `limit`, the earliest submission first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unended(&self, limit: u32) -> Result<Vec<Unended>, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT id, status, owner FROM experiment WHERE status NOT IN ('finished', 'failed', 'cancelled') \
             ORDER BY submitted_unix_ms, id LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers().await?)
        .await
        .map_err(|source| self.failed("list experiments that have not ended", "", source))?;
        let unended = |(id, status, owner): (String, String, Option<String>)| {
            let status = named(&status).map_err(|source| self.json("status", &id, source))?;
            let is_own = owner.is_some() && owner.as_deref() == self.owner();
            let has_owner = is_own || owner.is_some_and(|token| is_alive(self.path(), &token));
            Ok(Unended { id, status, has_owner, is_own })
        };
        rows.into_iter().map(unended).collect()
    }

    /// Ends an experiment whose process is gone, unless it has ended or changed hands meanwhile; whether it did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn close_abandoned(&self, id: &str, reason: &str, at_unix_ms: u64) -> Result<bool, StoreError> {
        let mut writing = self.begin("close an abandoned experiment", id).await?;
        let closed = writing
            .execute(
                sqlx::query(
                    "UPDATE experiment SET status = ?, verdict = ?, reason = ?, ended_unix_ms = ?, owner = NULL \
                     WHERE id = ? AND status NOT IN ('finished', 'failed', 'cancelled')",
                )
                .bind(RunStatus::Failed.name())
                .bind(Verdict::Invalid.name())
                .bind(reason)
                .bind(count(at_unix_ms))
                .bind(id),
            )
            .await?;
        if closed > 0 {
            let phase = "INSERT INTO phase (experiment, status, at_unix_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
            writing.execute(sqlx::query(phase).bind(id).bind(RunStatus::Failed.name()).bind(count(at_unix_ms))).await?;
        }
        writing.commit().await?;
        Ok(closed > 0)
    }

    /// Writes this process down among those that write, and takes those off the list that are gone. The first write of
    /// a process: a store that takes none is found out here.
    pub(crate) async fn sign_in(&self, token: &str, at_unix_ms: u64) -> Result<(), StoreError> {
        let known: Vec<String> = sqlx::query_scalar("SELECT token FROM owner LIMIT 1000")
            .fetch_all(&self.readers().await?)
            .await
            .map_err(|source| self.failed("list its processes", "", source))?;
        let gone = known.iter().filter(|known| known.as_str() != token && !is_alive(self.path(), known));
        let mut writing = self.begin("write its processes", "").await?;
        for token in gone {
            writing.execute(sqlx::query("DELETE FROM owner WHERE token = ?").bind(token)).await?;
        }
        let statement = "INSERT OR REPLACE INTO owner (token, process_id, since_unix_ms) VALUES (?, ?, ?)";
        let process = i64::from(std::process::id());
        writing.execute(sqlx::query(statement).bind(token).bind(process).bind(count(at_unix_ms))).await?;
        writing.commit().await
    }
}
