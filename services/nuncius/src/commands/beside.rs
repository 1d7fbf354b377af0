//! `nuncius beside`: what a node starts a profiler by, so that it goes when the node is killed. The node's own process
//! is not copied for that: its engine threads would feel it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::args::BesideArgs;

/// The command that does it.
const COMMAND: &str = "beside";
/// This very program, though another one may have taken its place meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What a node starts profilers by.
pub(crate) fn starter() -> Vec<OsString> {
    vec![OWN_PROGRAM.into(), COMMAND.into()]
}

/// Becomes the program.
///
/// # Errors
/// When it cannot, or its parent is gone.
pub(super) fn beside(args: &BesideArgs) -> Result<u8> {
    let Some((program, arguments)) = args.command.split_first() else { bail!("beside: no program") };
    set_parent_process_death_signal(Some(Signal::KILL)).context("beside")?;
    // It may have gone before that.
    if getppid() != Pid::from_raw(args.parent) {
        bail!("beside: process {} is gone", args.parent);
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be started", program.to_string_lossy()))
}
