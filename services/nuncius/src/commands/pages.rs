//! `nuncius completions` and `nuncius man`: what shells and manuals want to know of the command line.

use anyhow::{Context, Result};

use crate::args::{CompletionsArgs, ManArgs, command};
use crate::output::{note, print};

/// Prints the completions of a shell.
pub(super) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "nuncius", &mut text);
    print(&String::from_utf8(text).context("the completions are not UTF-8")?);
    Ok(0)
}

/// Prints the first manual page, or writes all of them.
pub(super) fn man(args: &ManArgs) -> Result<u8> {
    let Some(directory) = &args.directory else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command()).render(&mut text).context("the manual page")?;
        print(&String::from_utf8(text).context("the manual page is not UTF-8")?);
        return Ok(0);
    };
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command(), directory));
    written.with_context(|| directory.display().to_string())?;
    note(&format!("manual pages are in {}", directory.display()));
    Ok(0)
}
