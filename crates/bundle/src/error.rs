//! What can be wrong with a bundle, and with the place where it is kept.

use std::path::{Path, PathBuf};

use nuncius_schemas::bundle::{DigestError, FILES_MAX, PathError, UNPACKED_MAX_BYTES, short_digest};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system does not read or write a file.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path that no file of a bundle has.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A name that is not UTF-8.
    #[error("the name `{name}` is not UTF-8")]
    NotUtf8 {
        /// The name, as far as it can be shown.
        name: String,
    },
    /// More files than there may be.
    #[error("more than {limit} files: raise the limit with --bundle-files here and on the nodes, or leave some out")]
    TooManyFiles {
        /// The limit.
        limit: u32,
    },
    /// More bytes than there may be.
    #[error(
        "more than {limit_bytes} bytes in its files: raise the limit with --bundle-size here and on the nodes, or \
         leave some out"
    )]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// A file that is none to be packed.
    #[error("{path} is {kind}: a bundle has regular files alone")]
    Special {
        /// Where it is.
        path: PathBuf,
        /// What it is: "a socket, a pipe or a device".
        kind: &'static str,
    },
    /// A link that leads somewhere else.
    #[error("{path} is a link that leads out of the directory, or nowhere: put the file itself there")]
    LinkLeadsOut {
        /// Where it is.
        path: PathBuf,
    },
    /// Two names of which some systems would make one.
    #[error("`{path}` and `{other}` are the same to systems that do not tell capitals from small letters, or to all")]
    Duplicate {
        /// The second of them.
        path: String,
        /// The first.
        other: String,
    },
    /// A name that is that of a file and that of a directory.
    #[error("`{path}` is a file and a directory at once")]
    FileAndDirectory {
        /// The name.
        path: String,
    },
    /// Something in a bundle that is no regular file.
    #[error("`{path}` is {kind}: a bundle has regular files alone")]
    NoFile {
        /// Its path in the bundle, as far as it can be shown.
        path: String,
        /// What it is: "a symbolic link".
        kind: &'static str,
    },
    /// What came as a zip archive.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// What is no bundle at all.
    #[error("not a bundle, or damaged: {reason}")]
    Unreadable {
        /// What the decoder said.
        reason: String,
    },
    /// What ends too early.
    #[error("damaged: it ends too early")]
    Truncated,
    /// Other bytes than were wanted.
    #[error("damaged: its digest is {}, not {}", short_digest(.found), short_digest(.wanted))]
    WrongDigest {
        /// The digest that names it.
        wanted: String,
        /// That of its bytes.
        found: String,
    },
    /// No specification, or several that could be meant.
    #[error("{0}")]
    Spec(String),
    /// What is larger than the whole cache.
    #[error(
        "{bytes} bytes of files do not fit into this node's cache of bundles, which has {limit_bytes}: --bundle-cache"
    )]
    OverCache {
        /// Its size.
        bytes: u64,
        /// The cache's.
        limit_bytes: u64,
    },
    /// All that the cache has is in use.
    #[error(
        "no room for {bytes} bytes in this node's cache of bundles: {used_bytes} of {limit_bytes} are in use \
         (--bundle-cache)"
    )]
    CacheFull {
        /// What room was wanted for.
        bytes: u64,
        /// What cannot go.
        used_bytes: u64,
        /// The cache's size.
        limit_bytes: u64,
    },
}

/// What is no archive, or has what no application may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// Something else.
    #[error("it is no zip archive")]
    NoArchive,
    /// More files than there may be.
    #[error("it has {count} files, at most {FILES_MAX} are taken")]
    TooManyFiles {
        /// How many it has.
        count: usize,
    },
    /// A name in another encoding.
    #[error("a name in it is not UTF-8")]
    NotUtf8,
    /// A path that no file of a bundle has.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Two files of one path.
    #[error("{path} is in it twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// A file that cannot be read, or may not be.
    #[error("{path} cannot be unpacked: it is damaged, encrypted, or more than {UNPACKED_MAX_BYTES} bytes")]
    Damaged {
        /// Its path.
        path: String,
    },
}

impl BundleError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether it may go well later, or elsewhere: the bundle itself is not to blame.
    pub const fn is_of_the_place(&self) -> bool {
        match self {
            Self::Io { .. } | Self::CacheFull { .. } => true,
            Self::Path(_)
            | Self::Digest(_)
            | Self::NotUtf8 { .. }
            | Self::TooManyFiles { .. }
            | Self::TooLarge { .. }
            | Self::Special { .. }
            | Self::LinkLeadsOut { .. }
            | Self::Duplicate { .. }
            | Self::FileAndDirectory { .. }
            | Self::NoFile { .. }
            | Self::Zip(_)
            | Self::Unreadable { .. }
            | Self::Truncated
            | Self::WrongDigest { .. }
            | Self::Spec(_)
            | Self::OverCache { .. } => false,
        }
    }
}
