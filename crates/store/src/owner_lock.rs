//! The lock that a process that writes holds on a file of its own beside the database.
//!
//! The system gives it up with the process, however it ends, and no number of a process is ever taken for that of
//! another.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StoreError;

/// Stands between the name of the database and the token.
const MARK: &str = "-owner-";

/// The lock of one process; given up with the last copy.
#[derive(Debug, Clone)]
pub(crate) struct OwnerLock(Arc<OwnerFile>);

#[derive(Debug)]
struct OwnerFile {
    path: PathBuf,
    lock: File,
}

impl OwnerFile {
    /// Whether the file that is locked is still the one that others find.
    fn is_in_place(&self) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let locked = self.lock.metadata().ok().map(identity);
        locked.is_some() && locked == std::fs::metadata(&self.path).ok().map(identity)
    }
}

impl Drop for OwnerFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn path_of(database: &Path, token: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(MARK);
    name.push(token);
    PathBuf::from(name)
}

impl OwnerLock {
    /// Makes and locks the file of `token`.
    pub(crate) fn take(database: &Path, token: &str) -> Result<Self, StoreError> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = path_of(database, token);
        let failed = |source| StoreError::File { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        file.try_lock().map_err(|error| failed(error.into()))?;
        Ok(Self(Arc::new(OwnerFile { path: path.clone(), lock: file })))
    }

    /// Whether others still see that it is held.
    pub(crate) fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }
}

/// Whether the process with this token lives.
pub(crate) fn is_alive(database: &Path, token: &str) -> bool {
    // What no process of ours could have written names no file of ours either.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let path = path_of(database, token);
    match File::options().write(true).open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => {
                let _ = std::fs::remove_file(&path);
                false
            }
            // Held; or it cannot be told, and nobody is to be taken for dead by mistake.
            Err(_) => true,
        },
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
