//! What the engines promise: HTTP against servers of this process, AMQP against a real RabbitMQ.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on must end")]

mod amqp;
mod caps;
mod conformance;
mod limits;
mod servo;
mod support;
mod targets;
mod tls;
mod tracing;
mod waiting;
