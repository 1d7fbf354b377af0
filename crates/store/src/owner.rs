//! Who looks after the experiments of a store that have not ended: a process that lives, or one that is gone.
//!
//! With a file that is told by locks beside it. With a server it is told by when a process was last seen there, by the
//! server's clock.

use std::time::Instant;

use nuncius_schemas::run::{RunStatus, Verdict};

use crate::backend::{Dialect, IfThere, Table};
use crate::error::StoreError;
use crate::numbers::count;
use crate::owner_lock;
use crate::rows::named;
use crate::store::Store;
use crate::value::{FromRow, Row, Value};
use crate::write::insert_phase;

/// How often a process is seen in the time after which it would count as gone.
const SEEN_PER_SILENCE: u32 = 6;
/// After how long a process that is gone is forgotten, in milliseconds: whatever it ran has been closed by then.
const FORGET_MS: i64 = 7 * 86_400_000;
/// Processes that are looked at when one more comes.
const KNOWN_MAX: u32 = 1_000;

const OWNER: Table = Table { name: "owner", columns: &["token", "process_id", "since_unix_ms"] };

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

struct UnendedRow {
    id: String,
    status: String,
    owner: Option<String>,
}

impl FromRow for UnendedRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.get("id")?, status: row.get("status")?, owner: row.get("owner")? })
    }
}

struct Token(String);

impl FromRow for Token {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("token").map(Self)
    }
}

/// The server's clock, in milliseconds since the Unix epoch.
const fn now_ms(dialect: Dialect) -> &'static str {
    match dialect {
        // The machine's own, by which nothing is told there.
        Dialect::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        Dialect::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        Dialect::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    }
}

impl Store {
    /// The experiments that have not ended, at most `limit`, the earliest submission first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unended(&self, limit: u32) -> Result<Vec<Unended>, StoreError> {
        let rows: Vec<UnendedRow> = self
            .fetch(
                ("list experiments that have not ended", ""),
                "SELECT id, status, owner FROM experiment WHERE status NOT IN ('finished', 'failed', 'cancelled') \
                 ORDER BY submitted_unix_ms, id LIMIT ?",
                &[i64::from(limit).into()],
            )
            .await?;
        let mut unended = Vec::with_capacity(rows.len());
        for UnendedRow { id, status, owner } in rows {
            let status = named(&status).map_err(|source| self.json("status", &id, source))?;
            let is_own = owner.is_some() && owner.as_deref() == self.owner();
            let has_owner = match &owner {
                Some(token) => is_own || self.is_alive(token).await?,
                None => false,
            };
            unended.push(Unended { id, status, has_owner, is_own });
        }
        Ok(unended)
    }

    /// Whether the process with this token lives, or it cannot be told.
    async fn is_alive(&self, token: &str) -> Result<bool, StoreError> {
        if let Some(path) = self.place().path() {
            return Ok(owner_lock::is_alive(path, token));
        }
        let silence = self.limits().owner;
        if !self.lease().is_settled(Instant::now(), silence) {
            return Ok(true);
        }
        let silence_ms = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT count(*) AS found FROM owner WHERE token = ? AND seen_unix_ms > {} - ?",
            now_ms(self.dialect())
        );
        let about = ("look for its processes", "");
        Ok(self.fetch_number(about, &sql, &[token.into(), silence_ms.into()]).await? > 0)
    }

    /// Ends an experiment whose process is gone, unless it has ended or changed hands meanwhile; whether it did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn close_abandoned(&self, id: &str, reason: &str, at_unix_ms: u64) -> Result<bool, StoreError> {
        self.settled(|| self.close_once(id, reason, at_unix_ms)).await
    }

    async fn close_once(&self, id: &str, reason: &str, at_unix_ms: u64) -> Result<bool, StoreError> {
        let mut writing = self.begin("close an abandoned experiment", id).await?;
        let closed = writing
            .execute(
                "UPDATE experiment SET status = ?, verdict = ?, reason = ?, ended_unix_ms = ?, owner = NULL \
                 WHERE id = ? AND status NOT IN ('finished', 'failed', 'cancelled')",
                &[
                    RunStatus::Failed.name().into(),
                    Verdict::Invalid.name().into(),
                    reason.into(),
                    count(at_unix_ms).into(),
                    id.into(),
                ],
            )
            .await?;
        if closed > 0 {
            insert_phase(&mut writing, id, RunStatus::Failed, at_unix_ms).await?;
        }
        writing.commit().await?;
        Ok(closed > 0)
    }

    /// Writes this process down among those that write, and takes those off the list that are gone. The first write of
    /// a process: a store that takes none is found out here.
    pub(crate) async fn sign_in(&self, token: &str, at_unix_ms: u64) -> Result<(), StoreError> {
        let Some(path) = self.place().path() else { return self.sign_in_with_server(token, at_unix_ms).await };
        let known: Vec<Token> = self
            .fetch(("list its processes", ""), "SELECT token FROM owner LIMIT ?", &[i64::from(KNOWN_MAX).into()])
            .await?;
        let gone = known.iter().filter(|Token(known)| known != token && !owner_lock::is_alive(path, known));
        let mut writing = self.begin("write its processes", "").await?;
        for Token(token) in gone {
            writing.execute("DELETE FROM owner WHERE token = ?", &[token.into()]).await?;
        }
        let values = [token.into(), i64::from(std::process::id()).into(), count(at_unix_ms).into()];
        writing.insert(&OWNER, &values, IfThere::Keep).await?;
        writing.commit().await
    }

    async fn sign_in_with_server(&self, token: &str, at_unix_ms: u64) -> Result<(), StoreError> {
        self.be_seen(token, at_unix_ms).await?;
        let (weak, token, pause) = (self.weak(), token.to_owned(), self.limits().owner / SEEN_PER_SILENCE);
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(store) = weak.get() else { return };
                if let Err(error) = store.be_seen(&token, at_unix_ms).await {
                    tracing::debug!(%error, "the store does not see this process");
                }
            }
        });
        self.lease().renewed_by(renewing.abort_handle());
        Ok(())
    }

    /// Has the server write down that this process lives.
    async fn be_seen(&self, token: &str, since_unix_ms: u64) -> Result<(), StoreError> {
        let (dialect, asked) = (self.dialect(), Instant::now());
        let now = now_ms(dialect);
        let update = dialect.or_update("token", &["seen_unix_ms"]);
        let sql = format!(
            "INSERT INTO owner (token, process_id, since_unix_ms, seen_unix_ms) VALUES (?, ?, ?, {now}){update}"
        );
        let values: [Value<'_>; 3] = [token.into(), i64::from(std::process::id()).into(), count(since_unix_ms).into()];
        let mut writing = self.begin("write its processes", "").await?;
        writing.execute(&sql, &values).await?;
        writing.execute(&format!("DELETE FROM owner WHERE seen_unix_ms < {now} - ?"), &[FORGET_MS.into()]).await?;
        writing.commit().await?;
        self.lease().seen(asked, self.limits().owner);
        Ok(())
    }
}
