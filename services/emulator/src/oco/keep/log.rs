//! State in a file: a line for each entry, the last of an application counts. What was written stays when the process
//! is killed; it is forced to the disk only when the file is written anew, so a machine that crashes may lose the last
//! of it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Kept;

/// The first line of a file of state.
const FIRST_LINE: &str = "{\"nuncius_oco_state\":1}\n";
/// A file below this is not written anew, in bytes.
const COMPACT_MIN_BYTES: u64 = 4 * 1024 * 1024;
/// A file is written anew when it has grown this many times.
const GROWTH: u64 = 4;

/// Why there is no file of state.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("{path}: {source}; choose another place with --state")]
    System {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{path} is in use by another process; choose another file with --state")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file of something else, or damaged.
    #[error("{path}, line {line}: {problem}; move the file away to begin without state")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A file of state that this process alone writes.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// Held as long as this is.
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    file: File,
    bytes: u64,
    /// Length when it was last written anew, in bytes.
    compact_bytes: u64,
    /// The last entry could not be appended: what is superseded may be in its way.
    is_stuck: bool,
    line: Vec<u8>,
}

impl Log {
    /// Takes the file, hands every entry in it to `entry`, oldest first.
    pub(crate) fn open(path: &Path, mut entry: impl FnMut(Kept<'static>)) -> Result<Self, LogError> {
        let failed = |source| LogError::System { path: path.to_owned(), source };
        // Opening a pipe would wait for ever, and a device is nobody's own.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(failed(io::Error::other("not a regular file")));
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, "lock"));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => LogError::InUse { path: path.to_owned() },
            std::fs::TryLockError::Error(source) => failed(source),
        })?;
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        let whole_bytes = read(path, &file, &mut entry)?;
        // What was begun and not ended was not answered.
        file.set_len(whole_bytes).map_err(failed)?;
        if whole_bytes == 0 {
            file.write_all(FIRST_LINE.as_bytes()).map_err(failed)?;
        }
        let bytes = whole_bytes.max(FIRST_LINE.len() as u64);
        // Written anew by whoever has all entries, for it may be long.
        let writer = Mutex::new(Writer { file, bytes, compact_bytes: 0, is_stuck: false, line: Vec::new() });
        Ok(Self { path: path.to_owned(), writer, _lock: lock })
    }

    /// Appends an entry.
    pub(crate) fn append(&self, kept: &Kept<'_>) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { file, bytes, line, is_stuck, .. } = &mut *writer;
        line.clear();
        serde_json::to_writer(&mut *line, kept)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(line) {
            *is_stuck = true;
            // A part of a line would make the next one unreadable.
            file.set_len(*bytes)?;
            return Err(error);
        }
        *bytes += line.len() as u64;
        *is_stuck = false;
        Ok(())
    }

    /// Takes another file, such as one that cannot be written.
    #[cfg(test)]
    pub(crate) fn break_for_tests(&self, file: File) {
        self.writer.lock().unwrap().file = file;
    }

    /// Whether the file has grown so much that it should be written anew.
    pub(crate) fn is_long(&self) -> bool {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.is_stuck || writer.bytes > COMPACT_MIN_BYTES.max(writer.compact_bytes.saturating_mul(GROWTH))
    }

    /// Writes the file anew with these entries only. Nobody may append meanwhile.
    pub(crate) fn rewrite<'a>(&self, entries: impl Iterator<Item = Kept<'a>>) -> io::Result<()> {
        let fresh = beside(&self.path, "new");
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_entries(&fresh, entries) {
            // Half a file would only take room.
            let _ = std::fs::remove_file(&fresh);
            return Err(error);
        }
        let file = OpenOptions::new().append(true).open(&fresh)?;
        let bytes = file.metadata()?.len();
        std::fs::rename(&fresh, &self.path)?;
        (writer.file, writer.bytes, writer.compact_bytes) = (file, bytes, bytes);
        Ok(())
    }
}

fn write_entries<'a>(path: &Path, entries: impl Iterator<Item = Kept<'a>>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(FIRST_LINE.as_bytes())?;
    for entry in entries {
        serde_json::to_writer(&mut out, &entry)?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
}

