//! A script that was checked once and can be loaded on any thread.

use std::rc::Rc;
use std::sync::Arc;

use crate::error::ScriptError;
use crate::host::Host;
use crate::limits::Limits;
use crate::machine::{Machine, SYNTAX_ERROR};
use crate::source::{Form, Source};

/// Longest name of a script, in bytes.
const FILE_BYTES: usize = 255;

/// A checked script. It is made once per node and loaded by the [`Runtime`](crate::Runtime) of each thread.
///
/// It holds the source, not bytecode: the interpreter trusts bytecode blindly, so that loading it is not safe, and
/// compiling a script takes less time than making an interpreter.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(crate) source: Arc<Source>,
    exports: Arc<Exports>,
    limits: Limits,
}

/// The functions that a script exports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exports {
    names: Vec<String>,
}

/// A function of a script, resolved once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FunctionId(pub(crate) usize);

impl Exports {
    /// The function of a name; `default` is that of `export default` and of `module.exports = function …`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<FunctionId> {
        self.names.iter().position(|other| other == name).map(FunctionId)
    }

    /// In the order of the script, or of the alphabet for a module.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn name(&self, function: FunctionId) -> Option<&str> {
        self.names.get(function.0).map(String::as_str)
    }
}

impl Compiled {
    /// Checks a script: compiles it, runs its top level, and sees what it exports. `file` is its name in errors.
    ///
    /// # Errors
    /// It is no JavaScript, throws at its top level, imports something, exports no function, or exceeds a limit.
    pub fn new(file: &str, source: &str, limits: Limits) -> Result<Self, ScriptError> {
        let wrong = |why: String| ScriptError::Source { file: file.escape_debug().to_string(), why };
        if file.is_empty() || file.len() > FILE_BYTES || file.chars().any(|one| one.is_control() || one == ':') {
            return Err(wrong(format!("the name of a script is 1 to {FILE_BYTES} bytes without colons")));
        }
        if source.len() > limits.source_bytes {
            let most = limits.source_bytes;
            return Err(wrong(format!("is {} bytes long, more than {most} (limit source_bytes)", source.len())));
        }
        if source.contains('\0') {
            return Err(wrong("has a NUL character in it, which JavaScript has not".to_owned()));
        }
        let attempt = |form: Form| -> Result<Self, ScriptError> {
            let source = Source { file: file.to_owned(), text: source.to_owned(), form };
            let machine = Machine::new(&source, Rc::new(Host::new(file, limits)))?;
            let exports = Exports { names: machine.exports.clone() };
            Ok(Self { source: Arc::new(source), exports: Arc::new(exports), limits })
        };
        let likely = Form::likely(source);
        attempt(likely).or_else(|error| {
            let is_syntax = match &error {
                ScriptError::Code { message, .. } => message.starts_with(SYNTAX_ERROR),
                ScriptError::Import { .. }
                | ScriptError::NoFunction { .. }
                | ScriptError::Source { .. }
                | ScriptError::Limit { .. }
                | ScriptError::Waits { .. }
                | ScriptError::Interpreter { .. } => false,
            };
            // What is no JavaScript in one form may be in the other; if in neither, the likelier one knows better why.
            if is_syntax { attempt(likely.other()).map_err(|_| error) } else { Err(error) }
        })
    }

    /// The functions that it exports.
    #[must_use]
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

/// Checks a script with the default limits: what it exports, or what is wrong with it.
///
/// # Errors
/// As [`Compiled::new`].
pub fn check(file: &str, source: &str) -> Result<Exports, ScriptError> {
    Compiled::new(file, source, Limits::default()).map(|compiled| compiled.exports().clone())
}
