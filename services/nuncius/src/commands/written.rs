//! An experiment as somebody wrote it: read and checked where the person types, before anything is stored anywhere.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use nuncius_schemas::codec::{CodecError, MESSAGE_MAX_BYTES};
use nuncius_schemas::submission::{self, Submission};

use super::certificates;
use crate::exit::Usage;

/// The name that stands for standard input where a file is named.
const STANDARD_INPUT: &str = "-";

/// Whether a file that was named is standard input.
pub(super) fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == STANDARD_INPUT
}

/// Reads a file or standard input; errors call it `shown`.
pub(super) fn read(file: &Path, shown: &str) -> Result<Submission> {
    let mut bytes = Vec::new();
    if is_standard_input(file) {
        std::io::stdin().lock().take(4 * MESSAGE_MAX_BYTES as u64).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(file).map_err(|error| Usage(format!("{shown}: {error}")))?;
        file.take(4 * MESSAGE_MAX_BYTES as u64).read_to_end(&mut bytes).with_context(|| shown.to_owned())?;
    }
    let wrong = |error: CodecError| Usage(format!("{shown}: {error}"));
    let tree = submission::read_tree(&bytes).map_err(wrong)?;
    let mut submission = submission::parse(&tree).map_err(wrong)?;
    let directory = file.parent().filter(|_| !is_standard_input(file)).unwrap_or(Path::new(""));
    certificates::read_files(&mut submission, directory)?;
    submission.check_at(&tree).map_err(wrong)?;
    Ok(submission)
}
