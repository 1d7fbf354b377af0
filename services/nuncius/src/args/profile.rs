//! `nuncius profile`, and what nodes start the commands of profiles by.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Experiment: its id, the beginning of one, or `last`.
    pub(crate) id: String,
    /// Profile, where the experiment has several.
    pub(crate) name: Option<String>,
    /// Of this node only.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Write what the profiler wrote to this file; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Draw folded stacks as a flame graph into this file (SVG); those of several nodes are added.
    #[arg(long, value_name = "FILE")]
    pub(crate) flamegraph: Option<PathBuf>,
    /// Colour the flame graph by what has changed since this experiment: red has become more, blue less.
    #[arg(long, value_name = "ID", requires = "flamegraph")]
    pub(crate) diff: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BesideArgs {
    /// Process id of the parent.
    pub(crate) parent: i32,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
