//! How the files that a test file names are asked for: by a function of the caller, who alone touches a disk.

/// What a path is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The directory that the command was given in: what options name.
    WorkingDirectory,
    /// The directory of the test file: what the file itself names.
    TestFile,
    /// The directory of the file that the option for a configuration names.
    Configuration,
}

/// A file that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// As it is written.
    pub path: &'a str,
    /// What that is relative to.
    pub base: Base,
}

/// Gives the contents of a file, or what is wrong with it, in words that follow its path. Whether a path may lead out
/// of a directory is for this function to decide.
pub type Reader<'r> = dyn FnMut(Wanted<'_>) -> Result<Vec<u8>, String> + 'r;
