//! Who asks.

use super::scope::Scope;

/// Who asks, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name of the token; none where no token is asked for.
    pub(crate) name: Option<String>,
    /// What may be done.
    pub(crate) scope: Scope,
}
