//! What can go wrong with the store.

use std::path::PathBuf;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory of the file cannot be made.
    #[error(
        "directory `{}` for the store cannot be made: {source}; choose a path this user may write to",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be made.
    #[error("store `{}` cannot be made: {source}; choose a path this user may write to", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be opened.
    #[error(
        "store `{store}` cannot be opened: {source}; check that it is an sqlite file and that this user may read and \
         write it and its directory"
    )]
    Open {
        /// The file.
        store: String,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The server does not take a connection.
    #[error(
        "store `{store}` cannot be used: {source}; check that the server runs there, and the user, the password and \
         the database in its address"
    )]
    Unreachable {
        /// Where it is.
        store: String,
        /// What was said.
        source: sqlx::Error,
    },
    /// The server says nothing.
    #[error("store `{store}` cannot be used: it did not answer within {limit:?}; check that the server runs there")]
    Silent {
        /// Where it is.
        store: String,
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// The tables cannot be brought to this version.
    #[error(
        "store `{store}` cannot be brought to the tables of this version: {source}; what is in it is as it was: a user \
         of a server needs the right to make tables, a file can be moved away and is made anew"
    )]
    Migrate {
        /// The store.
        store: String,
        /// Which migration and why.
        source: sqlx::migrate::MigrateError,
    },
    /// Its tables are of a later version.
    #[error(
        "store `{store}` has tables of version {version}, this program knows {newest}: use a newer nuncius, or another \
         store"
    )]
    Newer {
        /// The store.
        store: String,
        /// Of its tables.
        version: i64,
        /// That this program knows.
        newest: i64,
    },
    /// A statement failed.
    #[error("store `{store}` cannot {action}: {source}")]
    Database {
        /// The store.
        store: String,
        /// What was being done.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// Something is larger than the server takes.
    #[error(
        "store `{store}` cannot {action}: {bytes} bytes at once are more than its server takes, which are {limit}; \
         raise `max_allowed_packet` there"
    )]
    TooLarge {
        /// The store.
        store: String,
        /// What was being done.
        action: &'static str,
        /// How much it is.
        bytes: usize,
        /// How much may be.
        limit: usize,
    },
    /// A transaction took too long.
    #[error(
        "store `{store}` cannot {action} within {limit:?}: its disk or its server is slow, or another process keeps it \
         locked; `--store-write-limit` of the daemon is that limit"
    )]
    Slow {
        /// The store.
        store: String,
        /// What was being done.
        action: &'static str,
        /// How long it may take.
        limit: std::time::Duration,
    },
    /// There is no such experiment.
    #[error("experiment `{id}` is not in store `{store}`; list the experiments to see which are")]
    NotFound {
        /// The store.
        store: String,
        /// The experiment.
        id: String,
    },
    /// A stored document cannot be read, or one cannot be written.
    #[error("{what} of experiment `{id}` in store `{store}` is not the json it should be: {source}")]
    Json {
        /// The store.
        store: String,
        /// Which document.
        what: &'static str,
        /// The experiment.
        id: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A batch of request records contradicts itself or the specification.
    #[error("batch {sequence} of request records of node `{node}` in experiment `{id}` is refused: {problem}")]
    Batch {
        /// The experiment.
        id: String,
        /// The node.
        node: String,
        /// Which batch.
        sequence: u64,
        /// What is wrong.
        problem: String,
    },
    /// A stored histogram cannot be read.
    #[error("a histogram of experiment `{id}` in store `{store}` is not what it should be: {source}")]
    Histogram {
        /// The store.
        store: String,
        /// The experiment.
        id: String,
        /// Why.
        source: nuncius_stats::encoding::DecodeError,
    },
    /// Files of request records cannot be written or removed.
    #[error("request records cannot be {action} `{}`: {source}", path.display())]
    RecordFiles {
        /// "written to", "removed from".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of request records is not there, or is none.
    #[error(
        "request records of experiment `{id}` are in `{}`, which is not to be read here: {problem}; ask where its \
         daemon runs, or while it runs", path.display()
    )]
    RecordsAway {
        /// The experiment.
        id: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An export cannot be written.
    #[error("export to `{}` cannot be written: {source}", path.display())]
    Export {
        /// The file or directory, or `-` for a stream.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether it is what was to be stored that is wrong: another try changes nothing.
    pub const fn is_of_the_data(&self) -> bool {
        match self {
            Self::Batch { .. } | Self::Json { .. } | Self::Histogram { .. } => true,
            Self::Directory { .. }
            | Self::File { .. }
            | Self::Open { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Migrate { .. }
            | Self::Newer { .. }
            | Self::Database { .. }
            | Self::TooLarge { .. }
            | Self::Slow { .. }
            | Self::NotFound { .. }
            | Self::RecordFiles { .. }
            | Self::RecordsAway { .. }
            | Self::Export { .. } => false,
        }
    }

    /// Whether the database gave way to another transaction: the same one again may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(|error| error.code());
        // PostgreSQL: serialisation failure, deadlock, a lock not given in time. MySQL: deadlock; its own number for a
        // lock that was not given in time stands in the text, the code being the one for anything.
        let is_conflict = code.is_some_and(|code| matches!(&*code, "40001" | "40P01" | "55P03"));
        is_conflict || mysql_number(source).is_some_and(|number| matches!(number, 1205 | 1213))
    }

    /// The error of a statement; a missing experiment has its own.
    pub(crate) fn of_statement(store: &str, action: &'static str, id: &str, source: sqlx::Error) -> Self {
        let store = store.to_owned();
        match source.as_database_error() {
            Some(error) if error.is_foreign_key_violation() => Self::NotFound { store, id: id.to_owned() },
            _ => Self::Database { store, action, source },
        }
    }
}

/// MySQL's number of an error.
fn mysql_number(source: &sqlx::Error) -> Option<u16> {
    let error = source.as_database_error()?.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(error.number())
}
