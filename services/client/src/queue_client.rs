//! The queue's test client: what it counts, and the HTTP page by which people and scripts read and steer it.
//!
//! It must never answer a parallelism that is not in force, never count a request for another period than the one it
//! was begun in, and never let a page of another site change anything.
//!
//! Layout: [`statistics`] counts, without clock or I/O; [`control`] is what the loop of requests and the page share;
//! `drive` sends jobs; `page` renders; [`http`] serves.

pub mod control;
mod drive;
pub mod http;
mod page;
pub mod statistics;

pub use control::Control;
pub use drive::{PARALLEL_MAX, QueueClientConfig, QueueClientError, run};
pub use http::{HttpLimits, ServeError, listen, serve};
pub use statistics::{Begun, Ended, Statistics};

/// What is printed when the client ends: nodes first, then all together.
pub fn final_report(statistics: &Statistics) -> String {
    let overall = statistics.overall(std::time::Instant::now());
    format!("{}{}", page::text::nodes(&statistics.nodes()), page::text::overall(&overall))
}
