//! Connections to AMQP 0-9-1 brokers by lapin, with an end that can be relied on, and with our own TLS: for the engine
//! that loads brokers and for the bridge that serves them.
//!
//! It must never retry, log, or tell a word that the broker said: what a lost connection means is its user's business,
//! and a broker's text may hold anything.
//!
//! Layout: [`link`] is a connection, `runtime` what it is driven by, [`words`] what its errors mean.

pub mod link;
mod runtime;
pub mod words;

pub use link::{Link, OpenError, Socket, open};
pub use runtime::{Stream, connect};
pub use words::{describe, reply};