/// The path with another ending appended.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Hands out the entries; the length of all lines that are whole, in bytes.
fn read(path: &Path, file: &File, entry: &mut impl FnMut(Kept<'static>)) -> Result<u64, LogError> {
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut bytes) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line);
        let length = length.map_err(|source| LogError::System { path: path.to_owned(), source })?;
        number += 1;
        let wrong = |problem: String| LogError::Unreadable { path: path.to_owned(), line: number, problem };
        if number == 1 && !FIRST_LINE.as_bytes().starts_with(&line) {
            return Err(wrong("not a file of state".to_owned()));
        }
        if !line.ends_with(b"\n") {
            return Ok(bytes);
        }
        if number > 1 {
            let kept: Kept<'_> = serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?;
            entry(kept);
        }
        bytes += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use nuncius_testkit::TempDir;

    use super::*;
    use crate::oco::machine::Machine;

    fn kept(key: &str, cycles: u64) -> Kept<'static> {
        Kept { key: Cow::Owned(key.to_owned()), machine: Machine { cycles, ..Machine::new() }, last: None }
    }

    fn entries(path: &Path) -> Vec<(String, u64)> {
        let mut entries = Vec::new();
        drop(Log::open(path, |kept| entries.push((kept.key.into_owned(), kept.machine.cycles))).unwrap());
        entries
    }

    #[test]
    fn what_was_appended_is_there_and_a_line_that_was_cut_off_is_not() {
        let dir = TempDir::new("oco-log").unwrap();
        let path = dir.path().join("state");
        let log = Log::open(&path, |_| panic!("empty")).unwrap();
        log.append(&kept("a", 1)).unwrap();
        log.append(&kept("a", 2)).unwrap();
        drop(log);
        let text = std::fs::read(&path).unwrap();
        let two = [("a".to_owned(), 1), ("a".to_owned(), 2)];
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let read = entries(&path);
            assert!(two.starts_with(&read), "{cut}: {read:?}");
            assert!(read.len() < 2);
            // What is appended then is readable.
            Log::open(&path, |_| {}).unwrap().append(&kept("b", 3)).unwrap();
            assert_eq!(entries(&path).last(), Some(&("b".to_owned(), 3)));
        }
    }

    #[test]
    fn writing_anew_leaves_only_what_was_given_and_appends_go_on() {
        let dir = TempDir::new("oco-log").unwrap();
        let path = dir.path().join("state");
        let log = Log::open(&path, |_| {}).unwrap();
        for cycles in 0..9 {
            log.append(&kept("a", cycles)).unwrap();
        }
        log.rewrite([kept("a", 9)].into_iter()).unwrap();
        log.append(&kept("b", 1)).unwrap();
        assert!(matches!(Log::open(&path, |_| {}), Err(LogError::InUse { .. })));
        drop(log);
        assert_eq!(entries(&path), [("a".to_owned(), 9), ("b".to_owned(), 1)]);
    }

    #[test]
    fn an_entry_that_cannot_be_appended_has_the_file_written_anew() {
        let dir = TempDir::new("oco-log").unwrap();
        let path = dir.path().join("state");
        let log = Log::open(&path, |_| {}).unwrap();
        let read_only = |path: &Path| File::open(path).unwrap();
        log.append(&kept("a", 1)).unwrap();
        assert!(!log.is_long());
        log.break_for_tests(read_only(&path));
        assert!(log.append(&kept("a", 2)).is_err() && log.is_long());
        log.rewrite([kept("a", 1)].into_iter()).unwrap();
        log.append(&kept("a", 2)).unwrap();
        assert!(!log.is_long());
        drop(log);
        assert_eq!(entries(&path), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_left_alone() {
        let error = Log::open(Path::new("/dev/null"), |_| {}).unwrap_err().to_string();
        assert!(error.contains("/dev/null: not a regular file"), "{error}");
        assert!(!Path::new("/dev/null.lock").exists());
    }

    #[test]
    fn a_file_of_something_else_is_left_as_it_is() {
        let dir = TempDir::new("oco-log").unwrap();
        let path = dir.path().join("state");
        for (text, line) in [("hello\n", "line 1"), ("hello", "line 1"), (&format!("{FIRST_LINE}x\n"), "line 2")] {
            std::fs::write(&path, text).unwrap();
            let error = Log::open(&path, |_| {}).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
