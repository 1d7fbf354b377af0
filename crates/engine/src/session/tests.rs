//! What a session costs while it does nothing.

use super::*;

/// Largest that a session may be while it waits, in bytes; its variables and its program's are beside it.
const SESSION_MAX_BYTES: usize = 12 * 1024;

fn size_of_future<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_session_that_waits_takes_a_few_kibibytes() {
    let bytes = size_of_future(iterate);
    assert!(bytes <= SESSION_MAX_BYTES, "{bytes}");
}
