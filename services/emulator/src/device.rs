//! The device: one that is not there.
//!
//! A request on `device.<name>.run` occupies one of its `lanes` for some work and is answered when the work is done;
//! more requests wait, oldest first, and beyond `queue` of them the answer is an error at once. Jobs that run side by
//! side slow each other down as the universal scalability law says (Gunther 1993). It tells every second what a device
//! tells: how busy, how full, how warm it is and how much power it takes.
//!
//! The work is reckoned, not acted out: the ends of jobs follow from their arrivals in the device's own time, so that
//! the lateness of one wake-up never adds to the next.
//!
//! Layout: `model` lanes, line and slowdown, pure; `telemetry` the figures, pure; `request` bytes to work and answers
//! to bytes, pure; `serve` the loop on the bus.

mod config;
mod model;
mod request;
mod serve;
mod telemetry;

pub use config::{DeviceConfig, DeviceError, MOST_LANES, MOST_QUEUE};
pub use request::MOST_WORK_SECONDS;
pub use serve::run;
