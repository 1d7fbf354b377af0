//! What can be wrong with a script, when it is loaded and when it is called, in the words of whoever wrote it.

use std::fmt;

/// Where in a script something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the script as it was given.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1.
    pub column: u32,
    /// Name of the function, where it has one.
    pub function: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.line, self.column)?;
        match &self.function {
            Some(function) => write!(out, " in {function}"),
            None => Ok(()),
        }
    }
}

/// Why a script cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It is no JavaScript, or its top level threw.
    #[error("{place}: {message}")]
    Code {
        /// Where.
        place: Place,
        /// What the interpreter says.
        message: String,
    },
    /// It wants code or data from elsewhere.
    #[error(
        "{file}: `{name}` cannot be imported: a script has no access to files, packages or addresses; put what it \
         needs into the script itself (a bundler does that)"
    )]
    Import {
        /// Name of the script.
        file: String,
        /// What it wanted.
        name: String,
    },
    /// There is nothing to call.
    #[error(
        "{file}: exports no function; write `module.exports = {{ name }}`, `exports.name = …` or `export function \
         name`"
    )]
    NoFunction {
        /// Name of the script.
        file: String,
    },
    /// The source is too long, or is not text that JavaScript can be.
    #[error("{file}: {why}")]
    Source {
        /// Name of the script.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its top level needs more than it may use.
    #[error("{file}: its top level needs more than {what}; do at the top level only what every call needs")]
    Limit {
        /// Name of the script.
        file: String,
        /// The limit, with its name.
        what: String,
    },
    /// Its top level waits for something.
    #[error("{file}: its top level awaits what never comes; await inside of functions only")]
    Waits {
        /// Name of the script.
        file: String,
    },
    /// The interpreter failed where it should not.
    #[error("{file}: the interpreter failed: {why}")]
    Interpreter {
        /// Name of the script.
        file: String,
        /// What it says.
        why: String,
    },
}

impl ScriptError {
    /// Where in the script, where that is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Code { place, .. } => Some(place),
            Self::Import { .. }
            | Self::NoFunction { .. }
            | Self::Source { .. }
            | Self::Limit { .. }
            | Self::Waits { .. }
            | Self::Interpreter { .. } => None,
        }
    }
}

/// Why a call has no value. What it had done until then (variables, meters, lines) stands in its
/// [`Finished`](crate::Finished) all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The script threw, or the promise that it returned was rejected.
    #[error("{}", located(place.as_ref(), message))]
    Thrown {
        /// Name and message of what was thrown.
        message: String,
        /// Where, where that is known.
        place: Option<Place>,
    },
    /// The script called `context.fail(text)`.
    #[error("{}", located(place.as_ref(), text))]
    Failed {
        /// What it said.
        text: String,
        /// Where.
        place: Option<Place>,
    },
    /// A value cannot be kept as JSON, or is too large for it.
    #[error("{what}: {why}")]
    Value {
        /// Which value: a variable, or what was returned.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// It ran too long.
    #[error("{function}: took more than {limit_ms} ms of processor time (limit call_ns)")]
    Time {
        /// The exported function.
        function: String,
        /// The limit.
        limit_ms: u64,
    },
    /// The heap that all calls of the thread share is full. `throw null` looks like this, too: the interpreter does it
    /// when there is no room for an error.
    #[error("{function}: out of memory: the scripts of one thread may use {heap_bytes} bytes (limit heap_bytes)")]
    Memory {
        /// The exported function.
        function: String,
        /// The limit.
        heap_bytes: usize,
    },
    /// It calls itself too deep.
    #[error("{}", located(place.as_ref(), &format!("calls are nested too deep: a call may use {stack_bytes} bytes of \
        stack (limit stack_bytes)")))]
    Stack {
        /// Where.
        place: Option<Place>,
        /// The limit.
        stack_bytes: usize,
    },
    /// The promise that it returned cannot be settled any more: nothing is under way that could.
    #[error("{function}: the promise that it returned never settles: nothing is under way that could settle it")]
    NeverSettles {
        /// The exported function.
        function: String,
    },
    /// Another call broke the runtime that this one waited in.
    #[error("{function}: it waited for an answer while its runtime had to be made anew, since {why}")]
    Lost {
        /// The exported function.
        function: String,
        /// What broke the runtime.
        why: String,
    },
    /// There is no runtime any more.
    #[error("scripts cannot be run on this thread any more: {why}")]
    Unusable {
        /// What happened.
        why: String,
    },
}

fn located(place: Option<&Place>, text: &str) -> String {
    match place {
        Some(place) => format!("{place}: {text}"),
        None => text.to_owned(),
    }
}
