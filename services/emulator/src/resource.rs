//! Consumption on request: memory, files and processor time, taken and given back as somebody says.
//!
//! Each kind has a keeper, a task that alone changes what is held; whoever reads sees what the keeper last wrote and
//! waits for nobody. Requests come by HTTP, on the bus, and by the addresses of Testero, which this stands in for. What
//! may be wanted is read anew at every request from the control group, the host and the file system, and a floor is
//! always left.
//!
//! It must never take more than was allowed, never leave files behind, and never touch a file that it did not make.
//!
//! Layout: `limits` what may be had; `ladder` amounts to parts, pure; `program` amounts over time, pure; `noise` bytes
//! that nothing can compress; `memory`, `disk` and `cpu` hold; `keeper` decides, `group` is its outside; `http`,
//! `compat` and `bus` are the faces.

mod bus;
mod compat;
mod config;
mod cpu;
mod disk;
mod group;
mod http;
mod keeper;
mod ladder;
mod limits;
mod memory;
mod noise;
mod program;
mod run;

pub use config::{DEFAULT_NUMBER_TO_FACTOR, Ready, ResourceConfig, ResourceError};
pub use run::run;
