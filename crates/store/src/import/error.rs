//! What can be wrong with an export that is to be imported.

use std::path::PathBuf;

use nuncius_schemas::names::NameError;

use crate::error::StoreError;

/// Why a run was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory is no export of this form.
    #[error(
        "`{}` has no export.json: it is no directory that `nuncius export ID --parquet DIRECTORY` has written to its \
         end; earlier versions wrote none, export the run once more", directory.display()
    )]
    NoExport {
        /// The directory.
        directory: PathBuf,
    },
    /// A file cannot be read at all.
    #[error("`{}` cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A later version wrote it.
    #[error(
        "`{}` has the format `{found}`, this program reads up to `{newest}`: use a newer nuncius", path.display()
    )]
    Newer {
        /// The list of the files.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The last one that is known.
        newest: String,
    },
    /// A document makes no sense.
    #[error("`{}` is not what an export has: {problem}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is not there.
    #[error("`{}` is missing: copy the whole directory, or export the run once more", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is shorter or longer than it was.
    #[error(
        "`{}` has {found} bytes, the export wrote {written}: copy the whole directory, or export the run once more",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: u64,
        /// How long it was.
        written: u64,
    },
    /// A file is not as it was.
    #[error(
        "`{}` is not as the export wrote it, its SHA-256 is another: copy it again, or export the run once more",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file is of another run.
    #[error("`{}` is of experiment `{found}`, the directory is of `{wanted}`", path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A row makes no sense.
    #[error("`{}`, row {row}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Which row, from 1 on.
        row: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Its id is none.
    #[error("{0}; --as gives it another")]
    Id(#[from] NameError),
    /// It was exported too early.
    #[error("experiment `{id}` had not ended when it was exported, it was {status}: export it once it has ended")]
    NotEnded {
        /// The experiment.
        id: String,
        /// Where it was.
        status: &'static str,
    },
    /// There is one of this id.
    #[error(
        "experiment `{id}` is in store `{store}` already: --replace puts this one in its place, --as ID gives it \
         another id"
    )]
    There {
        /// The store.
        store: String,
        /// The id.
        id: String,
    },
    /// There is one of this id that goes on.
    #[error(
        "experiment `{id}` in store `{store}` has not ended and is not replaced; --as ID gives this one another id"
    )]
    Running {
        /// The store.
        store: String,
        /// The id.
        id: String,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// Whether it is what was to be imported that is wrong: the store has no part in it.
    pub const fn is_of_the_export(&self) -> bool {
        match self {
            Self::NoExport { .. }
            | Self::Unreadable { .. }
            | Self::Newer { .. }
            | Self::Document { .. }
            | Self::Missing { .. }
            | Self::Length { .. }
            | Self::Changed { .. }
            | Self::OfAnother { .. }
            | Self::Row { .. }
            | Self::Id(_)
            | Self::NotEnded { .. } => true,
            Self::There { .. } | Self::Running { .. } | Self::Store(_) => false,
        }
    }
}
