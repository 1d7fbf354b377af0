//! What leaves the store.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Tables as CSV files, in the directory --out.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Tables as Parquet files, in this directory (docs/exports.md).
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["json", "csv", "out"])]
    pub(crate) parquet: Option<PathBuf>,
    /// The files that Galileo's notebooks read, in this directory.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["json", "csv", "out", "parquet"])]
    pub(crate) galileo: Option<PathBuf>,
    /// When its arrivals were planned, as `arrivals: {file: …}` of an experiment reads it (docs/arrivals.md); `-` is
    /// standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "out", "parquet", "galileo"])]
    pub(crate) arrivals: Option<PathBuf>,
    /// With --arrivals: of which group, where it has several with a schedule.
    #[arg(long, value_name = "NAME", requires = "arrivals")]
    pub(crate) group: Option<String>,
    /// Where to (default: ID-csv, or standard output).
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}
