//! What lines are bounded by.

/// Longest line, in bytes.
pub const LINE_MAX_BYTES: usize = 65_536;
/// Deepest nesting of brackets, and longest chain of calls and attributes.
pub const DEPTH_MAX: usize = 32;
