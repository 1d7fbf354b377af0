//! What a template sees when it is filled in.

use serde_json::Value;

use crate::error::MADE_MAX_BYTES;
use crate::names::Names;

/// Variables and facts of one moment of one session. Everything is given by the caller: there is no clock here and no
/// environment.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The names of the slots.
    pub names: &'a Names,
    /// Values of the session by slot; a slot beyond the end is empty.
    pub variables: &'a [Option<Value>],
    /// Values that all sessions share, by slot: seen where the session has none.
    pub shared: &'a [Option<Value>],
    /// Number of the iteration in the run.
    pub iteration: u64,
    /// Number of the virtual user.
    pub user: u64,
    /// The instant that `now()` is, in milliseconds since 1970.
    pub now_unix_ms: u64,
    /// A variable of the environment, where the node gives it to experiments.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Most bytes that a template makes.
    pub made_max_bytes: usize,
}

impl<'a> Scope<'a> {
    /// Variables alone: iteration, user and instant 0, no environment, [`MADE_MAX_BYTES`].
    pub fn new(names: &'a Names, variables: &'a [Option<Value>]) -> Self {
        Self {
            names,
            variables,
            shared: &[],
            iteration: 0,
            user: 0,
            now_unix_ms: 0,
            environment: &|_| None,
            made_max_bytes: MADE_MAX_BYTES,
        }
    }

    /// The value of a slot.
    #[inline]
    pub fn variable(&self, slot: u16) -> Option<&'a Value> {
        let own = self.variables.get(usize::from(slot)).and_then(Option::as_ref);
        own.or_else(|| self.shared.get(usize::from(slot)).and_then(Option::as_ref))
    }
}
