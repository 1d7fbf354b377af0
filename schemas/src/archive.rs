//! What is asked of a daemon about experiments that its database has: exported piece by piece, removed.
//!
//! Every daemon hears every request on `<namespace>.experiment.<id>.archive`. The one that has the experiment answers
//! at once; one that does not have it answers a little later that it does not, so that the first answer is the one to
//! go by. What is asked of all experiments, every daemon answers at once, on the subject of
//! [`crate::subjects::Namespace::experiments_archive`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::head::{ExperimentFilter, ExperimentHead, HeadPlace};

/// A request on an experiment's archive subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "archive", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchiveRequest {
    /// Write an export; it is kept for a while after the last request for it.
    Open {
        /// What it shall have.
        format: ArchiveFormat,
    },
    /// Ask for the files of an export.
    List {
        /// As answered to the opening.
        export: u64,
    },
    /// Ask for a piece of a file.
    Read {
        /// As answered to the opening.
        export: u64,
        /// Index of the file.
        file: u32,
        /// Where the piece begins, in bytes.
        offset_bytes: u64,
    },
    /// The export is not needed any more.
    Close {
        /// As answered to the opening.
        export: u64,
    },
    /// Delete everything that is stored of the experiment.
    Remove,
    /// Tell which experiments there are, in the order of [`HeadPlace`]. On the subject of all experiments.
    Find {
        /// Which are meant.
        #[serde(default)]
        filter: Box<ExperimentFilter>,
        /// Only those that come after this place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<HeadPlace>,
        /// Most of them; a daemon may give fewer.
        limit: u32,
    },
}

/// What an export has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveFormat {
    /// Everything as one JSON document.
    Json,
    /// Tables as CSV files.
    Csv,
    /// The report alone, as JSON.
    Report,
    /// What of it is compared with another run, as MessagePack: [`crate::comparison::ComparableRun`].
    Comparable,
    /// Tables as Parquet files.
    Parquet,
    /// The files that Galileo's notebooks read.
    Galileo,
}

/// Answer to a request on an experiment's archive subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ArchiveReply {
    /// It is being written.
    Opened {
        /// What further requests name.
        export: u64,
    },
    /// Not written yet: ask again.
    Writing,
    /// It is written.
    Files {
        /// Its files.
        files: Vec<ArchiveFile>,
    },
    /// A piece of a file.
    Piece {
        /// Empty at the end.
        #[serde(with = "serde_bytes")]
        #[schemars(with = "Vec<u8>")]
        bytes: Vec<u8>,
    },
    /// Done.
    Done,
    /// The experiments that were asked for, in order.
    Found {
        /// What is stored of them.
        experiments: Vec<ExperimentHead>,
        /// Whether there are more after the last one.
        more: bool,
    },
    /// Not done.
    Refused {
        /// What programs go by.
        code: ArchiveRefusal,
        /// Why, for people.
        reason: String,
    },
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveFile {
    /// Name, without a directory.
    pub name: String,
    /// Size, in bytes.
    pub size_bytes: u64,
}

/// Why an archive does not do as it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveRefusal {
    /// This daemon's database does not have the experiment, or has no report of it.
    Unknown,
    /// The experiment has not ended.
    Running,
    /// As many exports as there may be at a time.
    Busy,
    /// There is no such export any more.
    Gone,
    /// The request cannot be read.
    Unreadable,
    /// The database or a file cannot be read or written.
    Failed,
}
