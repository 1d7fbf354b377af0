//! How a request ended.

/// How a request ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// The node that ran it; `None` where none did: refused, or lost on the way.
    pub node: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// The device it ran on.
    pub device: Option<String>,
    /// What was wrong; `None` is a success.
    pub error: Option<String>,
    /// It was over its limit; a failure even without an error.
    pub timed_out: bool,
    /// Time in the queue, in seconds.
    pub wait_seconds: f64,
    /// Time at the worker, in seconds.
    pub run_seconds: f64,
    /// From the client's first byte to the result, in seconds.
    pub total_seconds: f64,
}

impl Ended {
    /// Whether it is counted as a success.
    pub const fn succeeded(&self) -> bool {
        self.error.is_none() && !self.timed_out
    }
}
