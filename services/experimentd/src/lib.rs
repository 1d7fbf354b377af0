//! The experiment daemon: takes experiments, plans, starts, watches, aggregates, judges, records.
//!
//! It must never start the same load twice, average a percentile, call a measurement good that it cannot vouch for, or
//! acknowledge a submission before its fate is written down.
//!
//! Layout: `intake` admission; `run` one experiment from waiting to its end, `running` what it holds meanwhile; `plan`
//! who does what; `arrivals` what files of them hold; `fleet` commands to nodes; `control` requests to a run; `once`
//! what is done once, before the load and after it; `start` the start, `begun` what has started; `watch` while load is
//! offered, `outcome` what came of it; `timing` how long what may take; [`totals`], [`seconds`], [`series`],
//! [`offered`], [`health`], [`judge`], [`summary`] the books, pure; `tell` publishes the seconds; `study` a search or a
//! sweep, which is a series of experiments; `finish` the end; `records` request records; `archive` what is stored, for
//! whoever asks; `checkpoint` where a run stands; `succession` what another daemon left; `journal` what is written down
//! meanwhile; `storing` what is stored meanwhile, beside the run; `profiles` commands beside the load; `telemetry` the
//! samples of machines, `machines` what these are; `restore` the same from the bus, `reconcile` now and then; `trim`
//! what the bus need not keep; `figures` what it tells of itself.

mod archive;
mod arrivals;
mod begun;
mod checkpoint;
mod control;
mod daemon;
mod deficit;
mod figures;
mod finish;
mod fleet;
pub mod health;
mod intake;
mod journal;
pub mod judge;
mod machines;
mod marks;
mod nodes;
pub mod offered;
mod once;
mod outcome;
mod plan;
mod profiles;
mod reconcile;
mod records;
mod restore;
mod run;
mod running;
pub mod seconds;
pub mod series;
mod serve;
mod sources;
mod start;
mod storing;
mod stress;
mod study;
mod succession;
pub mod summary;
mod telemetry;
mod tell;
mod timing;
pub mod totals;
mod trim;
mod watch;

pub use plan::{placement, unresolved_services};
pub use serve::{DaemonConfig, DaemonError, run};
pub use timing::Timing;
