//! What is stored.

use std::path::PathBuf;

use clap::Args;
use nuncius_schemas::tag::WantedTag;
use nuncius_store::StoreLimits;

/// How many request records a database holds, and where the others are.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordsArgs {
    /// Most request records of one run that stay in the database; those beyond go to files beside it.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub(crate) database_records: u64,
    /// Where those files go with a database of a server; without it all records stay there.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) records_directory: Option<PathBuf>,
}

impl RecordsArgs {
    /// What that means to a store, all else as it is.
    pub(crate) fn limits(&self) -> StoreLimits {
        let (records_max, records_directory) = (self.database_records, self.records_directory.clone());
        StoreLimits { records_max, records_directory, ..StoreLimits::default() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Those that have ended, too.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// With this tag, an entry of their metadata; given several times, with all of them.
    #[arg(long = "tag", value_name = "NAME[=VALUE]")]
    pub(crate) tags: Vec<WantedTag>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Experiments: ids, beginnings of ids, or `last`.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Delete what the bus has though no database that can be reached has the experiment.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportRunArgs {
    /// What `nuncius export ID --parquet DIRECTORY` wrote.
    pub(crate) directory: PathBuf,
    /// Id that the experiment gets here (default: the one that it had).
    #[arg(long = "as", value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Put it in the place of the experiment of that id, if there is one.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Most rows that a file may have.
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    pub(crate) max_rows: u64,
    #[command(flatten)]
    pub(crate) records: RecordsArgs,
}
