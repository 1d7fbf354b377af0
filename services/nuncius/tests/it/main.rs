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
mod audit;
mod away;
mod bad_input;
mod bridge;
mod bridge_faults;
mod bridge_harness;
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
mod import_run;
mod isolation;
mod layers;
mod leaf;
mod long_series;
mod marks;
mod metrics;
mod observe;
mod observe_harness;
mod observe_panels;
mod once;
mod orders;
mod orders_harness;
mod outage;
mod pages;
mod patterns;
mod profiles;
mod queue_bad_input;
mod queue_faults;
mod queue_harness;
mod queue_load;
mod queue_services;
mod queue_told;
mod queues;
mod record_files;
mod remote;
mod rest;
mod rest_galileo;
mod rest_harness;
mod rest_steering;
mod roles;
mod routes;
mod routes_live;
mod scaling;
mod scenarios;
mod seconds;
mod shell;
mod shell_calls;
mod slow_bus;
mod span_tree;
mod steering;
mod store_faults;
mod studies;
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
mod zones;
