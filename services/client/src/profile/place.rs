//! A directory for one command, that goes with it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most bytes of a command's last words.
const TAIL_BYTES: u64 = 1_024;
/// For this node's user alone.
const OWNER_ONLY: u32 = 0o700;

/// A directory below the system's for temporary files; removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
}

impl Place {
    /// Makes it.
    ///
    /// # Errors
    /// When the system does not.
    pub(super) fn make() -> io::Result<Self> {
        let name = format!("nuncius-profile-{:016x}", fastrand::u64(..));
        let root = std::env::temp_dir().join(name);
        // One that is there already is somebody else's.
        DirBuilder::new().mode(OWNER_ONLY).create(&root)?;
        let place = Self { root };
        DirBuilder::new().mode(OWNER_ONLY).create(place.directory())?;
        Ok(place)
    }

    /// Where the command runs, and its output is.
    pub(super) fn directory(&self) -> PathBuf {
        self.root.join("output")
    }

    /// What the command says on its standard output and error.
    fn words(&self) -> PathBuf {
        self.root.join("words")
    }

    /// Opens it for the command.
    pub(super) fn open_words(&self) -> io::Result<File> {
        OpenOptions::new().create_new(true).append(true).mode(0o600).open(self.words())
    }

    /// Bytes of what it has said.
    pub(super) fn words_bytes(&self) -> u64 {
        bytes(&self.words())
    }

    /// The end of it, on one line.
    pub(super) fn last_words(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.words())?;
            let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut tail)?;
            Ok(tail)
        };
        let tail = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(plain).collect();
        lines.join(" / ")
    }
}

/// A line without control characters.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Bytes of a file; 0 where there is none.
pub(super) fn bytes(path: &Path) -> u64 {
    path.symlink_metadata().map_or(0, |found| found.len())
}

/// What is in a file of at most so many bytes; `None` where there is more in it. A link is not followed: the command's
/// own output is wanted.
///
/// # Errors
/// When it is no plain file, or cannot be read.
pub(super) fn read(path: &Path, at_most: u64) -> io::Result<Option<Vec<u8>>> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits());
    let file = OpenOptions::new().read(true).custom_flags(no_follow.unwrap_or(0)).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut content = Vec::new();
    file.take(at_most.saturating_add(1)).read_to_end(&mut content)?;
    Ok(Some(content).filter(|content| content.len() as u64 <= at_most))
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root) {
            tracing::warn!(directory = %self.root.display(), %error, "a directory of a profile was not removed");
        }
    }
}
