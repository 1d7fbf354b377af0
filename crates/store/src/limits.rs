//! How long the store waits for what, and how much it holds; every one of these is a setting.

use std::path::PathBuf;
use std::time::Duration;

/// Limits of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLimits {
    /// Longest wait for another process that holds the file, or a row of a server's.
    pub busy: Duration,
    /// Longest that one transaction may take to be written, with the wait for other writers. It then counts as failed.
    pub write: Duration,
    /// Longest wait for a connection that reads: an export may hold one for long.
    pub reader: Duration,
    /// After how long without a word a process counts as gone that writes into a database of a server. (Of one that
    /// writes into a file it is known at once.)
    pub owner: Duration,
    /// Most request records of one run that stay in the database; those beyond go to files, a directory for each run.
    pub records_max: u64,
    /// Where those directories are beside a database of a server; without one all records stay in it. Beside a file of
    /// SQLite they are where that is.
    pub records_directory: Option<PathBuf>,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(5),
            write: Duration::from_secs(20),
            reader: Duration::from_secs(60),
            owner: Duration::from_secs(60),
            records_max: 5_000_000,
            records_directory: None,
        }
    }
}
