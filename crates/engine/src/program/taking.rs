//! What is taken from what a step receives, and asked of it.

use nuncius_scenario::capture::Capture;
use nuncius_scenario::check::Check;

/// What is taken from something that was received, and what is asked of it.
#[derive(Debug, Default)]
pub(crate) struct Taking {
    /// Each into the variable of a slot.
    pub(crate) captures: Box<[(u16, Box<str>, Capture)]>,
    pub(crate) checks: Box<[CheckPlan]>,
    /// The iteration ends where one of them fails.
    pub(crate) fails_with_check: bool,
}

impl Taking {
    /// Whether there is nothing of it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.captures.is_empty() && self.checks.is_empty()
    }
}

/// A check, and what reports call it.
#[derive(Debug)]
pub(crate) struct CheckPlan {
    pub(crate) label: Box<str>,
    pub(crate) check: Check,
}
