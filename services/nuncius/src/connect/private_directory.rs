//! Where a private server keeps its store: a directory below the temporary one, gone with the process. What a killed
//! process left behind is swept by the next.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

const PREFIX: &str = "nuncius-";
/// Held by the process that made the directory.
const LOCK: &str = "owner.lock";
/// Held by its server, which may live a moment longer.
const SERVER_LOCK: &str = "nats-server.lock";
/// How old a directory must be in which nobody has locked anything: its maker may be about to.
const UNLOCKED_AGE: Duration = Duration::from_secs(3_600);

/// The directory of this process, gone when dropped.
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    _lock: File,
}

impl PrivateDirectory {
    /// Makes the directory, after taking away those of processes that are gone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new() -> Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place);
        let path = place.join(format!("{PREFIX}{}-{:08x}", std::process::id(), fastrand::u32(..)));
        DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        let lock = File::create(path.join(LOCK)).with_context(|| path.display().to_string())?;
        lock.try_lock().with_context(|| path.display().to_string())?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Takes away this user's directories whose processes are gone.
pub(crate) fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_named_so = entry.file_name().to_str().is_some_and(is_ours_by_name);
        // Not what a link leads to.
        let found = entry.metadata().ok().filter(|found| found.is_dir());
        let is_own = found.is_some_and(|found| found.uid() == rustix::process::geteuid().as_raw());
        if is_named_so && is_own && is_dead(&entry.path()) {
            tracing::debug!(directory = %entry.path().display(), "left by a process that is gone: removed");
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// `nuncius-`, a process id, `-`, eight hexadecimal digits.
fn is_ours_by_name(name: &str) -> bool {
    let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, random)| {
        !process.is_empty()
            && process.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == 8
            && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether nobody holds any of its locks.
fn is_dead(directory: &Path) -> bool {
    let mut has_lock = false;
    for name in [LOCK, SERVER_LOCK] {
        match File::options().write(true).open(directory.join(name)) {
            Ok(file) => {
                has_lock = true;
                if file.try_lock().is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // It cannot be told.
            Err(_) => return false,
        }
    }
    let age = || directory.metadata().ok()?.modified().ok()?.elapsed().ok();
    has_lock || age().is_some_and(|age| age >= UNLOCKED_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_so_and_held_by_nobody_is_swept() {
        let place = nuncius_testkit::TempDir::new("sweep").unwrap();
        let make = |name: &str, lock: Option<&str>| {
            let path = place.path().join(name);
            std::fs::create_dir(&path).unwrap();
            lock.map(|lock| File::create(path.join(lock)).unwrap())
        };
        drop(make("nuncius-17-0badcafe", Some(LOCK)));
        drop(make("nuncius-18-0badcafe", Some(SERVER_LOCK)));
        let held = make("nuncius-19-0badcafe", Some(LOCK)).unwrap();
        held.try_lock().unwrap();
        let server = make("nuncius-20-0badcafe", Some(SERVER_LOCK)).unwrap();
        server.try_lock().unwrap();
        // Its maker may be about to lock it; and other people's names.
        make("nuncius-21-0badcafe", None);
        drop(make("nuncius-it-0badcafe", Some(LOCK)));
        drop(make("nuncius-22-0badcafe-more", Some(LOCK)));
        std::os::unix::fs::symlink(place.path().join("nuncius-it-0badcafe"), place.path().join("nuncius-23-0badcafe"))
            .unwrap();
        sweep(place.path());
        let mut left: Vec<_> =
            std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let expected = ["19-0badcafe", "20-0badcafe", "21-0badcafe", "22-0badcafe-more", "23-0badcafe", "it-0badcafe"];
        assert_eq!(left, expected.map(|name| format!("nuncius-{name}")));
    }
}
