//! What a script may use. Each limit has a default here and is named in the error of what exceeds it.

/// Bytes of heap of one runtime, which all calls of a thread share.
pub const HEAP_BYTES: usize = 16 << 20;
/// Bytes of native stack of one call.
pub const STACK_BYTES: usize = 256 << 10;
/// Processor time of one call in nanoseconds. Waiting for an answer does not count.
pub const CALL_NS: u64 = 50_000_000;
/// Processor time of loading a script, in nanoseconds: its top level runs once per thread.
pub const LOAD_NS: u64 = 1_000_000_000;
/// Bytes of a script's source. What a bundler makes of a few libraries fits.
pub const SOURCE_BYTES: usize = 1 << 20;
/// Bytes of one variable or returned value, as JSON.
pub const VALUE_BYTES: usize = 1 << 20;
/// How deep lists and maps of one value may be nested.
pub const VALUE_DEPTH: usize = 32;
/// Variables of one user.
pub const VARIABLES: usize = 1_000;
/// Bytes that one call may write to variables, all of them together.
pub const WRITTEN_BYTES: usize = 4 << 20;
/// Bytes of the body of one request that a script makes or changes.
pub const BODY_BYTES: usize = 1 << 20;
/// Bytes of the URL of one request that a script makes or changes.
pub const URL_BYTES: usize = 8_192;
/// Headers of one request that a script makes or changes.
pub const HEADERS: usize = 100;
/// Numbers that one call may give to counters and histograms.
pub const METERS: usize = 256;
/// Lines that one call may log; more are counted and dropped.
pub const LINES: usize = 64;
/// Bytes of one logged line; the rest is cut.
pub const LINE_BYTES: usize = 1_024;
/// Requests and timers that one call may wait for at once.
pub const ASKS_AT_ONCE: usize = 64;
/// Requests and timers of one call, all of them together.
pub const ASKS: usize = 1_000;
/// Bytes of responses to a call's own requests that are kept for it; over that, the oldest cannot be read any more.
pub const ANSWER_BYTES: usize = 16 << 20;

/// What scripts of one runtime may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See [`HEAP_BYTES`].
    pub heap_bytes: usize,
    /// See [`STACK_BYTES`].
    pub stack_bytes: usize,
    /// See [`CALL_NS`].
    pub call_ns: u64,
    /// See [`LOAD_NS`].
    pub load_ns: u64,
    /// See [`SOURCE_BYTES`].
    pub source_bytes: usize,
    /// See [`VALUE_BYTES`].
    pub value_bytes: usize,
    /// See [`VALUE_DEPTH`].
    pub value_depth: usize,
    /// See [`VARIABLES`].
    pub variables: usize,
    /// See [`WRITTEN_BYTES`].
    pub written_bytes: usize,
    /// See [`BODY_BYTES`].
    pub body_bytes: usize,
    /// See [`URL_BYTES`].
    pub url_bytes: usize,
    /// See [`HEADERS`].
    pub headers: usize,
    /// See [`METERS`].
    pub meters: usize,
    /// See [`LINES`].
    pub lines: usize,
    /// See [`LINE_BYTES`].
    pub line_bytes: usize,
    /// See [`ASKS_AT_ONCE`].
    pub asks_at_once: usize,
    /// See [`ASKS`].
    pub asks: usize,
    /// See [`ANSWER_BYTES`].
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heap_bytes: HEAP_BYTES,
            stack_bytes: STACK_BYTES,
            call_ns: CALL_NS,
            load_ns: LOAD_NS,
            source_bytes: SOURCE_BYTES,
            value_bytes: VALUE_BYTES,
            value_depth: VALUE_DEPTH,
            variables: VARIABLES,
            written_bytes: WRITTEN_BYTES,
            body_bytes: BODY_BYTES,
            url_bytes: URL_BYTES,
            headers: HEADERS,
            meters: METERS,
            lines: LINES,
            line_bytes: LINE_BYTES,
            asks_at_once: ASKS_AT_ONCE,
            asks: ASKS,
            answer_bytes: ANSWER_BYTES,
        }
    }
}
