//! The directory that files are written to: made, marked and locked, removed at the end; and those that were left by
//! processes that did not come to their end.
//!
//! A directory is only ever removed if its name and its marker are as they are written here, if the lock on the marker
//! can be taken, and if the process that the marker names is gone. What is in it and was not written here stays, and so
//! then does the directory. No link is followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;
use tracing::{debug, info, warn};

use super::{create, is_a, numbers, open_directory, remove_file};
use crate::resource::group::HoldError;

/// What names of directories begin with; 16 hexadecimal digits follow.
const PREFIX: &str = "nuncius-resource-";
/// The file that says whose a directory is, and is locked as long as that lives.
const MARKER: &str = ".nuncius-resource";
/// The first line of a marker.
const MAGIC: &str = "nuncius-resource 1";
/// Longest marker that is read, in bytes.
const MARKER_MAX_BYTES: u64 = 1024;
/// The file of the load.
pub(super) const LOAD: &str = "load";

/// A directory of this process's own, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) directory: OwnedFd,
    pub(super) path: PathBuf,
    parent: OwnedFd,
    name: String,
    /// Locked until it is closed.
    _marker: File,
}

impl Claim {
    /// Makes and marks a directory.
    ///
    /// # Errors
    /// [`HoldError::Disk`].
    pub(super) fn make(data_directory: &Path) -> Result<Self, HoldError> {
        let name = format!("{PREFIX}{:016x}", fastrand::u64(..));
        let path = data_directory.join(&name);
        let make = || -> io::Result<Self> {
            let parent = open_data_directory(data_directory)?;
            mkdirat(&parent, &name, Mode::from_raw_mode(0o755))?;
            let marked = open_directory(&parent, &name).and_then(|directory| {
                let mut marker = create(&directory, MARKER)?;
                flock(&marker, FlockOperation::LockExclusive)?;
                marker.write_all(own_marker().as_bytes())?;
                Ok((directory, marker))
            });
            match marked {
                Ok((directory, marker)) => {
                    Ok(Self { directory, path: path.clone(), parent, name: name.clone(), _marker: marker })
                }
                Err(error) => {
                    if let Ok(directory) = open_directory(&parent, &name) {
                        let _ = remove_file(&directory, MARKER);
                    }
                    let _ = unlinkat(&parent, name.as_str(), AtFlags::REMOVEDIR);
                    Err(error)
                }
            }
        };
        let made = make();
        made.map_err(|source| HoldError::Disk { path: path.display().to_string(), source })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.parent, &self.name, &self.directory) {
            warn!(path = %self.path.display(), %error, "the directory of files could not be removed");
        }
    }
}

fn open_data_directory(path: &Path) -> io::Result<OwnedFd> {
    // The person who named it may have named a link.
    Ok(open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Removes what is written here and nothing else; the marker last, so that what is left over is found again.
fn remove(parent: &OwnedFd, name: &str, directory: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let entry_name = entry.file_name().to_string_lossy();
        if !entry_name.starts_with("d-") || !is_a(directory, &entry, FileType::Directory) {
            continue;
        }
        let below = open_directory(directory, &entry_name)?;
        for number in numbers(&below)? {
            remove_file(&below, &format!("f-{number}"))?;
        }
        unlinkat(directory, entry.file_name(), AtFlags::REMOVEDIR)?;
    }
    remove_file(directory, LOAD)?;
    if let Some(stranger) = names(directory)?.into_iter().find(|name| name != MARKER) {
        return Err(io::Error::other(format!("`{stranger}` in it was not written here")));
    }
    remove_file(directory, MARKER)?;
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Names in a directory, without those of itself and its parent.
fn names(directory: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes the directories that were left in `data_directory`, and tells how many.
///
/// # Errors
/// Where the data directory cannot be read.
pub(crate) fn sweep(data_directory: &Path) -> io::Result<usize> {
    let parent = open_data_directory(data_directory)?;
    let mut swept = 0;
    for name in names(&parent)? {
        let digits = name.strip_prefix(PREFIX).unwrap_or_default();
        if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        match sweep_one(&parent, &name) {
            Ok(true) => {
                info!(%name, "removed the files of a process that is gone");
                swept += 1;
            }
            Ok(false) => debug!(%name, "left alone"),
            Err(error) => warn!(%name, %error, "files that were left could not be removed"),
        }
    }
    Ok(swept)
}

/// Whether it was one to remove, and is.
fn sweep_one(parent: &OwnedFd, name: &str) -> io::Result<bool> {
    let directory = open_directory(parent, name)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let marker = match openat(&directory, MARKER, flags, Mode::empty()) {
        Ok(marker) => File::from(marker),
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !marker.metadata()?.is_file() {
        return Ok(false);
    }
    match flock(&marker, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let mut text = String::new();
    (&marker).take(MARKER_MAX_BYTES).read_to_string(&mut text)?;
    if text.lines().next() != Some(MAGIC) || is_alive(&text) {
        return Ok(false);
    }
    remove(parent, name, &directory)?;
    Ok(true)
}

/// Who this process is: its id is used again one day, with its start and the boot it is not.
fn own_marker() -> String {
    let id = std::process::id();
    marker_of(id, &start_of(id).unwrap_or_default(), &boot())
}

fn marker_of(id: u32, start: &str, boot: &str) -> String {
    format!("{MAGIC}\npid {id}\nstart {start}\nboot {boot}\n")
}

/// Whether the marker names a process that runs on this host.
fn is_alive(marker: &str) -> bool {
    let field = |name: &str| marker.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let running = field("pid ").parse().ok().and_then(start_of);
    field("boot ") == boot() && running.is_some_and(|start| start == field("start "))
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// When a process started, in ticks since boot.
fn start_of(id: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; the start is the 20th field after it.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory as a process leaves it that ended without removing it.
    pub(in crate::resource::disk) fn leave(data_directory: &Path, name: &str, id: u32, start: &str) -> PathBuf {
        let path = data_directory.join(name);
        std::fs::create_dir_all(path.join("d-524288")).unwrap();
        std::fs::write(path.join("d-524288/f-1"), b"left").unwrap();
        std::fs::write(path.join(MARKER), marker_of(id, start, &boot())).unwrap();
        path
    }

    #[test]
    fn this_process_is_alive_and_its_id_at_another_time_is_not() {
        assert!(is_alive(&own_marker()));
        assert!(!is_alive(&marker_of(std::process::id(), "1", &boot())));
        let start = start_of(std::process::id()).unwrap();
        assert!(!is_alive(&marker_of(std::process::id(), &start, "another boot")));
        assert!(!is_alive(MAGIC));
    }
}
