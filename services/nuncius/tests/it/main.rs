//! The whole, driven as a user drives it: real processes of the binary over a real nats-server.

mod harness;
mod tracing;
mod verdict;
