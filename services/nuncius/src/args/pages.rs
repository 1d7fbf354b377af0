//! Completions and manual pages.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where one page for each command goes (default: the first page, to standard output).
    pub(crate) directory: Option<PathBuf>,
}
