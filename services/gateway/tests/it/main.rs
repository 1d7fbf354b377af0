//! A gateway over a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must end"
)]

mod access;
mod galileo;
mod heap;
mod http;
mod live;
mod metrics;
mod prometheus;
mod rest;
mod scene;
