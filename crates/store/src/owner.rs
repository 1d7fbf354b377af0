//! Who looks after the experiments of a file that have not ended: a process that lives, or one that is gone.

use nuncius_schemas::run::{RunStatus, Verdict};

use crate::error::StoreError;
use crate::numbers::count;
use crate::owner_lock::is_alive;
use crate::rows::named;
use crate::store::Store;

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
