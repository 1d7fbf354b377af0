//! The files that a pattern finds, one for each slot.

use std::path::PathBuf;

use tracing::warn;

use super::WorkloadError;
use crate::shown;

/// Most files that a pattern may match.
pub const GLOB_MATCHES_MAX: usize = 4096;

/// Files that match, by absolute path, sorted by the bytes of their paths; at least one.
pub(super) fn find(pattern: &str) -> Result<Vec<PathBuf>, WorkloadError> {
    let name = || shown(pattern);
    let matches = glob::glob(pattern).map_err(|error| WorkloadError::Pattern {
        pattern: name(),
        reason: format!("{} at {}", error.msg, error.pos),
    })?;
    let mut files = Vec::new();
    for entry in matches {
        match entry {
            Ok(_) if files.len() == GLOB_MATCHES_MAX => return Err(WorkloadError::TooManyMatches { pattern: name() }),
            // Programs may run in another directory, so that a relative path would lead them astray.
            Ok(path) => files.push(
                std::path::absolute(path)
                    .map_err(|error| WorkloadError::Relative { pattern: name(), reason: error.to_string() })?,
            ),
            Err(error) => warn!(pattern, %error, "not looked into"),
        }
    }
    if files.is_empty() {
        return Err(WorkloadError::NoMatch { pattern: name() });
    }
    files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(files)
}
