//! What scripts can do and what they cannot, on a real interpreter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on must end"
)]

mod exports;
mod fetch;
mod hostile;
mod requests;
mod sandbox;
mod support;
mod values;
mod watchdog;
