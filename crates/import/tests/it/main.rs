//! Files of Artillery, imported as a command does it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod hostile;
mod runs;
mod scripts;
mod support;
