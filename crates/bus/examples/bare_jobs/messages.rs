//! Jobs and their records, with the fields and sizes that the job queue's have.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct Job<'a> {
    #[serde(borrow)]
    pub(crate) args: Vec<&'a str>,
}

/// What a worker that waits 0 s writes of a job.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    pub(crate) job: &'a str,
    pub(crate) queue: &'a str,
    pub(crate) client: &'a str,
    pub(crate) priority: u8,
    pub(crate) status: &'a str,
    pub(crate) attempt: u32,
    pub(crate) job_sequence: u64,
    pub(crate) submitted_unix_ns: i64,
    pub(crate) wait_seconds: f64,
    pub(crate) run_seconds: f64,
    pub(crate) worker: &'a str,
    pub(crate) node: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) exit_code: i32,
}

/// What a client must know of a record.
#[derive(Deserialize)]
pub(crate) struct Ended<'a> {
    pub(crate) job: &'a str,
    pub(crate) status: &'a str,
}

/// Headers that say what a payload is.
pub(crate) fn headers(schema: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/msgpack");
    headers.insert("Nuncius-Schema", schema);
    headers
}
