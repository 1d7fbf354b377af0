//! Applications: what is deployed for experiments.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nuncius_bundle::Limits;
use nuncius_schemas::bundle::{FILES_MAX, UNPACKED_MAX_BYTES};

use super::gateway::bytes;

/// Most files that anybody may set as the limit.
const FILES_LIMIT_MAX: i64 = 100_000;

/// How large bundles may be: those that are packed here, and those that nodes here unpack.
#[derive(Debug, Clone, Args)]
pub(crate) struct BundleArgs {
    /// Most files of a bundle.
    #[arg(long, value_name = "N", default_value_t = FILES_MAX, env = "NUNCIUS_BUNDLE_FILES")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=FILES_LIMIT_MAX))]
    pub(crate) bundle_files: u32,
    /// Most bytes of all files of a bundle together.
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = bytes, env = "NUNCIUS_BUNDLE_SIZE")]
    pub(crate) bundle_size: u64,
}

impl Default for BundleArgs {
    fn default() -> Self {
        Self { bundle_files: FILES_MAX, bundle_size: UNPACKED_MAX_BYTES }
    }
}

impl BundleArgs {
    pub(crate) fn limits(&self) -> Limits {
        Limits { files: self.bundle_files, unpacked_bytes: self.bundle_size }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// List the applications that are deployed.
    Ls,
    /// Pack a directory with an experiment and what it needs, and store it under a name.
    ///
    /// The experiment is experiment.yaml, or the only .yaml file at the root. Names that begin with a dot are left out.
    /// The same contents are stored once; versions before stay until they are removed.
    Deploy {
        /// Directory, or a zip archive of one.
        directory: PathBuf,
        /// Name of the application (default: the directory's).
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        bundle: BundleArgs,
    },
    /// Remove an application with all of its versions.
    Rm {
        /// Name of the application.
        name: String,
        /// Keep the current version, and remove those before.
        #[arg(long)]
        old: bool,
        /// Though experiments that have not ended need it.
        #[arg(long)]
        force: bool,
    },
}
