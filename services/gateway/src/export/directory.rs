//! The directory of the spool: one file for each message that did not fit into memory.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nuncius_schemas::subjects::Signal;

use crate::GatewayError;

/// What its file names end with.
const EXTENSION: &str = "otlp";
/// Held by the gateway that uses the directory.
const LOCK: &str = "lock";

/// A directory that this process alone uses.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked until the last of them goes.
    _lock: Arc<File>,
}

/// A message in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) signal: Signal,
    pub(super) path: PathBuf,
    pub(super) length_bytes: u64,
}

impl Directory {
    /// Makes the directory, if it is not there, and takes it.
    ///
    /// # Errors
    /// [`GatewayError::Spool`] where it cannot be had.
    pub(super) fn open(path: &Path) -> Result<Self, GatewayError> {
        let failed = |problem: String| GatewayError::Spool { directory: path.to_owned(), problem };
        let open = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))
        };
        let lock = open().map_err(|error| failed(error.to_string()))?;
        lock.try_lock().map_err(|_| failed("another gateway uses it; give each its own".to_owned()))?;
        Ok(Self { path: path.to_owned(), _lock: Arc::new(lock) })
    }

    /// What an earlier gateway has left, the oldest first.
    ///
    /// # Errors
    /// [`GatewayError::Spool`] where it cannot be read.
    pub(super) fn stored(&self) -> Result<Vec<Stored>, GatewayError> {
        let failed =
            |error: io::Error| GatewayError::Spool { directory: self.path.clone(), problem: error.to_string() };
        let mut stored = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let Some(signal) = signal_of(&path) else { continue };
            stored.push(Stored { signal, length_bytes: entry.metadata().map_err(failed)?.len(), path });
        }
        stored.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(stored)
    }

    /// Writes a message to a file of its own. Not forced to the disk: what a crash of the machine takes, it takes.
    pub(super) fn write(&self, signal: Signal, sequence: u64, message: &Bytes) -> io::Result<Stored> {
        // The time first: the bus may have been made anew, and counts from one.
        let name = format!("{:020}-{sequence:020}.{}.{EXTENSION}", nuncius_bus::clock::unix_ns(), signal.name());
        let path = self.path.join(name);
        let write = || {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(message)
        };
        match write() {
            Ok(()) => Ok(Stored { signal, path, length_bytes: message.len() as u64 }),
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }
}

fn signal_of(path: &Path) -> Option<Signal> {
    let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    Signal::of(name.rsplit_once('.')?.1)
}

#[cfg(test)]
mod tests {
    use nuncius_testkit::TempDir;

    use super::*;

    #[test]
    fn what_was_written_is_found_again_in_its_order_by_one_gateway_at_a_time() {
        let place = TempDir::new("spool").unwrap();
        let path = place.path().join("spool");
        let directory = Directory::open(&path).unwrap();
        let written: Vec<Stored> = [(Signal::Traces, 2), (Signal::Logs, 10), (Signal::Traces, 1)]
            .map(|(signal, sequence)| directory.write(signal, sequence, &Bytes::from_static(b"otlp")).unwrap())
            .into();
        std::fs::write(path.join("notes.txt"), "not ours").unwrap();
        assert_eq!(directory.stored().unwrap(), written);
        let error = Directory::open(&path).unwrap_err().to_string();
        assert!(error.contains("another gateway"), "{error}");
        drop(directory);
        assert_eq!(Directory::open(&path).unwrap().stored().unwrap(), written);
    }
}
