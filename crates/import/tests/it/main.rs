//! Files of Artillery, from their bytes to the specification and to what a run of it is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must end"
)]

mod support;
