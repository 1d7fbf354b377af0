//! One call of a function: what it is given, what it gives back, and what it waits for in between.

use serde_json::{Map, Value};

use crate::error::CallError;
use crate::exchange::{Ask, RequestView, ResponseView};

/// What a function is given. It owns all of it until it is finished: other calls of the same thread may wake it at
/// any time, for instance through a promise that the script keeps in a variable of its own.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// `context.vars`. A value is converted when the script touches it, not before.
    pub variables: Map<String, Value>,
    /// `context.request`, for a hook before the request.
    pub request: Option<RequestView>,
    /// `context.response`, for a hook after the response.
    pub response: Option<ResponseView>,
    /// `context.iteration`.
    pub iteration: u64,
    /// `context.user`.
    pub user: u64,
    /// `context.now`: Unix milliseconds at the start of the call.
    pub now_unix_ms: u64,
    /// What `Math.random()` draws from: to be derived from (seed, group, iteration, place in the program), so that no
    /// two calls of an iteration draw the same numbers and each draws the same in every run.
    pub seed: u64,
}

/// Names a call that is under way in one runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

/// How a call stands.
#[derive(Debug)]
pub enum CallState {
    /// It is over.
    Done(Box<Finished>),
    /// It waits.
    Waiting(Waiting),
}

/// A call that waits for answers.
#[derive(Debug)]
pub struct Waiting {
    /// The call.
    pub call: CallId,
    /// What it asked for since it was last looked at. Each is to be answered once. None at all: it waits for what it
    /// asked for before, or for what another call brings about.
    pub asks: Vec<Ask>,
}

/// What a call leaves behind, whether it went well or not.
#[derive(Debug)]
pub struct Finished {
    /// The call.
    pub call: CallId,
    /// What the function returned or its promise was settled with; `null` for nothing.
    pub result: Result<Value, CallError>,
    /// As the script left them.
    pub variables: Map<String, Value>,
    /// As the script left it.
    pub request: Option<RequestView>,
    /// As it was given.
    pub response: Option<ResponseView>,
    /// In the order in which the script gave them.
    pub meters: Vec<Meter>,
    /// In the order in which the script logged them.
    pub lines: Vec<Line>,
    /// Lines over the limit.
    pub lines_dropped: u64,
    /// Time on the processor. It is the generator's own, so it is lag.
    pub processor_ns: u64,
}

/// A number that a script measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Meter {
    /// As the script calls it.
    pub name: String,
    /// What is done with the number.
    pub kind: MeterKind,
    /// Finite.
    pub value: f64,
}

/// What is done with the numbers of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterKind {
    /// They are added.
    Counter,
    /// Their distribution is kept.
    Histogram,
}

/// A line that a script logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How grave.
    pub level: Level,
    /// No longer than the limit.
    pub text: String,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `console.log`, `.info`, `.debug`, `context.log`.
    Info,
    /// `console.warn`, and what the runtime itself has to say about a call.
    Warn,
    /// `console.error`.
    Error,
}
