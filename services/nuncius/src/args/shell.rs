//! `nuncius shell`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// Read lines from this file and end with it; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pub(crate) source: Option<PathBuf>,
    /// A line; several are taken one after the other.
    #[arg(short = 'c', long = "command", value_name = "LINE")]
    pub(crate) lines: Vec<String>,
    /// Go on after a line that fails, where nobody sits at a terminal; the first failure is the exit code all the same.
    #[arg(long)]
    pub(crate) keep_going: bool,
}
