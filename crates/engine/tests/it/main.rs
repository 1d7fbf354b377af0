//! What the HTTP engines promise, against servers of this process.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on must end")]

mod conformance;
mod support;
mod tls;
