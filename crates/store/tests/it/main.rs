//! What is kept survives, comes back as it was, and goes when it is told to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail as tests do")]

mod common;
mod export;
mod import;
mod import_bad;
mod record_files;
mod servers;
mod store;
mod telemetry;
mod trouble;
mod upgrade;
