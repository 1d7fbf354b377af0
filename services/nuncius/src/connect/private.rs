//! The private server of a `run`: named in the data directory while it lives, so that a second shell can look on.
//!
//! Only commands that look on or cancel go there. `run`, `submit` and services never do: what they start is to outlive
//! somebody else's run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use nuncius_bus::Bus;
use nuncius_bus::server::{URL_FILE, discover};

use super::{connect_to, data_place, existing, find, leave_url};
use crate::args::Global;

/// Below the data directory: a directory for each process that has a private server, with the file that names it.
const DIRECTORY: &str = "private";

/// Names a private server until it is dropped.
pub(crate) struct NamedServer(PathBuf);

impl NamedServer {
    /// Leaves the address of this process's private server.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub(crate) fn leave(data: &Path, url: &str) -> Result<Self> {
        let directory = data.join(DIRECTORY).join(std::process::id().to_string());
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let named = Self(directory);
        leave_url(&named.0, url)?;
        Ok(named)
    }
}

impl Drop for NamedServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The server that was named or that `up` runs, else the private one of the latest `run` that still goes on.
pub(crate) async fn find_to_look_on(global: &Global) -> Option<String> {
    match find(global).await {
        Some(url) => Some(url),
        None => latest(&data_place(global)?.join(DIRECTORY)).await,
    }
}

/// Connects to it, if there is one.
///
/// # Errors
/// When it does not answer.
pub(crate) async fn possible_to_look_on(global: &Global, name: &str) -> Result<Option<Bus>> {
    match find_to_look_on(global).await {
        Some(url) => connect_to(global, &url, name).await.map(Some),
        None => Ok(None),
    }
}

/// Connects to a server that must be there, or come within `--wait`; see [`find_to_look_on`].
///
/// # Errors
/// When there is none in that time.
pub(crate) async fn existing_to_look_on(global: &Global, name: &str) -> Result<Bus> {
    match possible_to_look_on(global, name).await? {
        Some(bus) => Ok(bus),
        None => existing(global, name).await,
    }
}

/// The address of the server that was named last and answers. What a killed process left behind is taken away.
async fn latest(directory: &Path) -> Option<String> {
    let entries = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let mut places: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter_map(|path| Some((path.join(URL_FILE).metadata().ok()?.modified().ok()?, path)))
        .collect();
    places.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    for (_, place) in places {
        match discover(None, &place).await {
            Some(found) => return Some(found.url),
            None => {
                let _ = std::fs::remove_dir_all(&place);
            }
        }
    }
    None
}
