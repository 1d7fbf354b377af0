//! Trees of files that nobody is to change.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Permissions of a directory that is read only.
const SEALED_DIRECTORY: u32 = 0o555;
/// Permissions of a directory that is being filled, or taken away.
const OPEN_DIRECTORY: u32 = 0o700;

/// Takes away a file, or a tree with all that is in it, read only or not. What is not there is gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => {
            open(path)?;
            fs::remove_dir_all(path)
        }
        Ok(_) => fs::remove_file(path),
    }
}

/// Makes every directory of a tree writable for its owner.
fn open(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(OPEN_DIRECTORY))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A link is none.
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory read only.
pub(crate) fn seal(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(SEALED_DIRECTORY))
}

/// Makes a directory that its owner alone may look into.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(OPEN_DIRECTORY).create(directory)
}

/// Bytes of all files of a tree, or of a file; 0 of what is not there.
pub(crate) fn bytes_of(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.filter_map(Result::ok).fold(0, |sum, entry| sum.saturating_add(bytes_of(&entry.path())))
}
