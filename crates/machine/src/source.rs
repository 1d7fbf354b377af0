//! How the kernel's files are read: quickly, within bounds, and without minding that they vanish meanwhile.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::config::Roots;
use crate::problems::Problems;

/// Most that is read of a file, in bytes; of those that may be longer another function reads in pieces.
const FILE_MAX_BYTES: usize = 1 << 20;
/// Most names of a directory that are looked at.
pub(crate) const NAMES_MAX: usize = 8_192;

/// Which of the kernel's trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    Proc,
    Sys,
}

/// The kernel's files, and what was wrong with them.
#[derive(Debug)]
pub(crate) struct Source {
    roots: Roots,
    buffer: Vec<u8>,
    problems: Problems,
}

impl Source {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, buffer: Vec::with_capacity(16 * 1024), problems: Problems::default() }
    }

    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    pub(crate) fn problems(&mut self) -> &mut Problems {
        &mut self.problems
    }

    /// Path of a file.
    pub(crate) fn path(&self, tree: Tree, file: &str) -> PathBuf {
        match tree {
            Tree::Proc => self.roots.proc.join(file),
            Tree::Sys => self.roots.sys.join(file),
        }
    }

    /// What a file says, understood; none where it is not there, vanished, or makes no sense, which is told once for
    /// all files of this name.
    pub(crate) fn parse<T>(
        &mut self,
        tree: Tree,
        file: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let path = self.path(tree, file);
        self.parse_at(&path, parse)
    }

    /// The same by its whole path.
    pub(crate) fn parse_at<T>(&mut self, path: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Self { buffer, problems, .. } = self;
        let problem = match read(path, buffer) {
            Ok(false) => return None,
            Ok(true) => match std::str::from_utf8(buffer) {
                Ok(text) => match parse(text) {
                    Ok(value) => return Some(value),
                    Err(problem) => problem,
                },
                Err(_) => "is no text".to_owned(),
            },
            Err(problem) => problem,
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        problems.tell(&format!("file {name}"), || format!("{}: {problem}", path.display()));
        None
    }

    /// The first number of a file.
    pub(crate) fn number(&mut self, tree: Tree, file: &str) -> Option<u64> {
        let path = self.path(tree, file);
        self.number_at(&path)
    }

    /// The same by its whole path.
    pub(crate) fn number_at(&mut self, path: &Path) -> Option<u64> {
        self.parse_at(path, number)
    }

    /// A number that may be negative.
    pub(crate) fn signed_at(&mut self, path: &Path) -> Option<i64> {
        self.parse_at(path, |text| first_word(text).parse().map_err(|_| no_number(text)))
    }

    /// The line of a file, without the space around it.
    pub(crate) fn line_at(&mut self, path: &Path) -> Option<String> {
        self.parse_at(path, |text| {
            let printable = |c: char| if c.is_control() { ' ' } else { c };
            Ok(text
                .lines()
                .next()
                .unwrap_or("")
                .trim_matches(['\0', ' ', '\t'])
                .chars()
                .take(128)
                .map(printable)
                .collect())
        })
    }

    /// Names in a directory, in order; none where it is not there. At most [`NAMES_MAX`] are looked at.
    pub(crate) fn names(&self, tree: Tree, directory: &str) -> Vec<String> {
        names_at(&self.path(tree, directory))
    }
}

/// Names in a directory, in order of their lengths and letters, so that 2 comes before 10.
pub(crate) fn names_at(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(NAMES_MAX);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    names
}

/// The first number of a text.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    first_word(text).parse().map_err(|_| no_number(text))
}

fn first_word(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or("")
}

fn no_number(text: &str) -> String {
    format!("`{}` is no number", text.trim().chars().take(40).collect::<String>())
}

/// Reads a file; `false` where there is none, or it vanished meanwhile.
fn read(path: &Path, buffer: &mut Vec<u8>) -> Result<bool, String> {
    buffer.clear();
    let outcome = File::open(path).and_then(|file| file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(buffer));
    match outcome {
        Ok(length) if length > FILE_MAX_BYTES => Err(format!("longer than {FILE_MAX_BYTES} bytes, the limit")),
        Ok(_) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a file or what it is of is not there, or not any more, or has nothing to say at present.
pub(crate) fn is_gone(error: &std::io::Error) -> bool {
    let gone = [Errno::NODEV, Errno::SRCH, Errno::NXIO, Errno::OPNOTSUPP, Errno::NODATA, Errno::INVAL, Errno::AGAIN];
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || Errno::from_io_error(error).is_some_and(|errno| gone.contains(&errno))
}

#[cfg(test)]
mod tests {
    use nuncius_testkit::TempDir;

    use super::*;

    #[test]
    fn what_is_not_there_is_silent_and_what_makes_no_sense_is_told_once() {
        let root = TempDir::new("source").unwrap();
        std::fs::create_dir_all(root.path().join("proc/a")).unwrap();
        std::fs::write(root.path().join("proc/good"), "17 x\n").unwrap();
        std::fs::write(root.path().join("proc/bad"), "seventeen\n").unwrap();
        std::fs::write(root.path().join("proc/a/bad"), "seventeen\n").unwrap();
        std::fs::write(root.path().join("proc/binary"), [0xff, 0xfe]).unwrap();
        std::fs::write(root.path().join("proc/long"), "1".repeat(FILE_MAX_BYTES + 1)).unwrap();
        let mut source = Source::new(Roots::below(root.path()));
        assert_eq!(source.number(Tree::Proc, "good"), Some(17));
        for file in ["absent", "absent/below", "good/below", "bad", "a/bad", "bad", "binary", "long"] {
            assert_eq!(source.number(Tree::Proc, file), None, "{file}");
        }
        let told = source.problems().take_fresh();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].ends_with("proc/bad: `seventeen` is no number"), "{told:?}");
        assert!(told[2].contains("the limit"), "{told:?}");
    }
}
