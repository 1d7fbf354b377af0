//! Arguments: FILENAME replaced, seconds read.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// What stands for the path of a slot's file.
pub const FILENAME: &str = "FILENAME";
/// Longest sleep, in seconds: a year.
pub const SLEEP_MAX_SECONDS: f64 = 365.0 * 86_400.0;

/// Whether a text needs a file.
pub(super) fn has_filename(text: &str) -> bool {
    text.contains(FILENAME)
}

/// The text with every FILENAME replaced by the path of the file; `None` when there is one and no file.
pub(super) fn substitute(text: &str, file: Option<&Path>) -> Option<OsString> {
    let mut parts = text.split(FILENAME);
    let mut whole = OsString::from(parts.next().unwrap_or(""));
    for part in parts {
        whole.push(file?);
        whole.push(part);
    }
    Some(whole)
}

/// Seconds as a workload takes them: a decimal number, not negative, at most [`SLEEP_MAX_SECONDS`]; else what is wrong.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.trim().parse().map_err(|_| "is not a number".to_owned())?;
    if !number.is_finite() {
        return Err("is not a finite number".to_owned());
    }
    if number < 0.0 {
        return Err("is negative".to_owned());
    }
    if number > SLEEP_MAX_SECONDS {
        return Err(format!("is above the limit of {SLEEP_MAX_SECONDS} seconds, a year"));
    }
    Duration::try_from_secs_f64(number).map_err(|error| format!("is no duration: {error}"))
}
