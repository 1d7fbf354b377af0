//! Files and directories below one that is open, never through a link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

/// So much is written at a time, in bytes.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

pub(super) fn directory_of(size_bytes: u64) -> String {
    format!("d-{size_bytes}")
}

pub(super) fn file_of(number: u64) -> String {
    format!("f-{number}")
}

/// A directory below another, never through a link.
pub(super) fn open_directory(below: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(below, name, flags, Mode::empty())?)
}

pub(super) fn make_directory(below: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(below.as_fd(), name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => open_directory(below, name),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn create(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name, flags, Mode::from_raw_mode(0o644))?))
}

pub(super) fn remove_file(directory: impl AsFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether an entry is of this type; a link is not of the type of what it leads to.
pub(super) fn is_a(directory: impl AsFd, entry: &DirEntry, wanted: FileType) -> bool {
    let found = match entry.file_type() {
        // Some file systems do not say.
        FileType::Unknown => statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
        told => told,
    };
    found == wanted
}

/// Numbers of the regular files `f-<number>`, in their order.
pub(super) fn numbers(directory: impl AsFd) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        let number = name.strip_prefix("f-").and_then(|number| number.parse().ok());
        if let (true, Some(number)) = (is_a(&directory, &entry, FileType::RegularFile), number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
