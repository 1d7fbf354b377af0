//! What a directory of an export says that it has, in a file of its own: the format, the experiment, and each file with
//! its length and its SHA-256. It is written last: where it is, the rest is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nuncius_schemas::run::{RunStatus, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// The file's name.
pub(crate) const CONTENTS: &str = "export.json";
/// Before the number of a format.
pub(crate) const FORMAT: &str = "nuncius-export.v";
/// The number of the format that this program writes, and the highest that it reads.
pub(crate) const FORMAT_NUMBER: u32 = 1;
/// Bytes of a file that are hashed at a time.
const BLOCK_BYTES: usize = 64 << 10;

/// What is known of an experiment, beside its report; each file of Parquet has it, too, under the key `nuncius`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) stream_sequence: u64,
    pub(crate) name: String,
    pub(crate) creator: Option<String>,
    pub(crate) status: RunStatus,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<String>,
    pub(crate) submitted_unix_ms: u64,
    pub(crate) started_unix_ms: Option<u64>,
    pub(crate) ended_unix_ms: Option<u64>,
    pub(crate) trace_id: Option<String>,
    /// As it is stored.
    pub(crate) spec: Option<Box<RawValue>>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
}

/// The whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) format: String,
    pub(crate) experiment: About,
    pub(crate) files: Vec<Listed>,
}

/// The name of a format.
pub(crate) fn format_name(number: u32) -> String {
    format!("{FORMAT}{number}")
}

/// A file as it is at this moment.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn listed(path: &Path, name: &str) -> std::io::Result<Listed> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut size_bytes = 0;
    loop {
        let read = file.read(&mut block)?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        size_bytes += read as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Listed { name: name.to_owned(), size_bytes, sha256 })
}
