//! The whole, driven as a user drives it: real processes of the binary over a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must end"
)]

mod abandoned;
mod amqp;
mod artillery;
mod away;
mod bad_input;
mod bundles;
mod campaign;
mod cluster;
mod command_line;
mod completeness;
mod doctor;
mod emulators;
mod examples;
mod faults;
mod frozen;
mod harness;
mod honesty;
mod isolation;
mod layers;
mod leaf;
mod long_series;
mod metrics;
mod observe;
mod observe_harness;
mod observe_panels;
mod once;
mod orders;
mod orders_harness;
mod outage;
mod queue_bad_input;
mod queue_faults;
mod queue_harness;
mod queue_load;
mod queue_services;
mod queue_told;
mod queues;
mod remote;
mod roles;
mod routes;
mod scaling;
mod scenarios;
mod seconds;
mod slow_bus;
mod span_tree;
mod store_faults;
mod succession;
mod takeover;
mod telemetry;
mod terminal;
mod tracing;
mod tracks;
mod unreadable;
mod validate;
mod verdict;
mod waiting;
mod way_out;
mod way_out_faults;
mod way_out_harness;
mod wire;
