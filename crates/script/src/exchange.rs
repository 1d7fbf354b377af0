//! Requests and responses as scripts see them: plain values, whoever sends them.

use bytes::Bytes;

/// The request that a hook before it may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestView {
    /// `GET` and the like.
    pub method: String,
    /// Path or whole URL.
    pub url: String,
    /// In the order in which they are sent; a name may come more than once.
    pub headers: Vec<(String, String)>,
    /// What is sent. A script sees it as text; what it does not change stays as it is, byte for byte.
    pub body: Option<Bytes>,
    /// The step that a request of the script itself counts at; that which called the function where none is named.
    pub step: Option<String>,
}

/// A response that a script may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseView {
    /// 200 and the like.
    pub status: u16,
    /// In the order in which they came; a name may come more than once.
    pub headers: Vec<(String, String)>,
    /// Decoded, as far as it was kept.
    pub body: Bytes,
    /// Where it came from, after redirects; empty if that is of no interest.
    pub url: String,
}

/// What a call waits for, to be given to [`Runtime::resume`](crate::Runtime::resume).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Names it in the answer.
    pub id: AskId,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Names an [`Ask`] of one runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskId(pub(crate) u64);

/// What a call can wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `fetch(url, options)`.
    Fetch(RequestView),
    /// `setTimeout(function, milliseconds)`.
    Timer {
        /// After how long it is to be answered.
        after_ns: u64,
    },
}

/// What became of an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The request was answered, with whatever status.
    Response(ResponseView),
    /// The request was not answered: refused, not allowed, timed out. The script sees a `TypeError` with this text.
    Failed(String),
    /// The time is over.
    Elapsed,
}
