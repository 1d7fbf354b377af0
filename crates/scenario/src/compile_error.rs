//! What can be wrong with a capture or a check before anything is sent, and the limits that are named there.

/// Longest JSONPath, in bytes.
pub const JSON_PATH_MAX_BYTES: usize = 1_024;
/// Deepest nesting of brackets in a JSONPath.
pub const JSON_PATH_NESTING_MAX: usize = 8;
/// Longest regular expression, in bytes.
pub const PATTERN_MAX_BYTES: usize = 4_096;
/// Most memory that a compiled regular expression takes, in bytes.
pub const PATTERN_SIZE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest CSS selector, in bytes.
pub const SELECTOR_MAX_BYTES: usize = 1_024;

/// Why a capture or a check cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A JSONPath that is none.
    #[error("`{path}` is not a JSONPath (RFC 9535): {reason}")]
    JsonPath {
        /// As far as it is shown.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A regular expression that is none, or takes too much memory.
    #[error("`{pattern}` is not a regular expression that can be used: {reason}")]
    Pattern {
        /// As far as it is shown.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A CSS selector that is none.
    #[error("`{selector}` is not a CSS selector that can be used: {reason}")]
    Selector {
        /// As far as it is shown.
        selector: String,
        /// What is wrong.
        reason: String,
    },
    /// No name of a header.
    #[error("`{name}` is not the name of a header: write letters, digits and -, as in Content-Type")]
    Header {
        /// As far as it is shown.
        name: String,
    },
    /// A check without anything to compare with.
    #[error("a check of {subject} takes {takes}")]
    Check {
        /// What it looks at.
        subject: &'static str,
        /// What it can be compared with.
        takes: &'static str,
    },
    /// A comparison that no number can stand.
    #[error("a check compares with a finite number")]
    NoNumber,
}
