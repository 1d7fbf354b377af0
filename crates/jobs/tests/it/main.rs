//! The job protocol against a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must end"
)]

mod books;
mod clock;
mod refusals;
mod repeats;
mod strangers;
mod support;
mod work;
