//! What can go wrong with the store.

use std::path::{Path, PathBuf};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory of the file cannot be made.
    #[error("directory `{}` for the store cannot be made: {source}; choose a path this user may write to", path.display())]
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
        "store `{}` cannot be opened: {source}; check that it is an sqlite file and that this user may read and write it \
         and its directory",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The tables cannot be brought to this version.
    #[error(
        "store `{}` cannot be brought to the tables of this version: {source}; a file of a newer version needs a newer \
         program, any other can be moved away and is made anew",
        path.display()
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Which migration and why.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("store `{}` cannot {action}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A transaction took too long.
    #[error(
        "store `{}` cannot {action} within {limit:?}: its disk is slow, or another process keeps it locked; \
         `--store-write-limit` of the daemon is that limit",
        path.display()
    )]
    Slow {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// How long it may take.
        limit: std::time::Duration,
    },
    /// There is no such experiment.
    #[error("experiment `{id}` is not in store `{}`; list the experiments to see which are", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// The experiment.
        id: String,
    },
    /// A stored document cannot be read, or one cannot be written.
    #[error("{what} of experiment `{id}` in store `{}` is not the json it should be: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
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
            Self::Batch { .. } | Self::Json { .. } => true,
            Self::Directory { .. }
            | Self::File { .. }
            | Self::Open { .. }
            | Self::Migrate { .. }
            | Self::Database { .. }
            | Self::Slow { .. }
            | Self::NotFound { .. }
            | Self::Export { .. } => false,
        }
    }

    /// The error of a statement; a missing experiment has its own.
    pub(crate) fn of_statement(path: &Path, action: &'static str, id: &str, source: sqlx::Error) -> Self {
        let path = path.to_path_buf();
        match source.as_database_error() {
            Some(error) if error.is_foreign_key_violation() => Self::NotFound { path, id: id.to_owned() },
            _ => Self::Database { path, action, source },
        }
    }
}
