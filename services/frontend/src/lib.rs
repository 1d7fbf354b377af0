//! The queue frontend: creates and bounds queues, keeps their books, drops what waits for clients that are gone, and
//! exports what it knows for Prometheus.
//!
//! Jobs do not pass through it: clients publish, workers pull, and both go on without it. Of several frontends one
//! holds the lease of a queue and keeps its books; any of them may be killed. It must never count a record twice, never
//! export totals of a queue that it does not hold, and never delete a job without its record.
//!
//! Layout: [`service`] starts and joins everything; `keeper` is one queue, from lease to lease; `presence` who is
//! there; `view` what is known; `maxima` the longest times of an interval; `metrics` and `http` show it.

mod http;
mod keeper;
mod maxima;
mod metrics;
mod presence;
pub mod service;
mod view;

pub use service::{FrontendConfig, FrontendError, run};
