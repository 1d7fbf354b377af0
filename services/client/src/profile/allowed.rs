//! Which programs experiments may have run on this node.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An entry of the allow-list that means no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` is neither the name of a program nor a path from the root")]
pub struct AllowedError {
    /// The entry.
    entry: String,
}

/// The programs that experiments may have run on this node; none unless the operator says so. An allowed program gets
/// whatever arguments an experiment gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedPrograms(Vec<String>);

impl AllowedPrograms {
    /// The list that flags mean: names, which are looked up in the node's PATH, and paths from the root.
    ///
    /// # Errors
    /// An entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, AllowedError> {
        let is_program = |entry: &&String| !entry.is_empty() && (entry.starts_with('/') || !entry.contains('/'));
        match entries.iter().find(|entry| !is_program(entry)) {
            Some(entry) => Err(AllowedError { entry: entry.chars().take(80).collect() }),
            None => Ok(Self(entries.to_vec())),
        }
    }

    /// The entry that a command's program means: the same, or the path of a program that is called so.
    pub(super) fn entry_of(&self, program: &str) -> Option<&str> {
        let is_called_so = |entry: &&String| Path::new(entry).file_name() == Some(OsStr::new(program));
        let same = self.0.iter().find(|entry| *entry == program);
        same.or_else(|| self.0.iter().find(is_called_so)).map(String::as_str)
    }

    /// All of them, for people.
    pub(super) fn told(&self) -> String {
        if self.0.is_empty() { "none".to_owned() } else { self.0.join(", ") }
    }
}

/// Where a program is: at its path, or in one of the directories of `path`.
pub(super) fn locate(entry: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program =
        |file: &PathBuf| file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if entry.starts_with('/') {
        return Some(PathBuf::from(entry)).filter(is_program);
    }
    std::env::split_paths(path?).filter(|directory| directory.is_absolute()).map(|d| d.join(entry)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedPrograms {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowedPrograms::parse(&entries).unwrap()
    }

    #[test]
    fn a_program_is_allowed_by_its_name_or_its_path_and_by_no_other_path_of_that_name() {
        let programs = allowed(&["py-spy", "/opt/bin/perf"]);
        assert_eq!(programs.entry_of("py-spy"), Some("py-spy"));
        assert_eq!(programs.entry_of("perf"), Some("/opt/bin/perf"));
        assert_eq!(programs.entry_of("/opt/bin/perf"), Some("/opt/bin/perf"));
        for other in ["/tmp/py-spy", "/tmp/perf", "sh", "", "opt/bin/perf"] {
            assert_eq!(programs.entry_of(other), None, "{other}");
        }
        assert_eq!(AllowedPrograms::default().entry_of("py-spy"), None);
    }

    #[test]
    fn an_entry_that_depends_on_a_directory_is_refused() {
        for entry in ["bin/perf", "./perf", ""] {
            assert!(AllowedPrograms::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }

    #[test]
    fn a_program_is_looked_for_in_absolute_directories_only() {
        assert!(locate("sh", Some(OsStr::new("/nowhere:/bin"))).is_some());
        assert_eq!(locate("sh", Some(OsStr::new("bin:."))), None);
        assert_eq!(locate(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), None), None);
        assert_eq!(locate("no-such-program", Some(OsStr::new("/bin"))), None);
        assert_eq!(locate("sh", None), None);
    }
}
