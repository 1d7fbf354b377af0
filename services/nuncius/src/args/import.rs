//! Test files of other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What Artillery's own command takes beside a file, under the same names.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Artillery files")]
pub(crate) struct ArtilleryArgs {
    /// Lay this file over the test before anything else.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Take this one of `config.environments`.
    #[arg(long, short = 'e', value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// Aim at this URL.
    #[arg(long, short = 't', value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Do not check certificates.
    #[arg(long, short = 'k')]
    pub(crate) insecure: bool,
    /// Lay this over all of the test; lists take the place of lists.
    #[arg(long, value_name = "JSON")]
    pub(crate) overrides: Option<String>,
    /// Add these to `config.variables`.
    #[arg(long, short = 'v', value_name = "JSON")]
    pub(crate) variables: Option<String>,
    /// The file of rows, in place of the one that the test names.
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(crate) payload: Option<PathBuf>,
    /// Read variables of the environment from a file, for those that are not set.
    #[arg(long, visible_alias = "dotenv", value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Take the one scenario of this name, or that this regular expression finds.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario_name: Option<String>,
    /// One user, once.
    #[arg(long)]
    pub(crate) solo: bool,
    /// Leave out what has no meaning here, instead of refusing the file.
    #[arg(long)]
    pub(crate) leave_out_refused: bool,
}

/// A form of Artillery's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ArtilleryForm {
    /// As version 1 printed it.
    V1,
    /// As version 2 prints it.
    #[default]
    V2,
}

/// What becomes of the figures of a test of Artillery.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Artillery files")]
pub(crate) struct ArtilleryOutputArgs {
    /// Where the report goes as Artillery writes it, in JSON; `-` is standard output.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The form of the summary as text.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) artillery_report: ArtilleryForm,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A test file of Artillery, YAML or JSON.
    pub(crate) file: PathBuf,
    /// Only tell what becomes of each key: supported, approximated, refused or unknown.
    #[arg(long)]
    pub(crate) check: bool,
    /// Where the experiment and the files that it needs are written to; without it the experiment alone is printed.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) artillery: ArtilleryArgs,
}
