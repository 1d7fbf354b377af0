//! The names in a bundle: no two of them may be one file anywhere.

use std::collections::BTreeMap;

use nuncius_schemas::bundle::check_path;

use crate::BundleError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

/// All names so far, files and the directories that they lie in, without regard to capitals.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, (String, Kind)>);

impl Names {
    /// One more file; the directories that it is the first to lie in, the outermost first.
    ///
    /// # Errors
    /// A path that cannot be one, or that is taken.
    pub(crate) fn add(&mut self, path: &str) -> Result<Vec<String>, BundleError> {
        check_path(path)?;
        let mut new = Vec::new();
        for (at, _) in path.match_indices('/') {
            let directory = path.get(..at).unwrap_or_default();
            if self.claim(directory, Kind::Directory)? {
                new.push(directory.to_owned());
            }
        }
        self.claim(path, Kind::File)?;
        Ok(new)
    }

    /// Whether it is new.
    fn claim(&mut self, path: &str, kind: Kind) -> Result<bool, BundleError> {
        let folded = path.to_lowercase();
        match self.0.get(&folded) {
            None => {
                self.0.insert(folded, (path.to_owned(), kind));
                Ok(true)
            }
            Some((other, Kind::Directory)) if kind == Kind::Directory && other == path => Ok(false),
            Some((other, known)) if *known != kind && other == path => {
                Err(BundleError::FileAndDirectory { path: path.to_owned() })
            }
            Some((other, _)) => Err(BundleError::Duplicate { path: path.to_owned(), other: other.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once_whatever_its_capitals() {
        let mut names = Names::default();
        assert_eq!(names.add("a/b/c").unwrap(), ["a", "a/b"]);
        assert_eq!(names.add("a/b/d").unwrap(), [""; 0]);
        for (taken, words) in [
            ("a/b/c", "same"),
            ("a/b/C", "same"),
            ("A/x", "same"),
            ("a/b", "file and a directory"),
            ("a/b/c/d", "file and a directory"),
            ("../x", "no path"),
        ] {
            let error = names.add(taken).unwrap_err().to_string();
            assert!(error.contains(words), "{taken}: {error}");
        }
        assert!(names.add("a/bc").is_ok());
    }
}
